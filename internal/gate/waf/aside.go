package waf

import (
	"context"
	"runtime"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/internal/wire"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// large is the size of a request, in bytes, from which on it is judged aside: about 200 us of a processor for an ordinary one,
// and a hundred times that for one that was made to cost much. An event loop would keep everybody else waiting for so long.
const large = 4 << 10

// Turns bound how many large requests are judged at once, over all editions of a door: one processor less than there are, so
// that event loops always find one. Pieces of long bodies may have half of the turns, and wait for one among themselves first: a
// request that is judged whole has at most so many before it.
type Turns struct{ all, pieces chan struct{} }

// NewTurns returns the turns for the processors of this process.
func NewTurns() *Turns { return newTurns(max(1, runtime.GOMAXPROCS(0)-1)) }

func newTurns(n int) *Turns {
	return &Turns{all: make(chan struct{}, n), pieces: make(chan struct{}, max(1, n/2))}
}

// request waits for the turn of a request; done gives it back.
func (t *Turns) request() { t.all <- struct{}{} }
func (t *Turns) done()    { <-t.all }

// piece waits for the turn of a piece of a body; pieceDone gives it back. Without turns there is no waiting.
func (t *Turns) piece() {
	if t != nil {
		t.pieces <- struct{}{}
		t.request()
	}
}

func (t *Turns) pieceDone() {
	if t != nil {
		t.done()
		<-t.pieces
	}
}

// judgeUnder judges a request in the serving function of the exchange whose context ctx is, and a large one off its loop. It is
// judged also when its visitor has left: whoever leaves early must not get an attack past the rules.
func (s *Stage) judgeUnder(ctx context.Context, f *flow.Facts, mode policy.WAFMode, body openapi.Body) flow.Verdict {
	if sizeOf(f, body.Bytes) < large {
		return s.judge(f, mode, body, nil)
	}
	return s.judgeAside(ctx, f, mode, body, nil)
}

// judgeAside judges a request off its loop, by a piece of its body where there is one.
func (s *Stage) judgeAside(ctx context.Context, f *flow.Facts, mode policy.WAFMode, body openapi.Body, piece *seclang.Piece) (v flow.Verdict) {
	if s.turns == nil {
		return s.judge(f, mode, body, piece)
	}
	var failed any
	wire.Block(ctx, func(<-chan struct{}) {
		s.turns.request()
		defer func() {
			s.turns.done()
			failed = recover() // it is the stage's failure, not the process's
		}()
		v = s.judge(f, mode, body, piece)
	})
	if failed != nil {
		panic(failed)
	}
	return v
}

// sizeOf is how many bytes of a request are looked at, about.
func sizeOf(f *flow.Facts, body []byte) int {
	size := len(f.Path.Raw) + len(f.Query) + len(body)
	for i := range f.Header.Len() {
		h := f.Header.At(i)
		size += len(h.Name) + len(h.Value)
	}
	return size
}
