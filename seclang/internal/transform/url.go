package transform

import (
	"bytes"
	"slices"
)

// nibble maps a hex digit to its value and every other byte to 0xff.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := 0; i < len(hexDigits); i++ {
		c := hexDigits[i]
		switch {
		case c <= '9':
			t[c] = c - '0'
		case c <= 'F':
			t[c] = c - 'A' + 10
		default:
			t[c] = c - 'a' + 10
		}
	}
	return t
}()

func isHex(c byte) bool { return nibble[c] != 0xff }

// hexByte reads two hex digits at s[i]; false if they are not there.
func hexByte(s []byte, i int) (byte, bool) {
	if i+1 >= len(s) || !isHex(s[i]) || !isHex(s[i+1]) {
		return 0, false
	}
	return nibble[s[i]]<<4 | nibble[s[i+1]], true
}

// plainRun returns how many bytes at the front of s are neither '%' nor '+'.
func plainRun(s []byte) int {
	n := 0
	for n < len(s) && s[n] != '%' && s[n] != '+' {
		n++
	}
	return n
}

func urlDecode(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		n := plainRun(src[i:])
		dst = append(dst, src[i:i+n]...)
		if i += n; i == len(src) {
			break
		}
		if src[i] == '+' {
			dst = append(dst, ' ')
			i++
			continue
		}
		if c, ok := hexByte(src, i+1); ok {
			dst = append(dst, c)
			i += 3
			continue
		}
		dst = append(dst, '%')
		i++
	}
	return dst
}

// urlDecodeUni also knows the %uHHHH form of Microsoft's servers. What the best-fit table lists becomes that character;
// anything else keeps its low byte.
func urlDecodeUni(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		n := plainRun(src[i:])
		dst = append(dst, src[i:i+n]...)
		if i += n; i == len(src) {
			break
		}
		switch {
		case src[i] == '+':
			dst = append(dst, ' ')
			i++
		case i+1 < len(src) && src[i+1]|0x20 == 'u':
			high, ok1 := hexByte(src, i+2)
			low, ok2 := hexByte(src, i+4)
			if !ok1 || !ok2 {
				dst = append(dst, src[i], src[i+1])
				i += 2
				continue
			}
			dst = append(dst, foldWide(high, low))
			i += 6
		default:
			c, ok := hexByte(src, i+1)
			if !ok {
				dst = append(dst, '%')
				i++
				continue
			}
			dst = append(dst, c)
			i += 3
		}
	}
	return dst
}

// foldWide reduces the character high<<8|low to one byte.
func foldWide(high, low byte) byte {
	code := uint16(high)<<8 | uint16(low)
	if at, ok := slices.BinarySearchFunc(bestFit[:], code, func(p fit, c uint16) int { return int(p.from) - int(c) }); ok {
		return bestFit[at].to
	}
	if high == 0xff && low > 0 && low < 0x5f { // full-width ASCII
		return low + 0x20
	}
	return low
}

const hexLower = "0123456789abcdef"

func urlEncode(dst, src []byte) []byte {
	for _, c := range src {
		switch {
		case c == ' ':
			dst = append(dst, '+')
		case c == '*' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', hexLower[c>>4], hexLower[c&15])
		}
	}
	return dst
}

func removeNulls(dst, src []byte) []byte {
	for {
		i := bytes.IndexByte(src, 0)
		if i < 0 {
			return append(dst, src...)
		}
		dst = append(dst, src[:i]...)
		src = src[i+1:]
	}
}

func replaceNulls(dst, src []byte) []byte {
	dst = append(dst, src...)
	for i := range dst {
		if dst[i] == 0 {
			dst[i] = ' '
		}
	}
	return dst
}
