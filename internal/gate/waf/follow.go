package waf

import (
	"errors"
	"io"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// follower reads what of a body stands behind its inspected beginning, and gives nothing of it that has not been judged: it is cut
// into pieces, each of which is judged as a request with the same head. What was found ends the reading, so that an origin
// never gets the body whole (docs/decisions/0100-the-rest-of-a-body.md).
//
// It reads in whatever goroutine sends the body on, which may be after its request is over: its facts are a copy.
type follower struct {
	stage *Stage
	facts *flow.Facts
	mode  policy.WAFMode
	cut   *seclang.Cutter
	src   io.Reader // nil when the body has ended

	window []byte // what was read and not given yet; it never grows beyond its capacity
	given  int    // bytes of the window
	judged int    // bytes of the window
	end    error  // what reading ended with

	packed *seclang.Packed // unpacks what is sent on as it came; nil where src is what was sent
	plain  int64           // bytes of what it holds that have been judged
	takes  *charge         // what unpacking takes
	loose  io.Reader       // the rest of what cannot be unpacked and goes on all the same

	found
}

// found is what a body has come to while it is sent on.
type found struct {
	verdict atomic.Pointer[flow.Verdict] // the first that is one
	work    atomic.Int64
}

// errRefused ends a body in which something was found.
var errRefused = errors.New("the firewall refuses what the rest of the body holds")

// cutter is what cuts the body of a request, nil where it cannot be cut. read says that rules read the body.
func (s *Stage) cutter(f *flow.Facts) (cut *seclang.Cutter, read bool) {
	tx := s.rules.New(seclang.Start{Mode: seclang.Detect, Arrived: f.Arrived})
	defer tx.Close()
	feedHead(tx, f)
	return tx.Cutter()
}

// Len is how much can be read without waiting.
func (r *follower) Len() int {
	if r.packed != nil {
		return r.packed.Ready(r.plain)
	}
	return r.judged - r.given
}

// Read implements io.Reader.
func (r *follower) Read(p []byte) (int, error) {
	for len(p) > 0 {
		switch n := r.take(p); {
		case n > 0:
			return n, nil
		case r.loose != nil:
			return r.loose.Read(p)
		case r.end != nil:
			return 0, r.end
		}
		r.advance()
	}
	return 0, nil
}

// take gives what has been judged.
func (r *follower) take(p []byte) (n int) {
	if r.loose != nil {
		return 0
	}
	if r.packed != nil {
		return r.packed.Take(p, r.plain)
	}
	n = copy(p, r.window[r.given:r.judged])
	r.given += n
	return n
}

// leastPiece is how much a window holds before it is looked at whether it makes a piece, in bytes.
const leastPiece = 4 << 10

// advance reads until more of the body is settled, or the end has come.
func (r *follower) advance() {
	left := copy(r.window[:cap(r.window)], r.window[r.judged:])
	r.window, r.given, r.judged = r.window[:left], 0, 0
	for enough := left + leastPiece; ; {
		full := len(r.window) == cap(r.window)
		if full || r.src == nil || len(r.window) >= enough {
			settled, ok := r.next(full)
			if !ok {
				r.end = errRefused
				return
			}
			r.plain += int64(settled)
			if r.judged = settled; settled > 0 {
				return
			}
			if r.src == nil {
				r.end = io.EOF
				r.takes.giveBack()
				return
			}
			enough = len(r.window) + max(leastPiece, len(r.window)/2) // what was in vain is not tried again for every byte
		}
		n, err := r.src.Read(r.window[len(r.window):cap(r.window)])
		r.window = r.window[:len(r.window)+n]
		switch {
		case err == io.EOF:
			r.src = nil
		case err == seclang.ErrUnpack:
			r.unreadable()
			return
		case err != nil:
			r.end = err
			return
		}
	}
}

// unreadable ends a body of which the rest cannot be unpacked; where rules only count, it goes on as it is.
func (r *follower) unreadable() {
	v := uncut(r.mode)
	r.note(v)
	if r.end = errRefused; v.Dry {
		r.end, r.loose = nil, r.packed.Rest()
	}
}

// next cuts the next piece and judges it, and says how much of the window is settled by it. A failure of the stage refuses, for nobody
// would answer for what follows; where rules only count, it is noted and the window goes on.
func (r *follower) next(full bool) (settled int, ok bool) {
	defer func() {
		if recover() != nil {
			v := flow.Verdict{Action: flow.Refuse, Reason: flow.StageFailed, Dry: r.mode != policy.WAFBlocks}
			r.note(v)
			settled, ok = len(r.window), v.Dry
		}
	}()
	piece := r.cut.Cut(r.window, r.src == nil, full)
	if full && piece.Settled() == 0 {
		panic("a full window of which nothing is settled")
	}
	return piece.Settled(), piece.Len() == 0 || r.passes(piece)
}

// passes judges a piece, in its turn.
func (r *follower) passes(piece seclang.Piece) bool {
	s := r.stage
	s.turns.piece()
	defer s.turns.pieceDone()
	v := s.inspectPiece(r.facts, r.mode, piece)
	r.work.Add(v.Work)
	if v.Action > flow.Admit {
		r.note(v)
	}
	return !v.Sure()
}

// note keeps the first verdict that is one, and a sure one rather than one that only counts.
func (f *found) note(v flow.Verdict) {
	if before := f.verdict.Load(); before == nil || v.Sure() {
		f.verdict.Store(&v)
	}
}

func (f *found) late() (v flow.Verdict, ok bool) {
	work := f.work.Load()
	if found := f.verdict.Load(); found != nil {
		v, ok = *found, true
	}
	v.Work = work
	return v, ok || work > 0
}

// inspectPiece takes a piece of a body through the rules, under the head of its request.
func (s *Stage) inspectPiece(f *flow.Facts, mode policy.WAFMode, piece seclang.Piece) flow.Verdict {
	start := s.start(f, mode, piece.Len())
	start.Observer = s.observer()
	tx := s.rules.New(start)
	defer tx.Close()
	feedPiece(tx, f, piece)
	s.charge(f, tx)
	return s.verdict(f, tx, mode)
}

// Late is the verdict that the rest of the body has come to by now; ok is false where it came to none. Work is what its
// inspection has taken so far.
func (h *Held) Late() (v flow.Verdict, ok bool) {
	if h.followed == nil {
		return v, false
	}
	return h.followed.late()
}
