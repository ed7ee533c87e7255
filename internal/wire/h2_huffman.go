package wire

import (
	"errors"
	"strings"

	"golang.org/x/net/http2/hpack"
)

var (
	errH2Huffman = errors.New("the Huffman code of a header string is broken")
	errH2TooLong = errors.New("a header string is longer than the header may be")
)

// h2LongestCode is the longest Huffman code of HPACK in bits, that of EOS (RFC 7541, appendix B).
const h2LongestCode = 30

// h2HuffmanTable decodes HPACK's Huffman code. The code is canonical: codes of one length follow each other in the
// order of their symbols, so that first, count and the symbols by length say everything.
type h2HuffmanTable struct {
	// short maps the next 8 bits to length<<8 | symbol for codes of up to 8 bits, to 0 for longer ones.
	short [256]uint16
	first [h2LongestCode + 1]uint32
	long  [h2LongestCode + 1][]byte
}

// h2Huffman is never changed.
var h2Huffman = buildH2Huffman()

// buildH2Huffman takes the code from the hpack package by encoding each symbol.
func buildH2Huffman() *h2HuffmanTable {
	t := new(h2HuffmanTable)
	for sym := range 256 {
		one := string([]byte{byte(sym)})
		bits := int(hpack.HuffmanEncodeLength(strings.Repeat(one, 8)))
		var code uint32
		for i, b := range append(hpack.AppendHuffmanString(nil, one), 0, 0, 0)[:4] {
			code |= uint32(b) << (24 - 8*i)
		}
		code >>= 32 - bits
		if bits <= 8 {
			for i := range 1 << (8 - bits) {
				t.short[int(code)<<(8-bits)+i] = uint16(bits<<8 | sym)
			}
			continue
		}
		if len(t.long[bits]) == 0 {
			t.first[bits] = code
		}
		t.long[bits] = append(t.long[bits], byte(sym))
	}
	return t
}

// decode appends the string that src encodes to dst. It gives up with errH2TooLong when more than limit bytes come out.
func (t *h2HuffmanTable) decode(dst, src []byte, limit int) ([]byte, error) {
	var acc uint64 // the low n bits are still to be decoded
	var n uint
	end := len(dst) + limit
	for _, b := range src {
		acc, n = acc<<8|uint64(b), n+8
		for n >= 8 {
			if e := t.short[byte(acc>>(n-8))]; e != 0 {
				dst, n = append(dst, byte(e)), n-uint(e>>8)
				continue
			}
			sym, bits := t.longest(acc, n)
			if bits == 0 {
				break
			}
			dst, n = append(dst, sym), n-bits
		}
		if n >= h2LongestCode {
			return dst, errH2Huffman
		}
		if len(dst) > end {
			return dst, errH2TooLong
		}
	}
	for n > 0 && n < 8 {
		e := t.short[byte(acc<<(8-n))|byte(1<<(8-n)-1)]
		if e == 0 || uint(e>>8) > n {
			break
		}
		dst, n = append(dst, byte(e)), n-uint(e>>8)
	}
	// What is left is padding: fewer than 8 bits, the beginning of EOS (RFC 7541, section 5.2).
	if ones := uint64(1)<<n - 1; n > 7 || acc&ones != ones {
		return dst, errH2Huffman
	}
	if len(dst) > end {
		return dst, errH2TooLong
	}
	return dst, nil
}

// longest finds a code of more than 8 bits at the top of the n low bits of acc; bits is 0 when there is none (yet).
func (t *h2HuffmanTable) longest(acc uint64, n uint) (sym byte, bits uint) {
	for bits = 9; bits <= h2LongestCode && bits <= n; bits++ {
		code := uint32(acc >> (n - bits) & (1<<bits - 1))
		if i := int64(code) - int64(t.first[bits]); i >= 0 && i < int64(len(t.long[bits])) {
			return t.long[bits][i], bits
		}
	}
	return 0, 0
}
