package transform

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

func isASCIISpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// latinSpaceBytes are the bytes by which whitespace of Latin-1 can begin, in UTF-8 or raw.
const latinSpaceBytes = asciiSpace + "\xc2\xa0"

// stops are bytes at which a transformation stops copying.
type stops [256]bool

func stopAt(set string) *stops {
	var s stops
	for i := 0; i < len(set); i++ {
		s[set[i]] = true
	}
	return &s
}

// run returns how many bytes at the front of s are no stops.
func (t *stops) run(s []byte) int {
	for i, c := range s {
		if t[c] {
			return i
		}
	}
	return len(s)
}

var (
	spaceStops   = stopAt(asciiSpace + highBytes)
	upperStops   = stopAt(upper + highBytes)
	lowerStops   = stopAt(lower + highBytes)
	highStops    = stopAt(highBytes)
	cmdLineStops = stopAt(cmdLineBytes + "/(")
)

// compressWhitespace turns each run of whitespace into one space. Whitespace is ASCII's, U+0085 and U+00A0 as UTF-8,
// and a raw 0xA0 that is no part of a character.
func compressWhitespace(dst, src []byte) []byte {
	inSpace := false
	for i := 0; i < len(src); {
		if n := spaceStops.run(src[i:]); n > 0 {
			dst = append(dst, src[i:i+n]...)
			inSpace = false
			i += n
			continue
		}
		r, size := rune(src[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(src[i:])
		}
		if r < utf8.RuneSelf || r == 0x85 || r == 0xa0 || src[i] == 0xa0 {
			if !inSpace {
				dst = append(dst, ' ')
			}
			inSpace = true
		} else {
			dst = append(dst, src[i:i+size]...)
			inSpace = false
		}
		i += size
	}
	return dst
}

// mapCase copies src and puts what one says in the place of each character that begins with a stop. An invalid byte becomes
// U+FFFD, as in strings.ToLower and strings.ToUpper.
func mapCase(dst, src []byte, stops *stops, one func(rune) rune) []byte {
	for len(src) > 0 {
		n := stops.run(src)
		dst = append(dst, src[:n]...)
		if src = src[n:]; len(src) == 0 {
			break
		}
		r, size := rune(src[0]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(src)
		}
		dst = utf8.AppendRune(dst, one(r))
		src = src[size:]
	}
	return dst
}

func lowercase(dst, src []byte) []byte { return mapCase(dst, src, upperStops, unicode.ToLower) }

func uppercase(dst, src []byte) []byte { return mapCase(dst, src, lowerStops, unicode.ToUpper) }

func hasSpace(src []byte) bool { return bytes.ContainsFunc(src, unicode.IsSpace) }

func removeWhitespace(dst, src []byte) []byte {
	for len(src) > 0 {
		n := spaceStops.run(src)
		dst = append(dst, src[:n]...)
		if src = src[n:]; len(src) == 0 {
			break
		}
		r, size := rune(src[0]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(src)
			if !unicode.IsSpace(r) {
				dst = utf8.AppendRune(dst, r)
			}
		}
		src = src[size:]
	}
	return dst
}

func trim(dst, src []byte) []byte { return append(dst, bytes.Trim(src, asciiSpace)...) }

func trimLeft(dst, src []byte) []byte { return append(dst, bytes.TrimLeft(src, asciiSpace)...) }

func trimRight(dst, src []byte) []byte { return append(dst, bytes.TrimRight(src, asciiSpace)...) }

// cmdLineBytes are the bytes that cmdLine acts on.
const cmdLineBytes = upper + "\"'\\^ ,;\t\r\n"

// cmdLine undoes what shells ignore: quotes, carets and backslashes go, separators become one space, none before '/' and
// '(', and letters become lower case.
func cmdLine(dst, src []byte) []byte {
	inSpace := false
	for len(src) > 0 {
		if n := cmdLineStops.run(src); n > 0 {
			dst = append(dst, src[:n]...)
			src = src[n:]
			inSpace = false
			continue
		}
		c := src[0]
		src = src[1:]
		switch c {
		case '"', '\'', '\\', '^':
			continue
		case ' ', ',', ';', '\t', '\r', '\n':
			if !inSpace {
				dst = append(dst, ' ')
			}
			inSpace = true
			continue
		case '/', '(':
			if inSpace {
				dst = dst[:len(dst)-1]
			}
		default:
			c += 'a' - 'A'
		}
		dst = append(dst, c)
		inSpace = false
	}
	return dst
}
