package transform

import (
	"bytes"
	"unicode/utf8"
)

// cEscape reads the letter of a one-letter escape of C; false if it is none.
func cEscape(c byte) (byte, bool) {
	switch c {
	case 'a':
		return '\a', true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'v':
		return '\v', true
	}
	return c, false
}

// octal reads up to three octal digits at the front of s: their value and how many there are.
func octal(s []byte) (value, n int) {
	for n < 3 && n < len(s) && '0' <= s[n] && s[n] <= '7' {
		value = value<<3 | int(s[n]-'0')
		n++
	}
	return value, n
}

// hexRun reads up to six hex digits at the front of s: their value and how many there are.
func hexRun(s []byte) (value rune, n int) {
	for n < 6 && n < len(s) && isHex(s[n]) {
		value = value<<4 | rune(nibble[s[n]])
		n++
	}
	return value, n
}

// unescape copies src to dst and calls one for each backslash: it appends what the escape at the front of its argument
// stands for and says how many bytes that took, at least one.
func unescape(dst, src []byte, one func(dst, escape []byte) ([]byte, int)) []byte {
	for {
		i := bytes.IndexByte(src, '\\')
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		var n int
		dst, n = one(dst, src[i:])
		src = src[i+n:]
	}
}

func jsDecode(dst, src []byte) []byte { return unescape(dst, src, jsEscape) }

// jsEscape reads \u{H…}, \uHHHH, \xHH, \OOO (at most \377) and one-letter escapes. Of wide characters the low byte is
// kept; full-width ASCII becomes ASCII. Any other escaped character stands for itself.
func jsEscape(dst, s []byte) ([]byte, int) {
	if len(s) == 1 {
		return append(dst, '\\'), 1
	}
	switch s[1] {
	case 'u':
		if len(s) > 2 && s[2] == '{' {
			code, n := hexRun(s[3:])
			if n > 0 && 3+n < len(s) && s[3+n] == '}' {
				low := byte(code)
				if 0xff01 <= code && code <= 0xff5e {
					low += 0x20
				}
				return append(dst, low), n + 4
			}
		}
		high, ok1 := hexByte(s, 2)
		low, ok2 := hexByte(s, 4)
		if ok1 && ok2 {
			if high == 0xff && low > 0 && low < 0x5f {
				low += 0x20
			}
			return append(dst, low), 6
		}
	case 'x':
		if c, ok := hexByte(s, 2); ok {
			return append(dst, c), 4
		}
	}
	if value, n := octal(s[1:]); n > 0 {
		if value > 0xff {
			value, n = value>>3, n-1
		}
		return append(dst, byte(value)), n + 1
	}
	c, _ := cEscape(s[1])
	return append(dst, c), 2
}

func escapeSeqDecode(dst, src []byte) []byte { return unescape(dst, src, cSequence) }

// cSequence reads the escapes of ANSI C: one letter, \xHH, \OOO (its low byte). Any other escaped character stands for
// itself.
func cSequence(dst, s []byte) ([]byte, int) {
	if len(s) == 1 {
		return append(dst, '\\'), 1
	}
	if c, ok := cEscape(s[1]); ok {
		return append(dst, c), 2
	}
	if s[1] == 'x' || s[1] == 'X' {
		if c, ok := hexByte(s, 2); ok {
			return append(dst, c), 4
		}
	}
	if value, n := octal(s[1:]); n > 0 {
		return append(dst, byte(value)), n + 1
	}
	return append(dst, s[1]), 2
}

func cssDecode(dst, src []byte) []byte { return unescape(dst, src, cssEscape) }

// cssEscape reads one escape of CSS Syntax, section 4.3.7: one to six hex digits and one space behind them are a code
// point, an escaped line feed is nothing, any other escaped character is itself. Full-width ASCII becomes ASCII.
func cssEscape(dst, s []byte) ([]byte, int) {
	if len(s) == 1 {
		return dst, 1
	}
	code, n := hexRun(s[1:])
	if n == 0 {
		if s[1] == '\n' {
			return dst, 2
		}
		return append(dst, s[1]), 2
	}
	n++
	switch {
	case code == 0:
		code = utf8.RuneError
	case 0xff01 <= code && code <= 0xff5e:
		code -= 0xfee0
	}
	dst = utf8.AppendRune(dst, code)
	if n < len(s) && isASCIISpace(s[n]) {
		n++
	}
	return dst, n
}

// utf8ToUnicode writes each character beyond ASCII as %uHHHH, an invalid byte as %ufffd.
func utf8ToUnicode(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		n := highStops.run(src[i:])
		dst = append(dst, src[i:i+n]...)
		if i += n; i == len(src) {
			break
		}
		r, size := utf8.DecodeRune(src[i:])
		dst = append(dst, '%', 'u')
		if r > 0xffff { // five or six digits, without padding
			if r > 0xfffff {
				dst = append(dst, hexLower[r>>20&15])
			}
			dst = append(dst, hexLower[r>>16&15])
		}
		dst = append(dst, hexLower[r>>12&15], hexLower[r>>8&15], hexLower[r>>4&15], hexLower[r&15])
		i += size
	}
	return dst
}
