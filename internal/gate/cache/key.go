package cache

import (
	"slices"
	"strings"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// appendKey appends what tells one stored resource from another: the site, the scheme, the authority as it was sent, and the
// target with the query given. What follows are the fields that make origins answer for another address than the one that was
// asked for, by appendSteering. Nothing is decoded, sorted or folded: two requests have one key only if the origin cannot tell
// them apart by what the key stands for.
func appendKey(b []byte, site string, r *wire.Request, query string, hasQuery bool) []byte {
	b = append(append(b, site...), 0)
	b = append(append(b, r.Scheme...), 0)
	b = append(append(b, r.Authority...), 0)
	path, _, _ := strings.Cut(r.Target, "?")
	b = append(b, path...)
	if hasQuery {
		b = append(append(b, '?'), query...)
	}
	return b
}

// appendSteering appends a field that steers to a key.
func appendSteering(b []byte, f flow.Field) []byte {
	b = append(b, 0)
	b = append(append(b, f.Name...), ':')
	return append(b, f.Value...)
}

// steering are fields that make frameworks answer for another host, scheme, port or path, beside those that begin with one of
// steeringPrefixes. Most of them end at the door unless a declared proxy sends them.
var (
	steering         = [...]string{"x-host", "x-scheme", "x-url-scheme", "x-http-host-override", "x-http-path-override", "x-http-destinationurl", "x-proxy-url", "x-wap-profile", "front-end-https", "forwarded-host", "cf-visitor"}
	steeringPrefixes = [...]string{"x-forwarded", "x-original-", "x-rewrite-", "x-forward-"}
	// whose says whom an answer is for, not what it is about.
	whose = [...]string{"x-forwarded-for", "x-original-forwarded-for", "x-forwarded-client-cert"}
	// overriding make frameworks take a GET for another method.
	overriding = [...]string{"x-http-method", "x-http-method-override", "x-method-override", "x-original-method", "x-rewrite-method"}
)

// steers reports whether a field is a steering one.
func steers(name string) bool {
	if !telling(name) {
		return false
	}
	for _, w := range whose {
		if sameName(name, w) {
			return false
		}
	}
	for _, p := range steeringPrefixes {
		if len(name) >= len(p) && sameName(name[:len(p)], p) {
			return true
		}
	}
	for _, s := range steering {
		if sameName(name, s) {
			return true
		}
	}
	return false
}

// overrides reports whether a field makes frameworks take a GET for another method. What such a request brings says
// nothing about the GET.
func overrides(name string) bool {
	if !telling(name) {
		return false
	}
	for _, o := range overriding {
		if sameName(name, o) {
			return true
		}
	}
	return false
}

// telling sorts out most fields by how they begin.
func telling(name string) bool {
	if len(name) < 6 {
		return false
	}
	switch name[0] | 0x20 {
	case 'x':
		return name[1] == '-' || name[1] == '_'
	case 'f':
		return true
	case 'c':
		return name[1]|0x20 == 'f'
	}
	return false
}

// sameName reports whether name is the lower-case field, with "_" for "-" as CGI and its descendants read it.
func sameName(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		} else if c == '_' {
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// keepParams returns the query without the parameters for which drop returns true, in the order in which they came.
func keepParams(query string, drop func(name string) bool) string {
	var b strings.Builder
	for p := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(p, "=")
		if drop(name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p)
	}
	return b.String()
}

// ignoring reports whether a list of parameters, some with "*" at their end, names the parameter.
func ignoring(list []string, name string) bool {
	return slices.ContainsFunc(list, func(l string) bool {
		prefix, wild := strings.CutSuffix(l, "*")
		return l == name || wild && strings.HasPrefix(name, prefix)
	})
}

// plainAuthority is the authority with the host in its one spelling.
func plainAuthority(authority, host string) string {
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && i > strings.LastIndexByte(authority, ']') {
		if strings.Contains(host, ":") {
			return "[" + host + "]" + authority[i:]
		}
		return host + authority[i:]
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
