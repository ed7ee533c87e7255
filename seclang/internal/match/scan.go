package match

import (
	"sync/atomic"
	"unicode/utf8"
)

// A scan is one value on its way through automata.
type scan struct {
	value  []byte
	stop   int // how far into value to go for now
	hits   Bits
	asked  Bits // the patterns whose hits are wanted
	budget *Budget
	thrift bool // states are built only as far as the budget has any left
	wide   bool // a rune above ASCII was met
}

// Work beside walking, in units of Budget.Work.
const (
	workVisit = 2   // an instruction visited
	workBuild = 100 // a step computed, beside the instructions that it visits
	workLook  = 4   // a state looked at
)

// place is where a scan stands: before value[at], in a state of table t.
type place struct {
	t     *table
	state uint32
	at    int
	seen  [4]*state // some of those that were looked at: they have nothing new
}

// progress tells how a scan's way through an automaton goes on.
type progress uint8

const (
	going     progress = iota
	ended              // the value is scanned, or nothing more can be learned
	tired              // the scan may build no more states
	exhausted          // the scan may do no more work
)

// begin returns the place where every scan begins, having noted what matches already there.
func (a *automaton) begin(s *scan) place {
	s.note(a.start[atBegin].hits, 0)
	return place{t: a.table.Load(), state: uint32(rowBegin * len(a.classes))}
}

// note adds the patterns in hits that were asked for, and reports whether there was a new one among them. The first word
// of hits is one of the set's.
func (s *scan) note(hits Bits, first int) bool {
	asked, have := s.asked[first:], s.hits[first:]
	var fresh uint64
	for i, word := range hits {
		word &= asked[i]
		fresh |= word &^ have[i]
		have[i] |= word
	}
	return fresh != 0
}

// done reports whether all patterns of a that were asked for are among the hits.
func (s *scan) done(a *automaton) bool {
	for _, pattern := range a.chosen {
		if s.asked.Has(int(pattern)) && !s.hits.Has(int(pattern)) {
			return false
		}
	}
	return true
}

// run takes the scan through all of the value, or as far as it may go.
func (a *automaton) run(s *scan) progress {
	p := a.begin(s)
	s.stop = len(s.value)
	return a.runFrom(s, &p)
}

// runFrom takes the scan from p to where it is to stop, or as far as it may go.
func (a *automaton) runFrom(s *scan, p *place) progress {
	for {
		if how := a.walk(s, p); how != going {
			return how
		}
		if p.at >= s.stop && s.stop < len(s.value) {
			return going
		}
		column, width := a.read(s, p.at)
		s.budget.Work -= width
		if how := a.advance(s, p, column); how != going {
			return how
		}
		p.at += width
	}
}

// walk takes the scan on as long as states are known, noting hits.
func (a *automaton) walk(s *scan, p *place) progress {
	begin, how := p.at, going
	value := s.value[:min(s.stop, begin+max(0, s.budget.Work))]
	next, state, at := p.t.next, p.state, begin
	for at < len(value) {
		entry, width := atomic.LoadUint32(&next[state+uint32(a.byByte[value[at]])]), 1
		if entry == state { // not waiting for entry to be loaded: a branch that goes as foretold takes no time
			at++
			continue
		}
		if entry == 0 && value[at] >= utf8.RuneSelf {
			var column uint16
			column, width = a.read(s, at)
			entry = atomic.LoadUint32(&next[state+uint32(column)])
		}
		if entry == 0 {
			break
		}
		at += width
		state = entry &^ flagLook
		if entry != state {
			row := next[state+columnRow]
			to := &p.t.states[row]
			if seen := &p.seen[row%uint32(len(p.seen))]; *seen != to {
				if how = a.look(s, to); how != going {
					break
				}
				*seen = to
			} else {
				s.budget.Work -= workLook
			}
		}
	}
	s.budget.Work -= at - begin
	p.state, p.at = state, at
	if how == going && s.budget.Work <= 0 && len(s.value) > 0 {
		return exhausted
	}
	return how
}

// look notes what matches in a state.
func (a *automaton) look(s *scan, to *state) progress {
	s.budget.Work -= workLook
	if s.note(to.some, int(to.first)) && s.done(a) || to.barren {
		return ended
	}
	return going
}

// read returns the column of the rune at value[at], and its width, or that of the value's end.
func (a *automaton) read(s *scan, at int) (column uint16, width int) {
	if at == len(s.value) {
		return columnEnd, 0
	}
	b := s.value[at]
	if a.bytes || b < utf8.RuneSelf {
		return a.byByte[b], 1
	}
	class, width := a.decode(s, at)
	return a.byClass[class], width
}

// decode returns the class of the rune above ASCII at value[at], and its width.
func (p *program) decode(s *scan, at int) (class uint16, width int) {
	s.wide = true
	r, width := utf8.DecodeRune(s.value[at:])
	return p.alphabet.class(r), width
}

// advance takes the scan over one rune of a column, or the end, building the state that follows if need be. It leaves p.at
// alone.
func (a *automaton) advance(s *scan, p *place, column uint16) progress {
	entry := atomic.LoadUint32(&p.t.next[p.state+uint32(column)])
	if entry == 0 {
		if entry = a.build(s, p, column); entry == 0 {
			return tired
		}
	}
	p.state = entry &^ flagLook
	if entry != p.state {
		if how := a.look(s, a.row(p.t, entry)); how != going {
			return how
		}
	}
	if column == columnEnd {
		return ended
	}
	return going
}

// build returns the entry for the state that follows p on a column, or 0 if the scan may not compute that. It makes p.t the
// table that holds the state.
func (a *automaton) build(s *scan, p *place, column uint16) uint32 {
	if s.thrift {
		if s.budget.States <= 0 {
			return 0
		}
		s.budget.States--
	}
	w := a.workspace()
	defer a.release(w)
	w.work = 0
	from := a.row(p.t, p.state)
	a.step(w, from.kind, from.threads, a.classes[column])
	built := workBuild + workVisit*w.work
	s.budget.Work -= built
	s.budget.Built += built

	a.mu.Lock()
	defer a.mu.Unlock()
	entry := a.find(w)
	if entry == 0 {
		entry = a.intern(w)
	}
	t := a.table.Load()
	if p.t.epoch == t.epoch {
		atomic.StoreUint32(&t.next[p.state+uint32(column)], entry)
	}
	p.t = t
	return entry
}
