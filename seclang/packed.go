package seclang

import (
	"io"

	"stormdoor/seclang/internal/unpack"
)

// UnpackedMost is the most that a packed body of a size may become, in bytes: one that becomes more counts as one that cannot be read.
func UnpackedMost(size int64) int64 { return unpack.Most(size) }

// ErrUnpack is what reading a Packed ends with where the body cannot be unpacked: it is none of its coding, or becomes too much.
var ErrUnpack = unpack.ErrUnpack

// Packed reads what a body with a Content-Encoding of gzip or deflate holds, as it comes, and gives of the packed bytes what unfolds
// to nothing that has not been judged. It is for one goroutine at a time.
type Packed struct{ of *unpack.Stream }

// Packed returns what unpacks a body of whose packed bytes some are there and the others come from src, nil for no others. Of those that
// were not taken, it holds about as many as said at most; begun is kept. What comes out has at most most bytes. nil: the body is not
// packed, or not in such a way.
func (c *Cutter) Packed(begun []byte, src io.Reader, held, most int) *Packed {
	of := unpack.NewStream(c.codings, begun, src, held, unpack.Limits{Bytes: most})
	if of == nil {
		return nil
	}
	return &Packed{of}
}

// Read gives what the body holds. It ends with io.EOF, with ErrUnpack, or with the error of src.
func (p *Packed) Read(b []byte) (int, error) { return p.of.Read(b) }

// Ready is how many packed bytes may be taken, when so many of those that Read gave have been judged.
func (p *Packed) Ready(judged int64) int { return p.of.Ready(judged) }

// Take gives packed bytes that are ready.
func (p *Packed) Take(b []byte, judged int64) int { return p.of.Take(b, judged) }

// Rest reads the packed bytes that were not taken, to the end of the body. The Packed is no more to be used.
func (p *Packed) Rest() io.Reader { return p.of.Rest() }
