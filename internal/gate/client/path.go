package client

import (
	"strings"

	"stormdoor/flow"
)

// Clean returns the three views of a path, raw being what stands before "?". It allocates nothing when raw is clean
// already; the views then share raw's memory.
//
// The clean view is made in this order: percent-decode once ("%2F" too; a malformed "%" stays as it is), "\" to "/",
// fold repeated "/", resolve dot segments. NUL and control characters stay as bytes. Because decoding happens once,
// cleaning a clean path again changes nothing but escapes that were escaped twice.
//
// The script view answers which program an origin may run. Beside what flow.Path says of it:
//   - A segment's name ends at ";" or NUL, and the case of its extension does not matter.
//   - A front controller further down ("/shop/index.php/a/b.php/x.css") is taken out too when another program follows
//     it, so that all spellings of one program have one script view ("/shop/a/b.php"). Without one following, it is
//     the program itself ("/shop/index.php/a/b" is "/shop/index.php").
//   - "/index.php" with nothing behind it stays what it is.
func Clean(raw string) flow.Path {
	if raw == "" || raw == "*" {
		return flow.Path{Raw: raw, Clean: raw, Script: raw}
	}
	p, dots := raw, true
	switch looks := survey(raw); looks {
	case plain:
		dots = false
	case dotted:
	default:
		p = rewrite(raw)
	}
	v := flow.Path{Raw: raw, Clean: p, Script: p}
	if dots {
		v.Script = script(p)
	}
	return v
}

// look says how much work a path is.
type look uint8

const (
	plain  look = iota // clean, and without a dot anywhere: no segment names a program
	dotted             // clean, but a segment may name a program
	dirty              // to be rewritten
)

func survey(p string) look {
	if p[0] != '/' {
		return dirty
	}
	l := plain
	for i := 1; i < len(p); i++ {
		switch p[i] {
		case '%', '\\':
			return dirty
		case '/':
			if p[i-1] == '/' {
				return dirty
			}
		case '.':
			l = dotted
			if p[i-1] == '/' && isDots(p[i:]) {
				return dirty
			}
		}
	}
	return l
}

// isDots reports whether the segment that rest begins with is "." or "..". A backslash needs no look: it makes the
// path dirty anyway.
func isDots(rest string) bool {
	rest = rest[1:]
	if rest != "" && rest[0] == '.' {
		rest = rest[1:]
	}
	return rest == "" || rest[0] == '/'
}

// rewrite returns the clean view of a path that is not clean.
func rewrite(raw string) string {
	var room [256]byte
	out := room[:]
	if len(raw)+1 > len(room) {
		out = make([]byte, len(raw)+1)
	}
	out[0] = '/'
	w, seg := 1, 1 // out[:w] is written; out[seg:w] is the segment under way
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' && i+2 < len(raw) {
			if hi, lo := unhex[raw[i+1]], unhex[raw[i+2]]; hi|lo < 16 {
				c, i = hi<<4|lo, i+2
			}
		}
		if c != '/' && c != '\\' {
			out[w] = c
			w++
			continue
		}
		if w = endSegment(out, seg, w); w > 1 && out[w-1] != '/' {
			out[w] = '/'
			w++
		}
		seg = w
	}
	w = endSegment(out, seg, w)
	return string(out[:w])
}

// endSegment takes back the segment out[seg:w] when it is a dot segment, and with ".." the one before it. It returns
// the new length (RFC 3986, section 5.2.4).
func endSegment(out []byte, seg, w int) int {
	switch string(out[seg:w]) {
	case ".":
		return seg
	case "..":
		if seg == 1 {
			return 1
		}
		seg--
		for out[seg-1] != '/' {
			seg--
		}
		return seg
	}
	return w
}

// unhex gives the value of a hexadecimal digit, 0xff for other bytes.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

const frontController = "/index.php"

// script returns the script view of the clean path p, in linear time.
func script(p string) string {
	for len(p) > len(frontController)+1 && isFront(p, 1, len(frontController)) {
		p = p[len(frontController):]
	}
	from, end := nextProgram(p, 0)
	if from < 0 {
		return p
	}
	next, nextEnd := nextProgram(p, end)
	if next < 0 || !isFront(p, from, end) {
		return p[:end]
	}
	out, done := make([]byte, 0, len(p)), 0
	for next >= 0 && isFront(p, from, end) {
		out, done = append(out, p[done:from-1]...), end
		from, end = next, nextEnd
		next, nextEnd = nextProgram(p, end)
	}
	return string(append(out, p[done:end]...))
}

// isFront reports whether the segment p[from:end] is a front controller with path info.
func isFront(p string, from, end int) bool {
	return end < len(p) && p[end] == '/' && flow.EqualFold(p[from-1:end], frontController)
}

// nextProgram finds the first segment of p at or behind position at that names a program. The name is p[from:end];
// from is -1 when there is none.
func nextProgram(p string, at int) (from, end int) {
	for at < len(p) {
		slash := strings.IndexByte(p[at:], '/')
		if slash < 0 {
			slash = len(p)
		} else {
			slash += at
		}
		name := p[at:slash]
		if i := strings.IndexAny(name, ";\x00"); i >= 0 {
			name = name[:i]
		}
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 && isProgram(name[dot+1:]) {
			return at, at + len(name)
		}
		at = slash + 1
	}
	return -1, 0
}

// isProgram reports whether files with this extension are programs that web servers run in place.
func isProgram(ext string) bool {
	if len(ext) < 2 || len(ext) > 5 {
		return false
	}
	var b [5]byte
	for i := range len(ext) {
		b[i] = lower[ext[i]]
	}
	switch string(b[:len(ext)]) {
	case "php", "php3", "php4", "php5", "php7", "php8", "pht", "phtml", "phar",
		"cgi", "fcgi", "pl", "py", "rb", "sh", "lua",
		"asp", "aspx", "ashx", "asmx", "axd", "svc",
		"jsp", "jspx", "jspf", "jsf", "cfm", "cfc":
		return true
	}
	return false
}
