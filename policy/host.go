package policy

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

const hostHint = `write it like "shop.example", "*.shop.example" or "*"`

// toASCII maps names as people write them to those of the DNS (UTS #46, nontransitional). Underscores are let through,
// because the DNS and HTTP do so; the letters are checked afterwards.
func toASCII(name string) (string, error) {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.BidiRule()).ToASCII(name)
}

// parseHost returns the one spelling of a site's host: lower case, punycode, without a final dot; an IPv6 address in its
// canonical text, without brackets.
func parseHost(s string) (string, error) {
	if s == "*" {
		return s, nil
	}
	name, wild := strings.CutPrefix(s, "*.")
	switch {
	case strings.Contains(name, "*"):
		return "", &valueError{quote(s) + ": a wildcard stands for the first labels only", hostHint}
	case strings.Contains(s, "://"):
		return "", &valueError{quote(s) + " is a URL, not a host", hostHint}
	case strings.Contains(s, "/"):
		return "", &valueError{quote(s) + " has a path, and a host has none", "put paths into the site's routes"}
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && a.Zone() == "" {
		return a.Unmap().String(), nil
	}
	if host, port, ok := strings.Cut(s, ":"); ok && isDigits(port) {
		return "", &valueError{quote(s) + " has a port, and a host has none", "write " + quote(host) + ": a site answers on every port that the door listens on"}
	}
	ascii, err := parseName(name)
	if err != nil {
		return "", &valueError{quote(s) + " is not the name of a host", hostHint}
	}
	if wild {
		return "*." + ascii, nil
	}
	return ascii, nil
}

// parseName returns a name of the DNS in lower case and punycode, without a final dot.
func parseName(s string) (string, error) {
	wrong := &valueError{quote(s) + " is not the name of a host", `write it like "shop.example"`}
	ascii, err := toASCII(strings.TrimSuffix(s, "."))
	if err != nil || ascii == "" || len(ascii) > 253 {
		return "", wrong
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", wrong
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return "", wrong
			}
		}
	}
	return ascii, nil
}

// isToken reports whether s is a token of HTTP (RFC 9110, section 5.6.2): a method or the name of a header.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
