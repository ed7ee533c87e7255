package transform

import (
	"bytes"
	_ "embed"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// entityList is the HTML standard's list of named character references (section 13.5): a name without its ampersand, then
// one or two code points.
//
//go:embed entities.txt
var entityList string

// longestOpenName is the length of the longest name that the standard lists without a semicolon.
const longestOpenName = 6

// entities maps names to what they stand for, in UTF-8. It is read when the first value needs it.
var entities = sync.OnceValue(func() map[string]string {
	m := make(map[string]string, 2300)
	for line := range strings.Lines(entityList) {
		fields := strings.Fields(line)
		var text []byte
		for _, f := range fields[1:] {
			r, _ := strconv.ParseUint(f, 16, 32) // a test reads the whole list
			text = utf8.AppendRune(text, rune(r))
		}
		m[fields[0]] = string(text)
	}
	return m
})

// htmlEntityDecode decodes character references as html.UnescapeString does, outside of attributes.
func htmlEntityDecode(dst, src []byte) []byte {
	for {
		i := bytes.IndexByte(src, '&')
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		var n int
		if dst, n = numericReference(dst, src[i:]); n == 0 {
			dst, n = namedReference(dst, src[i:])
		}
		src = src[i+n:]
	}
}

// windows1252 are the characters that &#128; to &#159; stand for.
const windows1252 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"

var windows1252Runes = []rune(windows1252)

// numericReference decodes &#1234; or &#x1aF; at the front of s, the semicolon being optional, and says how long it is: 0 if
// there is none. Too large a number wraps around as an int32, as in package html.
func numericReference(dst, s []byte) ([]byte, int) {
	if len(s) <= 3 || s[1] != '#' {
		return dst, 0
	}
	i, base := 2, rune(10)
	if s[2]|0x20 == 'x' {
		i, base = 3, 16
	}
	var r rune
	for i < len(s) {
		v := rune(nibble[s[i]])
		if v >= base {
			break
		}
		r = base*r + v
		i++
	}
	if i < len(s) && s[i] == ';' {
		i++
	}
	if i <= 3 { // also "&#1" without its semicolon
		return dst, 0
	}
	if 0x80 <= r && r <= 0x9f {
		r = windows1252Runes[r-0x80]
	} else if r == 0 {
		r = utf8.RuneError
	}
	return utf8.AppendRune(dst, r), i
}

// namedReference decodes &name; at the front of s or, where the standard allows it, a name without semicolon or the start
// of one. What is none is copied. It returns how many bytes it took, at least one.
func namedReference(dst, s []byte) ([]byte, int) {
	n := 1
	for n < len(s) && isAlphanumeric(s[n]) {
		n++
	}
	if n < len(s) && s[n] == ';' {
		n++
	}
	name := s[1:n]
	if len(name) == 0 {
		return append(dst, '&'), 1
	}
	names := entities()
	if text, ok := names[string(name)]; ok {
		return append(dst, text...), n
	}
	for j := min(len(name)-1, longestOpenName); j > 1; j-- {
		if text, ok := names[string(name[:j])]; ok {
			return append(dst, text...), j + 1
		}
	}
	return append(dst, s[:n]...), n
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
