package body

import "bytes"

// URLEncoded parses a form (application/x-www-form-urlencoded) or a query string into Args: fields are separated by '&', empty
// ones do not count, '+' is a space, and what is no valid escape stays as it is.
func URLEncoded(text []byte, limits Limits, out *Fields) {
	limits = limits.withDefaults(len(text))
	count := 0
	for at := 0; at < len(text); {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '&'); i >= 0 {
			end = at + i
		}
		if end > at {
			if count++; count > limits.Fields {
				out.fail(TooManyFields, at, "more fields than the limit")
				return
			}
			out.addPair(text, at, end)
		}
		at = end + 1
	}
}

func (f *Fields) addPair(text []byte, start, end int) {
	name, value := text[start:end], text[end:end]
	at := end
	if i := bytes.IndexByte(name, '='); i >= 0 {
		at = start + i + 1
		name, value = name[:i], text[at:end]
	}
	f.Args = append(f.Args, Field{f.unescape(name), f.unescape(value), at, end})
}

// unescape decodes percent escapes and '+'. What holds none is not copied.
func (f *Fields) unescape(s []byte) string {
	first := bytes.IndexAny(s, "%+")
	if first < 0 {
		return view(s)
	}
	dst := append(f.arena.take(len(s)), s[:first]...)
	for i := first; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			dst = append(dst, ' ')
		case '%':
			if v, ok := hexPair(s[i+1:]); ok {
				dst = append(dst, v)
				i += 2
				continue
			}
			dst = append(dst, c)
		default:
			dst = append(dst, c)
		}
	}
	return f.arena.keep(dst)
}

func hexPair(s []byte) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	high, ok1 := hexDigit(s[0])
	low, ok2 := hexDigit(s[1])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// Cookies parses one Cookie header into Args. Control characters and spaces around names and values do not count, and neither
// does a pair without both; a value without a name counts, as some servers hand it to their application.
func Cookies(header []byte, limits Limits, out *Fields) {
	limits = limits.withDefaults(len(header))
	count := 0
	for at := 0; at < len(header); {
		end := len(header)
		if i := bytes.IndexByte(header[at:], ';'); i >= 0 {
			end = at + i
		}
		start, stop := trimControls(header, at, end)
		equals := stop
		if i := bytes.IndexByte(header[start:stop], '='); i >= 0 {
			equals = start + i
		}
		nameStart, nameEnd := trimControls(header, start, equals)
		valueStart, valueEnd := trimControls(header, min(equals+1, stop), stop)
		if nameStart < nameEnd || valueStart < valueEnd {
			if count++; count > limits.Fields {
				out.fail(TooManyFields, at, "more cookies than the limit")
				return
			}
			out.Args = append(out.Args, Field{view(header[nameStart:nameEnd]), view(header[valueStart:valueEnd]), valueStart, valueEnd})
		}
		at = end + 1
	}
}

// trimControls moves start and end inwards over control characters and spaces.
func trimControls(s []byte, start, end int) (int, int) {
	for start < end && (s[start] <= ' ' || s[start] == 0x7f) {
		start++
	}
	for end > start && (s[end-1] <= ' ' || s[end-1] == 0x7f) {
		end--
	}
	return start, end
}
