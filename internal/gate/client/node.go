package client

import (
	"net/netip"
	"strings"

	"stormdoor/flow"
)

// parseAddr reads an address as forwarding headers write it: with or without a port, brackets and a zone. The result
// is unmapped and has no zone. ok is false for everything else, also for the unspecified address, "unknown" and
// obfuscated identifiers (RFC 7239, section 6).
func parseAddr(s string) (a netip.Addr, ok bool) {
	s = trim(s)
	if s == "" || len(s) > 64 {
		return a, false
	}
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && (s[end+1] != ':' || !isPort(s[end+2:])) {
			return a, false
		}
		s = s[1:end]
		if strings.IndexByte(s, ':') < 0 {
			return a, false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 && strings.IndexByte(s[i+1:], ':') < 0 {
		if !isPort(s[i+1:]) {
			return a, false
		}
		s = s[:i]
	}
	if i := strings.IndexByte(s, '%'); i >= 0 {
		if strings.IndexByte(s[:i], ':') < 0 {
			return a, false // only IPv6 has zones
		}
		s = s[:i]
	}
	if s == "" || !addrByte(s[0]) { // a word: spare the error that ParseAddr would allocate
		return a, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	a = a.Unmap()
	return a, !a.IsUnspecified()
}

func addrByte(c byte) bool {
	c = lower[c]
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || c == ':'
}

// trim removes optional white space (RFC 9110, section 5.6.3).
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// lastElement cuts the last element off a list. With quotes, a comma within a quoted string does not separate.
//
// The list is read from its end on purpose: the end is what the nearest proxy wrote, and what stands before it, an
// opening quote that is never closed for one, must not change how the end is read.
func lastElement(list string, quotes bool) (rest, element string, more bool) {
	if !quotes {
		i := strings.LastIndexByte(list, ',')
		if i < 0 {
			return "", list, false
		}
		return list[:i], list[i+1:], true
	}
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch list[i] {
		case '"':
			if !quoted {
				quoted = true
			} else if !escaped(list[:i]) {
				quoted = false
			}
		case ',':
			if !quoted {
				return list[:i], list[i+1:], true
			}
		}
	}
	return "", list, false
}

// escaped reports whether what follows before is escaped by a backslash.
func escaped(before string) bool {
	n := 0
	for n < len(before) && before[len(before)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// forNode returns the value of "for" of one element of a Forwarded field, without quotes (RFC 7239, section 4). ok is
// false when the element is malformed, has no "for" or has it twice, or when its value holds an escape: no address
// does.
func forNode(element string) (node string, ok bool) {
	for rest, more := element, true; more; {
		var name, value string
		name, value, rest, more = pair(rest)
		if name == "" || value == "" {
			return "", false
		}
		if !flow.EqualFold(name, "for") {
			continue
		}
		if node != "" {
			return "", false
		}
		node = value
	}
	if node != "" && node[0] == '"' {
		node = node[1 : len(node)-1]
		if strings.IndexByte(node, '\\') >= 0 {
			return "", false
		}
	}
	return node, node != ""
}

// pair reads "name=value" up to the next ";". A quoted value keeps its quotes. name is "" when the pair is malformed.
func pair(s string) (name, value, rest string, more bool) {
	eq := strings.IndexByte(s, '=')
	if eq <= 0 {
		return "", "", "", false
	}
	name, s = trim(s[:eq]), s[eq+1:]
	end := 0
	if s != "" && s[0] == '"' {
		end = 1
		for end < len(s) && (s[end] != '"' || escaped(s[1:end])) {
			end++
		}
		if end == len(s) {
			return "", "", "", false
		}
		end++
		value = s[:end]
	} else {
		for end < len(s) && s[end] != ';' && s[end] != '"' {
			end++
		}
		value = trim(s[:end])
	}
	s = trim(s[end:])
	if strings.ContainsAny(name, " \t;\"") || strings.ContainsAny(value, " \t") && value[0] != '"' || s != "" && s[0] != ';' {
		return "", "", "", false
	}
	if s == "" {
		return name, value, "", false
	}
	return name, value, s[1:], true
}
