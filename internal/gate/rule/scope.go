package rule

import (
	"net/netip"
	"net/url"
	"strings"

	"cel.dev/cel-go/common/types/ref"

	"stormdoor/flow"
)

// scope is what a rule sees of one request: its facts, and what rules have looked up in them so far. Scopes are pooled;
// nothing that points into one outlives Decide.
type scope struct {
	f     *flow.Facts
	found []found // by slot
	all   *shared
	boxed []ref.Val // by position in Variables, for cel-go; nil until needed
}

// shared is what all scopes of a stage have in common.
type shared struct {
	lookups []lookup
	sets    map[string][]netip.Prefix // by the text that stands for the set inside expressions
}

// lookup is something that has to be searched or computed, and is so at most once for each request.
type lookup struct {
	kind lookupKind
	name string
	of   func(*scope) string // for lookLower
}

type lookupKind uint8

const (
	lookClient lookupKind = iota // the client's address as text
	lookHeader
	lookCookie
	lookQuery
	lookLower
)

// found is the result of a lookup.
type found struct {
	value    string
	ok, done bool
}

func newScope(all *shared) *scope {
	return &scope{all: all, found: make([]found, len(all.lookups))}
}

// reset forgets the request, so that a scope in the pool keeps nothing of it alive.
func (s *scope) reset() {
	s.f = nil
	clear(s.found)
	clear(s.boxed)
}

// look returns the result of the lookup in the slot.
func (s *scope) look(slot int) *found {
	r := &s.found[slot]
	if !r.done {
		r.value, r.ok = s.search(&s.all.lookups[slot])
		r.done = true
	}
	return r
}

func (s *scope) search(l *lookup) (value string, ok bool) {
	take := func(v string) bool {
		value, ok = v, true
		return false
	}
	switch l.kind {
	case lookClient:
		return s.f.Client.Unmap().String(), true
	case lookHeader:
		for i := range s.f.Header.Len() {
			if f := s.f.Header.At(i); flow.EqualFold(f.Name, l.name) {
				return f.Value, true
			}
		}
	case lookCookie:
		s.cookies(l.name, take)
	case lookQuery:
		s.queryParams(l.name, take)
	case lookLower:
		return lowerASCII(l.of(s)), true
	}
	return value, ok
}

// find is look for whoever does not know the slot.
func (s *scope) find(kind lookupKind, name string) (string, bool) {
	for i := range s.all.lookups {
		if l := &s.all.lookups[i]; l.kind == kind && l.name == name {
			r := s.look(i)
			return r.value, r.ok
		}
	}
	return s.search(&lookup{kind: kind, name: name})
}

// headers yields the values of all fields called name.
func (s *scope) headers(name string, yield func(string) bool) {
	for v := range s.f.Header.Values(name) {
		if !yield(v) {
			return
		}
	}
}

// cookies yields the values of all cookies called name, as they were sent (RFC 6265, section 4.2.1). Names of cookies
// are case-sensitive.
func (s *scope) cookies(name string, yield func(string) bool) {
	for i := range s.f.Header.Len() {
		f := s.f.Header.At(i)
		if !flow.EqualFold(f.Name, "cookie") {
			continue
		}
		for rest, more := f.Value, true; more; {
			var pair string
			pair, rest, more = strings.Cut(rest, ";")
			k, v, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if ok && k == name && !yield(v) {
				return
			}
		}
	}
}

// queryParams yields the values of all parameters called name. Names and values are decoded as forms are
// (application/x-www-form-urlencoded); what cannot be decoded stays as it was sent.
func (s *scope) queryParams(name string, yield func(string) bool) {
	if s.f.Query == "" {
		return
	}
	for rest, more := s.f.Query, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		k, v, _ := strings.Cut(pair, "=")
		if unescape(k) == name && pair != "" && !yield(unescape(v)) {
			return
		}
	}
}

func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// clientIn reports whether the client's address lies in one of the prefixes.
func (s *scope) clientIn(set []netip.Prefix) bool {
	a := s.f.Client.Unmap().WithZone("")
	for i := range set {
		if set[i].Contains(a) {
			return true
		}
	}
	return false
}

// lowerASCII returns s with A to Z in lower case. It allocates only when there is one.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			var b strings.Builder
			b.Grow(len(s))
			b.WriteString(s[:i])
			for ; i < len(s); i++ {
				c := s[i]
				if 'A' <= c && c <= 'Z' {
					c += 'a' - 'A'
				}
				b.WriteByte(c)
			}
			return b.String()
		}
	}
	return s
}
