package match

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// A reading looks for some patterns in values, as one program reads them.
//
// Most values are short and like many others: they are scanned by one automaton of all the patterns, quick. It comes to
// new states with most new texts, so where it would have to build more than a budget allows, and for long values, front
// takes its place: an automaton of what comes before the patterns' sticky parts, which has few states. The patterns of
// which it finds that much are then tried in full, each by an automaton of its own.
type reading struct {
	asked  Bits
	quick  *automaton
	front  *automaton
	sticky Bits         // the patterns that have sticky parts
	alone  []lone       // by pattern
	rest   atomic.Int32 // how many values for which quick knows no way are not to build any
}

// reading returns one by a program for the patterns asked for.
func (s *Set) reading(p *program, asked Bits) *reading {
	var patterns []uint32
	for i := range asked.All() {
		patterns = append(patterns, uint32(i))
	}
	return &reading{
		asked:  asked,
		quick:  newAutomaton(newMachine(p, patterns, false), s.quick),
		front:  newAutomaton(newMachine(p, patterns, true), s.steady),
		sticky: p.sticky,
		alone:  p.alone,
	}
}

// lone is the automaton of one pattern, made when it is first needed. All readings by a program share it.
type lone struct {
	once sync.Once
	made *automaton
}

// automaton returns the one of the pattern. Every caller names the same three.
func (l *lone) automaton(p *program, pattern int, memory *memory) *automaton {
	l.once.Do(func() { l.made = newAutomaton(newMachine(p, []uint32{uint32(pattern)}, false), memory) })
	return l.made
}

const (
	// QuickLength is the longest value for which quick is tried. Longer values are always scanned steadily: their work without
	// what is built is the same for every scan.
	QuickLength = 256
	// restRows is how many states quick has for each value that is scanned steadily after a state was built.
	restRows = 512
)

// scan takes s through its value.
func (r *reading) scan(s *scan) progress {
	if len(s.value) <= QuickLength {
		if how := r.quickly(s); how != tired && (!s.budget.Both || how == exhausted) {
			return how
		}
	}
	return r.steadily(s)
}

// quickly scans the value by quick. The more states there are, the more values with new ones are left to be scanned
// steadily after one for which states were built: where values go on being new, states would be built only to be
// forgotten.
func (r *reading) quickly(s *scan) progress {
	allowed, rests := s.budget.States, r.rest.Load() > 0
	if rests {
		s.budget.States = 0
	}
	s.thrift = true
	how := r.quick.run(s)
	s.thrift = false
	switch built := allowed - s.budget.States; {
	case rests:
		s.budget.States = allowed
		if how == tired {
			r.rest.Add(-1)
		}
	case built > 0:
		r.rest.Store(int32(min(built, FreshStates) * len(r.quick.table.Load().states) / restRows))
	}
	return how
}

// steadily scans the value by front, and by the automata of the patterns that this finds.
func (r *reading) steadily(s *scan) progress {
	var buffer [8]uint64 // enough for most sets
	found := Bits(buffer[:])
	if len(r.asked) > len(buffer) {
		found = make(Bits, len(r.asked))
	}
	found = found[:len(r.asked)]
	near := *s
	near.hits = found
	how := r.front.run(&near)
	s.wide = near.wide
	for i, word := range found {
		s.hits[i] |= word &^ r.sticky[i]
		found[i] &^= s.hits[i]
	}
	if how == exhausted {
		return how
	}
	return r.each(s, found)
}

// each tries the patterns, each by its own automaton.
func (r *reading) each(s *scan, patterns Bits) progress {
	var in [maxLanes]lane
	n := 0
	for i, word := range patterns {
		for ; word != 0; word &= word - 1 {
			pattern := i<<6 | bits.TrailingZeros64(word)
			a := r.alone[pattern].automaton(r.front.program, pattern, r.front.memory)
			in[n] = lane{automaton: a, place: a.begin(s)}
			if n++; n == maxLanes {
				if s.abreast(in[:]) == exhausted {
					return exhausted
				}
				n = 0
			}
		}
	}
	return s.abreast(in[:n])
}

// warm builds the states that the values need, and keeps them for good.
func (r *reading) warm(values [][]byte) {
	hits := make(Bits, len(r.asked))
	for _, v := range values {
		hits.Clear()
		r.rest.Store(0)
		s := scan{value: v, hits: hits, asked: r.asked, budget: &Budget{Work: Unlimited, States: Unlimited}}
		r.scan(&s)
		r.steadily(&s)
	}
	r.keep()
}

// keep keeps all states so far for good.
func (r *reading) keep() {
	r.rest.Store(0)
	r.quick.keep()
	r.front.keep()
}

// keep makes all states so far ones that are never forgotten.
func (a *automaton) keep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = a.rows
}
