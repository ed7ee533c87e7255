package body

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Cutter cuts a body that is too long to be parsed at once into pieces that are bodies of the same kind, each with the names and
// brackets that what stands in it needs. All of the body is in a piece but the contents of files in a multipart form. A value
// that is longer than the window is in several pieces under its name, and the end of each piece is the beginning of the next.
type Cutter interface {
	// Cut looks at the window: what of the body is not settled yet. final says that the body ends with it, full that it cannot
	// grow: only then is a value cut in two. The window must not change while the piece is in use.
	Cut(window []byte, final, full bool) Piece
}

// Piece is a body: Head, Body (a part of the window) and Tail, one behind the other. One whose Body is empty holds nothing.
// Head and Tail are the cutter's, until its next Cut.
type Piece struct {
	Head, Body, Tail []byte
	// Settled is how much of the window is in this or an earlier piece: the next window begins behind it. With 0, of a window
	// that is not empty, it must grow.
	Settled int
}

// NewCutter returns a cutter for bodies that the processor of the name reads; contentType is that of a multipart form. nil: there
// is none for them.
func NewCutter(processor, contentType string) Cutter {
	switch processor {
	case "URLENCODED":
		return new(formCutter)
	case "JSON":
		return new(jsonCutter)
	case "XML":
		return new(xmlCutter)
	case "MULTIPART":
		return newMultipartCutter(contentType)
	case "RAW":
		return rawCutter{}
	}
	return nil
}

// rawCutter cuts a body that nothing takes apart.
type rawCutter struct{}

// Cut implements Cutter.
func (rawCutter) Cut(window []byte, final, full bool) Piece {
	switch {
	case tooEarly(window, final, full):
		return Piece{}
	case final:
		return Piece{Body: window, Settled: len(window)}
	}
	return Piece{Body: window, Settled: len(window) - overlapOf(window)}
}

const (
	// cutOverlap is how much of a value that is cut is in both pieces, in bytes: an attack of this length is whole in one of them.
	cutOverlap = 8 << 10
	// cutFrom is how large a window is before it is cut, in bytes, unless it is full or final: each piece is judged with the whole head.
	cutFrom = 32 << 10
	// cutTokens is how many tokens of JSON or XML, and pairs of a form, are in a piece: a list of numbers would otherwise have more
	// fields in one than are read of a request.
	cutTokens = 8 << 10
	// cutName is how much of a name that is cut goes with its value.
	cutName = 256
)

// overlapOf is cutOverlap, less in a small window.
func overlapOf(window []byte) int { return min(cutOverlap, len(window)/4) }

// tooEarly reports whether a window is to grow before it is cut.
func tooEarly(window []byte, final, full bool) bool {
	return len(window) == 0 || !final && !full && len(window) < cutFrom
}

// wholeRune is the last place of s up to at where no character of UTF-8 is cut in two.
func wholeRune(s []byte, at int) int {
	for back := 1; back <= utf8.UTFMax && back <= at; back++ {
		if b := s[at-back]; utf8.RuneStart(b) {
			if !utf8.FullRune(s[at-back : at]) {
				return at - back
			}
			break
		}
	}
	return at
}

// leadOf is the beginning of a value that has to stand before each piece of it for the pieces to be what the whole is: of an
// address that holds its data (RFC 2397), its type and the first bytes. nil for any other value.
func leadOf(value []byte) []byte {
	const scheme, most, magic = "data:", 100, 16
	front := value[:min(len(value), most)]
	if !strings.EqualFold(view(front[:min(len(front), len(scheme))]), scheme) {
		return nil
	}
	comma := bytes.IndexByte(front, ',')
	if comma < 0 || comma+magic > len(value) {
		return nil
	}
	lead := value[:comma+magic]
	for _, b := range lead {
		if !('0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'z' || strings.IndexByte(":;,/+-.=", b) >= 0) {
			return nil
		}
	}
	return bytes.Clone(lead)
}
