package seclang

import (
	"stormdoor/seclang/internal/body"
	"stormdoor/seclang/internal/unpack"
)

// Cutter cuts a request's body that is too long to be judged at once into pieces, each of which is a body of the same kind, to be
// judged by a Transaction of its own that is told the same head. All of the body is in a piece but the contents of files in a
// multipart form, behind what they begin with. A value that is longer than the window is in several pieces under its name, which overlap.
type Cutter struct {
	of      body.Cutter
	codings string // what has to be undone before
}

// Cutter returns what cuts the request's body, from its beginning on; nil where it cannot be cut. read says that rules read the body.
// What it cuts of a packed body is what Packed reads. The transaction must have been told the request's head.
func (t *Transaction) Cutter() (c *Cutter, read bool) {
	if !t.WantsRequestBody() {
		return nil, false
	}
	contentType, _ := t.header("content-type")
	processor := t.singles[reqbodyProcessor]
	if processor == "" && t.forceRequestBody {
		processor = "URLENCODED"
	}
	codings := t.codings()
	form := t.singles[reqbodyProcessor] == "URLENCODED" || processor == "MULTIPART" // as they came they may be forms as well: readPacked
	if codings != "" && !(t.rules.nested && unpack.Streams(codings) && !form) {
		return nil, true // it would have to be unpacked, or read twice
	}
	if of := body.NewCutter(processor, contentType); of != nil {
		return &Cutter{of, codings}, true
	}
	return nil, processor != "" || t.isGraphQL()
}

// Cut looks at the window, which holds what of the body is not settled yet. final says that the body ends with it, full that it
// cannot grow. The piece is good until the next Cut, and as long as the window does not change.
func (c *Cutter) Cut(window []byte, final, full bool) Piece {
	return Piece{c.of.Cut(window, final, full)}
}

// Piece is a piece of a body. The zero value is nothing.
type Piece struct{ of body.Piece }

// Settled is how much of the window is in this or an earlier piece, in bytes: the next window begins behind it. With 0 it must
// grow.
func (p Piece) Settled() int { return p.of.Settled }

// Len is how long the piece is, in bytes, with what was added for it to be a body; 0 where nothing is to be judged.
func (p Piece) Len() int {
	if len(p.of.Body) == 0 {
		return 0
	}
	return len(p.of.Head) + len(p.of.Body) + len(p.of.Tail)
}

// With is the piece with another text in the place of what of the body is in it. It adds nothing that would end there.
func (p Piece) With(edit func([]byte) []byte) Piece {
	p.of.Body = edit(p.of.Body)
	return p
}

// RequestPiece takes a piece instead of the request's body, unpacked. SecRequestBodyLimit does not bound it.
func (t *Transaction) RequestPiece(p Piece) Interruption {
	t.piece = true
	t.set.requestLimit = max(t.set.requestLimit, p.Len()+1)
	t.RequestBody(p.of.Head)
	t.RequestBody(p.of.Body)
	return t.RequestBody(p.of.Tail)
}
