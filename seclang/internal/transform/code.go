package transform

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strconv"
)

// sextet maps a letter of the base64 alphabet (RFC 4648, section 4) to its value and every other byte to 0xff.
var sextet = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	const alphabet = upper + lower + digits + "+/"
	for i := 0; i < len(alphabet); i++ {
		t[alphabet[i]] = byte(i)
	}
	return t
}()

// base64Decode decodes up to the first byte that is neither of the alphabet nor a line end.
func base64Decode(dst, src []byte) []byte {
	var d sextets
	for _, c := range src {
		if c == '\r' || c == '\n' {
			continue
		}
		v := sextet[c]
		if v == 0xff {
			break
		}
		dst = d.add(dst, v)
	}
	return d.end(dst)
}

// base64DecodeExt reads the URL alphabet too, skips what is in neither, and ends at '='.
func base64DecodeExt(dst, src []byte) []byte {
	var d sextets
	for _, c := range src {
		switch c {
		case '-':
			c = '+'
		case '_':
			c = '/'
		}
		if c == '=' {
			break
		}
		if v := sextet[c]; v != 0xff {
			dst = d.add(dst, v)
		}
	}
	return d.end(dst)
}

// sextets gathers groups of four.
type sextets struct {
	bits uint32
	n    int
}

func (s *sextets) add(dst []byte, v byte) []byte {
	s.bits = s.bits<<6 | uint32(v)
	if s.n++; s.n < 4 {
		return dst
	}
	b := s.bits
	*s = sextets{}
	return append(dst, byte(b>>16), byte(b>>8), byte(b))
}

// end appends what an incomplete last group holds.
func (s *sextets) end(dst []byte) []byte {
	switch s.n {
	case 2:
		return append(dst, byte(s.bits>>4))
	case 3:
		return append(dst, byte(s.bits>>10), byte(s.bits>>2))
	}
	return dst
}

func base64Encode(dst, src []byte) []byte { return base64.StdEncoding.AppendEncode(dst, src) }

// hexDecode leaves a value as it is that is not an even number of hex digits.
func hexDecode(dst, src []byte) []byte {
	out, err := hex.AppendDecode(dst, src)
	if err != nil {
		return append(dst, src...)
	}
	return out
}

func hexEncode(dst, src []byte) []byte { return hex.AppendEncode(dst, src) }

// md5Sum appends the raw sum, which rules compare after hexEncode.
func md5Sum(dst, src []byte) []byte {
	sum := md5.Sum(src)
	return append(dst, sum[:]...)
}

// sha1Sum appends the raw sum, which rules compare after hexEncode.
func sha1Sum(dst, src []byte) []byte {
	sum := sha1.Sum(src)
	return append(dst, sum[:]...)
}

// length appends the number of bytes in decimal.
func length(dst, src []byte) []byte { return strconv.AppendInt(dst, int64(len(src)), 10) }
