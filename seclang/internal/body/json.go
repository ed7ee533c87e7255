package body

import (
	"hash/maphash"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON parses a JSON document (RFC 8259) into Args as Coraza flattens it: the value of a in {"a":[{"b":1}]} is json.a.0.b, and
// json.a is how many elements the array has. Numbers and literals stay as written, null is empty. A document that is only a
// value is json.0.
func JSON(text []byte, limits Limits, out *Fields) {
	p := jsonParser{text: text, limits: limits.withDefaults(len(text)), out: out, path: append(out.path[:0], "json"...), used: out.arena.used()}
	out.names = out.names[:0]
	if out.keys == nil {
		out.keys = make(map[uint64]struct{})
	}
	p.document()
	out.path = p.path
}

// seed makes the hashes of keys unpredictable.
var seed = maphash.MakeSeed()

type jsonParser struct {
	text   []byte
	at     int
	limits Limits
	out    *Fields
	path   []byte // the name of the value that is read next
	fields int
	arrays int // arrays whose length was told
	depth  int
	object uint64 // numbers the objects
	used   int    // of the arena, before
	failed bool   // the text is not worth reading on
	quiet  bool   // the fields are full: only check
}

func (p *jsonParser) document() {
	p.space()
	if p.at < len(p.text) && (p.text[p.at] == '{' || p.text[p.at] == '[') {
		p.value()
	} else {
		p.element(0)
		p.length(1)
	}
	p.space()
	if !p.failed && p.at < len(p.text) {
		p.fail(Malformed, "more than one JSON value")
	}
}

func (p *jsonParser) fail(kind Kind, text string) {
	const longest = len(`\u0000`) // of what can be cut in two
	if kind == Malformed && p.limits.Partial && len(p.text)-p.at < longest {
		kind = Truncated
	}
	p.out.fail(kind, p.at, text)
	p.failed = true
}

func (p *jsonParser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t' || p.text[p.at] == '\n' || p.text[p.at] == '\r') {
		p.at++
	}
}

// next skips space and reports whether c follows; if so it is read.
func (p *jsonParser) next(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// value reads one value, which is called p.path.
func (p *jsonParser) value() {
	p.space()
	if p.at == len(p.text) {
		p.fail(Malformed, "the JSON document ends early")
		return
	}
	start := p.at
	switch c := p.text[p.at]; {
	case c == '{' || c == '[':
		if p.depth++; p.depth > p.limits.Depth {
			p.fail(TooDeep, "JSON values enclose each other deeper than the limit")
			return
		}
		p.at++
		if c == '{' {
			p.members()
		} else {
			p.elements()
		}
		p.depth--
	case c == '"':
		if s, ok := p.str(!p.quiet); ok {
			p.add(s, start+1, p.at-1)
		}
	case c == '-' || '0' <= c && c <= '9':
		if p.number() {
			p.add(view(p.text[start:p.at]), start, p.at)
		}
	default:
		for _, literal := range [...]string{"true", "false", "null"} {
			if len(p.text)-p.at >= len(literal) && string(p.text[p.at:p.at+len(literal)]) == literal {
				p.at += len(literal)
				if literal == "null" {
					literal = ""
				}
				p.add(literal, start, p.at)
				return
			}
		}
		p.fail(Malformed, "no JSON value")
	}
}

// members reads an object behind its brace.
func (p *jsonParser) members() {
	p.object++
	object, parent, first := p.object, len(p.path), len(p.out.names)
	if p.next('}') {
		return
	}
	for {
		p.space()
		if p.at == len(p.text) || p.text[p.at] != '"' {
			p.fail(Malformed, "no name of a JSON object's member")
			return
		}
		name, ok := p.str(!p.quiet)
		if !ok {
			return
		}
		p.notice(object, first, name)
		p.path = append(append(p.path[:parent], '.'), name...)
		if !p.next(':') {
			p.fail(Malformed, "no colon behind a name")
			return
		}
		if p.value(); p.failed {
			return
		}
		p.path = p.path[:parent]
		if p.next('}') {
			p.out.names = p.out.names[:first]
			return
		}
		if !p.next(',') {
			p.fail(Malformed, "neither comma nor brace behind a member")
			return
		}
	}
}

// few is how many names of an object are compared one by one; beyond, a table is asked.
const few = 16

// notice counts names that an object has twice. first is where its names begin among those of all objects that are open.
func (p *jsonParser) notice(object uint64, first int, name string) {
	if p.quiet {
		return
	}
	names := p.out.names[first:]
	p.out.names = append(p.out.names, name)
	if len(names) < few {
		if slices.Contains(names, name) {
			p.out.DuplicateKeys++
		}
		return
	}
	key := func(name string) uint64 { return maphash.String(seed, name) ^ object*0x9e3779b97f4a7c15 }
	if len(names) == few {
		for _, n := range names {
			p.out.keys[key(n)] = struct{}{}
		}
	}
	if _, twice := p.out.keys[key(name)]; twice {
		p.out.DuplicateKeys++
	}
	p.out.keys[key(name)] = struct{}{}
}

// elements reads an array behind its bracket.
func (p *jsonParser) elements() {
	if p.next(']') {
		return
	}
	for n := 0; ; {
		if p.element(n); p.failed {
			return
		}
		n++
		if p.next(']') {
			p.length(n)
			return
		}
		if !p.next(',') {
			p.fail(Malformed, "neither comma nor bracket behind an element")
			return
		}
	}
}

func (p *jsonParser) element(n int) {
	parent := len(p.path)
	p.path = strconv.AppendInt(append(p.path, '.'), int64(n), 10)
	p.value()
	p.path = p.path[:parent]
}

// length tells how many elements the array p.path has. Lengths do not use up fields, and are as many at most.
func (p *jsonParser) length(n int) {
	if p.failed || p.quiet {
		return
	}
	if p.arrays++; p.arrays > p.limits.Fields {
		p.out.fail(TooManyFields, p.at, "more arrays than the limit")
		return
	}
	digits := strconv.AppendInt(p.out.arena.take(20), int64(n), 10)
	p.put(p.out.arena.keep(digits), p.at, p.at)
}

// add adds a value that is no object or array.
func (p *jsonParser) add(value string, start, end int) {
	if p.quiet {
		return
	}
	if p.fields == p.limits.Fields {
		p.out.fail(TooManyFields, start, "more fields than the limit")
		p.quiet = true
		return
	}
	p.fields++
	p.put(value, start, end)
}

func (p *jsonParser) put(value string, start, end int) {
	if p.out.arena.used()-p.used+len(p.path)+len(value) > p.limits.Bytes {
		p.fail(TooLarge, "the names of nested JSON values take more than the limit")
		return
	}
	name := p.out.arena.keep(append(p.out.arena.take(len(p.path)), p.path...))
	p.out.Args = append(p.out.Args, Field{name, value, start, end})
}

// number reads a number; false: it is none, and the parser has failed.
func (p *jsonParser) number() bool {
	p.skip('-')
	switch {
	case p.skip('0'):
	case p.digits():
	default:
		p.fail(Malformed, "no JSON number")
		return false
	}
	if p.skip('.') && !p.digits() {
		p.fail(Malformed, "no digit behind the point of a number")
		return false
	}
	if p.skip('e') || p.skip('E') {
		if !p.skip('+') {
			p.skip('-')
		}
		if !p.digits() {
			p.fail(Malformed, "no digit in the exponent of a number")
			return false
		}
	}
	return true
}

func (p *jsonParser) skip(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *jsonParser) digits() bool {
	start := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}

// str reads a string. Without escapes it is a view of the text. If it is not wanted it is only checked. False: it is no
// string, and the parser has failed.
func (p *jsonParser) str(wanted bool) (string, bool) {
	p.at++
	start, escaped := p.at, false
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			raw := p.text[start:p.at]
			p.at++
			if !escaped || !wanted {
				return view(raw), true
			}
			return p.out.arena.keep(appendUnescaped(p.out.arena.take(len(raw)), raw)), true
		case c == '\\':
			n := escapeLength(p.text[p.at:])
			if n == 0 {
				p.fail(Malformed, "no JSON escape")
				return "", false
			}
			escaped = true
			p.at += n
		case c < ' ':
			p.fail(Malformed, "a control character in a JSON string")
			return "", false
		default:
			p.at++
		}
	}
	p.fail(Malformed, "a JSON string does not end")
	return "", false
}

// escapeLength returns the length of the escape at the front of s, 0 if it is none.
func escapeLength(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hexRune(s); ok {
			return 6
		}
	}
	return 0
}

// hexRune reads \uhhhh at the front of s.
func hexRune(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	high, ok1 := hexPair(s[2:])
	low, ok2 := hexPair(s[4:])
	return rune(high)<<8 | rune(low), ok1 && ok2
}

// appendUnescaped decodes the escapes of s, which does not end within one. A surrogate without its other half becomes U+FFFD,
// what is no escape loses its backslash.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			i++
			continue
		}
		switch c := s[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := hexRune(s[i:])
			if !ok {
				dst = append(dst, c)
				i += 2
				continue
			}
			i += 6
			if low, ok := hexRune(s[i:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}
