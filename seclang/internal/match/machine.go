package match

import (
	"regexp/syntax"
	"slices"
	"sync/atomic"
)

// kind is what an automaton remembers of the rune before a position, for the assertions ^, \A, \b and \B.
type kind uint8

const (
	atBegin   kind = iota // nothing: the position is the value's first
	afterLine             // a newline
	afterWord             // a word character
	afterElse             // any other rune
	kinds
)

// met returns the assertions about what comes before that hold after a rune of this kind.
func (k kind) met() syntax.EmptyOp {
	switch k {
	case atBegin:
		return syntax.EmptyBeginText | syntax.EmptyBeginLine
	case afterLine:
		return syntax.EmptyBeginLine
	}
	return 0
}

// begins are the assertions that need not know the next rune.
const begins = syntax.EmptyBeginText | syntax.EmptyBeginLine

// endOfText stands for the class of the next rune where there is none.
const endOfText = ^uint16(0)

// A machine runs some patterns of a program as a nondeterministic automaton. It is immutable, but for begun, a memory.
type machine struct {
	*program
	chosen []uint32                         // patterns
	front  bool                             // it ends each pattern where its sticky part begins, and tells that as a hit
	uses   syntax.EmptyOp                   // the assertions that the patterns make
	known  *[kinds]Bits                     // the instructions passed on the way to start, and those of patterns that the machine does not run
	start  [kinds]reached                   // what can be reached from the patterns' starts without taking a rune
	begun  [kinds][]atomic.Pointer[reached] // by class, endOfText being the last: where the threads of start go
}

// reached is what a machine has come to at a position: threads, which are addresses of instructions that take a rune or
// assert something about the next one. The threads with which every position begins are not among them.
type reached struct {
	threads []uint32
	hits    Bits // patterns that match up to here; nil stands for none
	kind    kind
}

func newMachine(p *program, patterns []uint32, front bool) *machine {
	m := &machine{program: p, chosen: patterns, front: front}
	for _, pattern := range patterns {
		for _, in := range p.insts[p.patterns[pattern].first:p.patterns[pattern].end] {
			if in.op() == opEmpty {
				m.uses |= syntax.EmptyOp(in.arg())
			}
		}
	}
	w := p.workspace()
	defer p.release(w)
	for k := range kinds {
		if k == afterLine && m.uses&usesLine == 0 || k == afterWord && m.uses&usesWord == 0 {
			continue // never met: see context
		}
		w.reset(k)
		for _, pattern := range patterns {
			m.follow(w, p.patterns[pattern].start)
		}
		m.start[k] = w.to.clone()
		m.begun[k] = make([]atomic.Pointer[reached], p.alphabet.classes+1)
	}
	m.known = p.known(front)
	return m
}

// clone returns a copy that owns its memory.
func (r *reached) clone() reached {
	c := reached{threads: append([]uint32(nil), r.threads...), kind: r.kind}
	if !r.hits.Empty() {
		c.hits = append(Bits(nil), r.hits...)
	}
	return c
}

// barren reports whether nothing can match from r on.
func (m *machine) barren(r *reached) bool {
	if len(r.threads) > 0 {
		return false
	}
	for k := range kinds {
		if (k == r.kind || k != atBegin) && (len(m.start[k].threads) > 0 || m.start[k].hits != nil) {
			return false
		}
	}
	return true
}

// follow adds pc, and what it leads to without taking a rune, to the threads at the new position.
func (m *machine) follow(w *workspace, pc uint32) {
	met := w.to.kind.met()
	var known Bits
	if m.known != nil {
		known = m.known[w.to.kind]
	}
	w.stack = append(w.stack[:0], pc)
	for len(w.stack) > 0 {
		pc := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if known != nil && known.Has(int(pc)) || !w.mark.add(pc) {
			continue
		}
		w.passed = append(w.passed, pc)
		switch in := m.insts[pc]; in.op() {
		case opAlt:
			w.stack = append(w.stack, in.arg(), in.out())
		case opNop:
			w.stack = append(w.stack, in.out())
		case opStick:
			if m.front {
				w.to.hits.Set(in.pattern())
			} else {
				w.stack = append(w.stack, in.out())
			}
		case opRune:
			w.to.threads = append(w.to.threads, pc)
		case opMatch:
			w.to.hits.Set(in.pattern())
		case opEmpty:
			switch open := syntax.EmptyOp(in.arg()) &^ met; {
			case open == 0:
				w.stack = append(w.stack, in.out())
			case open&begins == 0:
				w.to.threads = append(w.to.threads, pc)
			}
		}
	}
}

// leave takes the rune of class c from thread pc, asserting what holds before it.
func (m *machine) leave(w *workspace, pc uint32, c uint16) {
	if in := m.insts[pc]; in.op() == opRune { // by far the most
		if c != endOfText && m.members[in.arg()].Has(int(c)) {
			m.follow(w, in.out())
		}
		return
	}
	w.queue = append(w.queue[:0], pc)
	for len(w.queue) > 0 {
		pc := w.queue[len(w.queue)-1]
		w.queue = w.queue[:len(w.queue)-1]
		if !w.left.add(pc) {
			continue
		}
		switch in := m.insts[pc]; in.op() {
		case opAlt:
			w.queue = append(w.queue, in.arg(), in.out())
		case opNop:
			w.queue = append(w.queue, in.out())
		case opStick:
			if m.front {
				w.to.hits.Set(in.pattern())
			} else {
				w.queue = append(w.queue, in.out())
			}
		case opRune:
			if c != endOfText && m.members[in.arg()].Has(int(c)) {
				m.follow(w, in.out())
			}
		case opMatch:
			w.to.hits.Set(in.pattern())
		case opEmpty:
			if syntax.EmptyOp(in.arg())&^w.from == 0 {
				w.queue = append(w.queue, in.out())
			}
		}
	}
}

// Assertions for which it matters whether the rune before is a newline, or a word character.
const (
	usesLine = syntax.EmptyBeginLine
	usesWord = syntax.EmptyWordBoundary | syntax.EmptyNoWordBoundary
)

// context returns the assertions that hold between a rune of kind k and one of class c, and the kind of the latter, as
// far as they matter.
func (m *machine) context(k kind, c uint16) (syntax.EmptyOp, kind) {
	met, next := k.met(), afterElse
	switch {
	case c == endOfText:
		met |= syntax.EmptyEndText | syntax.EmptyEndLine
	case c == m.newline:
		met |= syntax.EmptyEndLine
		if m.uses&usesLine != 0 {
			next = afterLine
		}
	case m.uses&usesWord != 0 && m.word.Has(int(c)):
		next = afterWord
	}
	if (k == afterWord) != (next == afterWord) {
		return met | syntax.EmptyWordBoundary, next
	}
	return met | syntax.EmptyNoWordBoundary, next
}

// step takes a rune of class c, or the end of the text, from threads after a rune of kind k; the result is w.to. The
// threads may not be those of w.
func (m *machine) step(w *workspace, k kind, threads []uint32, c uint16) {
	from, next := m.context(k, c)
	begun := m.begin(w, k, c, from, next)
	w.reset(next)
	w.from = from
	w.to.threads = append(w.to.threads, begun.threads...)
	for _, pc := range begun.threads {
		w.mark.add(pc)
	}
	w.to.hits.add(begun.hits)
	for _, pc := range threads {
		m.leave(w, pc, c)
	}
	w.work += len(w.passed) + len(begun.threads) + len(threads)
	if !w.to.hits.Empty() {
		m.drop(w)
	}
}

// drop takes the threads of patterns that match here out of the result: they can tell nothing new.
func (m *machine) drop(w *workspace) {
	w.to.threads = slices.DeleteFunc(w.to.threads, func(pc uint32) bool { return w.to.hits.Has(m.insts[pc].pattern()) })
}

// begin returns where the threads with which every position begins go with a rune of class c. The hits with which the
// new position begins are among its hits.
func (m *machine) begin(w *workspace, k kind, c uint16, from syntax.EmptyOp, next kind) *reached {
	slot := &m.begun[k][min(int(c), m.alphabet.classes)]
	if r := slot.Load(); r != nil {
		return r
	}
	w.reset(next)
	w.from = from
	for _, pc := range m.start[k].threads {
		m.leave(w, pc, c)
	}
	if c != endOfText {
		w.to.hits.add(m.start[next].hits)
	}
	r := w.to.clone()
	slot.Store(&r)
	return &r
}
