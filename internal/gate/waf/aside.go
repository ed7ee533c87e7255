package waf

import (
	"context"
	"runtime"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// large is the size of a request, in bytes, from which on it is judged aside: about 200 us of a processor for an ordinary one,
// and a hundred times that for one that was made to cost much. An event loop would keep everybody else waiting for so long.
const large = 4 << 10

// Turns bound how many large requests are judged at once, over all editions of a door: one processor less than there are, so
// that event loops always find one.
type Turns chan struct{}

// NewTurns returns the turns for the processors of this process.
func NewTurns() Turns { return make(Turns, max(1, runtime.GOMAXPROCS(0)-1)) }

// judgeUnder judges a request in the serving function of the exchange whose context ctx is, and a large one off its loop. It is
// judged also when its visitor has left: whoever leaves early must not get an attack past the rules.
func (s *Stage) judgeUnder(ctx context.Context, f *flow.Facts, mode policy.WAFMode, body openapi.Body) flow.Verdict {
	if s.turns == nil || sizeOf(f, body.Bytes) < large {
		return s.judge(f, mode, body)
	}
	return s.judgeAside(ctx, f, mode, body)
}

func (s *Stage) judgeAside(ctx context.Context, f *flow.Facts, mode policy.WAFMode, body openapi.Body) (v flow.Verdict) {
	var failed any
	wire.Block(ctx, func(<-chan struct{}) {
		s.turns <- struct{}{}
		defer func() {
			<-s.turns
			failed = recover() // it is the stage's failure, not the process's
		}()
		v = s.judge(f, mode, body)
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
