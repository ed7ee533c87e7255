package cache

import (
	"slices"
	"strings"

	"stormdoor/flow"
)

// variesOnEverything reports whether Vary holds "*": then no other request is like the one that was asked.
func variesOnEverything(h flow.Header) bool { return slices.Contains(varyNames(h), "*") }

// varies reports whether Vary names the field.
func varies(h flow.Header, field string) bool {
	return slices.ContainsFunc(varyNames(h), func(n string) bool { return flow.EqualFold(n, field) })
}

// varyNames lists what Vary names, in order.
func varyNames(h flow.Header) (names []string) {
	for v := range h.Values("Vary") {
		for n := range strings.SplitSeq(v, ",") {
			if n = trim(n); n != "" {
				names = append(names, n)
			}
		}
	}
	return names
}

// selecting is what a stored answer asks of requests that want it: the fields that its Vary names, and their values in
// the request that brought it (RFC 9111, section 4.1). The zero value takes every request.
type selecting struct {
	names, values []string
}

func selectingOf(vary []string, request flow.Header) selecting {
	s := selecting{names: vary}
	for _, n := range vary {
		s.values = append(s.values, strings.Clone(normalised(n, request)))
	}
	return s
}

// takes reports whether the request's fields are those that the answer was chosen by.
func (s *selecting) takes(request flow.Header) bool {
	for i, n := range s.names {
		if normalised(n, request) != s.values[i] {
			return false
		}
	}
	return true
}

// normalised is a request's field with everything taken out that makes no difference in any field: repetition as lines or
// as a list, and white space around commas. Accept-Encoding becomes a sorted list of codings, so that the browsers'
// many spellings are one.
func normalised(name string, request flow.Header) string {
	n, first := 0, ""
	for v := range request.Values(name) {
		if n++; n == 1 {
			first = v
		}
	}
	if n == 0 {
		return "\x00" // no value can be this: an absent field is not an empty one
	}
	codings := flow.EqualFold(name, "Accept-Encoding")
	if n == 1 && !codings && !strings.ContainsAny(first, ", \t") {
		return first
	}
	var parts []string
	for v := range request.Values(name) {
		for p := range strings.SplitSeq(v, ",") {
			if p = trim(p); p != "" {
				parts = append(parts, p)
			}
		}
	}
	if codings {
		for i := range parts {
			parts[i] = strings.ToLower(strings.ReplaceAll(parts[i], " ", ""))
		}
		slices.Sort(parts)
	}
	return strings.Join(parts, ",")
}
