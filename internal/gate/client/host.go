package client

import (
	"net/netip"
	"strings"
)

// host returns the authority's host: lower case, without port, trailing dot and brackets, an IPv6 address in its
// canonical text. It is "" when the authority is empty or no host (RFC 3986, section 3.2.2, narrowed to names of the
// DNS with "_", and to addresses). It allocates only when the text has to change.
func host(authority string) string {
	if authority == "" {
		return ""
	}
	if authority[0] == '[' {
		return host6(authority)
	}
	name := authority
	if i := strings.IndexByte(name, ':'); i >= 0 {
		if !isPort(name[i+1:]) {
			return ""
		}
		name = name[:i]
	}
	return lowerName(strings.TrimSuffix(name, "."))
}

func host6(authority string) string {
	end := strings.IndexByte(authority, ']')
	if end < 0 {
		return ""
	}
	if rest := authority[end+1:]; rest != "" && (rest[0] != ':' || !isPort(rest[1:])) {
		return ""
	}
	text := authority[1:end]
	if strings.IndexByte(text, '%') >= 0 {
		return ""
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is6() {
		return ""
	}
	return a.String()
}

// lowerName returns the name in lower case, or "" when it cannot be a name.
func lowerName(name string) string {
	if len(name) == 0 || len(name) > 253 {
		return ""
	}
	upper, before := false, byte('.')
	for i := range len(name) {
		c := name[i]
		l := lower[c]
		if !nameByte[l] || c == '.' && before == '.' {
			return ""
		}
		upper = upper || l != c
		before = c
	}
	if before == '.' {
		return ""
	}
	if !upper {
		return name
	}
	var room [253]byte
	for i := range len(name) {
		room[i] = lower[name[i]]
	}
	return string(room[:len(name)])
}

// isPort reports whether s may follow the colon of an authority: nothing, or a number of at most 65535.
func isPort(s string) bool {
	if len(s) > 5 {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}

// lower maps bytes to lower case, ASCII only.
var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// nameByte marks the bytes of a name in lower case.
var nameByte = func() (t [256]bool) {
	for c := 'a'; c <= 'z'; c++ {
		t[c] = true
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	t['-'], t['.'], t['_'] = true, true, true
	return t
}()
