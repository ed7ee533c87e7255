package match

import (
	"regexp/syntax"
	"slices"
	"sync"
)

// A workspace is where a machine computes a step. What it holds is valid until the next one.
type workspace struct {
	to     reached        // what the step came to
	from   syntax.EmptyOp // assertions that hold at the position that the step leaves
	passed []uint32       // the instructions that follow visited
	stack  []uint32       // of follow
	queue  []uint32       // of leave
	mark   marks          // what follow visited
	left   marks          // what leave visited
	work   int            // instructions visited since this was last set to 0
}

func newPool(p *program) *sync.Pool {
	return &sync.Pool{New: func() any {
		return &workspace{mark: newMarks(), left: newMarks(), to: reached{hits: NewBits(len(p.patterns))}}
	}}
}

// workspace returns one that is to be released.
func (p *program) workspace() *workspace { return p.pool.Get().(*workspace) }

func (p *program) release(w *workspace) { p.pool.Put(w) }

// reset begins a step towards a position after a rune of kind k.
func (w *workspace) reset(k kind) {
	w.to.threads, w.to.kind = w.to.threads[:0], k
	w.to.hits.Clear()
	w.passed = w.passed[:0]
	w.mark.clear()
	w.left.clear()
}

// came reports whether w.to is s.
func (w *workspace) came(s *state) bool {
	if s.kind != w.to.kind || len(s.threads) != len(w.to.threads) {
		return false
	}
	for _, pc := range s.threads {
		if !w.mark.has(pc) {
			return false
		}
	}
	some, first := w.to.hits.trim()
	return first == int(s.first) && slices.Equal(some, s.some)
}
