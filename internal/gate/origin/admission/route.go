package admission

import (
	"hash/maphash"
	"strings"

	"stormdoor/flow"
)

// Route names what a request asks of the origin. Tag is a keyed hash, 0 for nothing in particular; Method and Path are an
// example of it in words.
type Route struct {
	Tag          uint64
	Method, Path string
	// Body says that the request has a body, which its visitor may send slowly.
	Body bool
}

// How a path becomes the shape of a path.
const (
	shapeSegments = 3  // segments of a path that count
	shapeLongest  = 24 // bytes of a segment that can be a name
	methodMost    = 8  // bytes of a method that are kept for /status
)

// RouteOf is the route of a request: its method, the first segments of its clean path, where one that looks like a number
// or an identifier stands for all such, and the name of its first query parameter, because "/" and "/?s=" are different
// work. Whoever makes up paths only gets routes that nobody knows, at the cost that all those have together.
func (m *Memory) RouteOf(f *flow.Facts) Route {
	var h maphash.Hash
	h.SetSeed(m.seed)
	method := f.Method[:min(len(f.Method), methodMost)]
	_, _ = h.WriteString(method)
	rest := f.Path.Clean
	for n := 0; rest != "" && n < shapeSegments; n++ {
		var segment string
		segment, rest, _ = strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		_ = h.WriteByte('/')
		if isName(segment) {
			_, _ = h.WriteString(segment)
		} else {
			_ = h.WriteByte('*')
		}
	}
	if f.Query != "" {
		name, _, _ := strings.Cut(f.Query, "=")
		_ = h.WriteByte('?')
		_, _ = h.WriteString(name[:min(len(name), shapeLongest)])
	}
	return Route{Tag: h.Sum64() | 1, Method: method, Path: f.Path.Clean, Body: f.Length != 0}
}

// isName reports whether a segment of a path looks like a word rather than a number or an identifier: short, and at most
// two digits in it.
func isName(s string) bool {
	digits := 0
	for i := range len(s) {
		if '0' <= s[i] && s[i] <= '9' {
			digits++
		}
	}
	return len(s) <= shapeLongest && digits <= 2
}
