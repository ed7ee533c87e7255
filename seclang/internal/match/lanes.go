package match

import (
	"slices"
	"sync/atomic"
)

// Automata that are to scan the same value do so side by side: each has to wait for the entry that it loads before it can
// load the next, and while one waits, others load theirs.

// lane is an automaton and where it stands. Those of a scan are of one program, and between blocks stand before the same
// byte.
type lane struct {
	*automaton
	place
	how progress
}

const (
	lanes    = 4    // how many automata scan side by side
	block    = 2048 // how many bytes they scan before those that are done make room
	maxLanes = 32   // how many take turns
)

// abreast takes the scan through all of the value in each of the lanes, or as far as it may go.
func (s *scan) abreast(in []lane) progress {
	for len(in) > 0 {
		s.stop = min(len(s.value), in[0].at+block)
		for i := 0; i < len(in); i += lanes {
			s.through(in[i:min(i+lanes, len(in))])
			if s.budget.Work <= 0 && len(s.value) > 0 {
				return exhausted
			}
		}
		in = slices.DeleteFunc(in, func(l lane) bool { return l.how == ended })
	}
	return ended
}

// through takes up to four lanes to s.stop: side by side as long as there are four, then one after the other.
func (s *scan) through(in []lane) {
	for all := len(in) == lanes; all && in[0].at < s.stop && s.budget.Work > 0; {
		s.walkAbreast((*[lanes]lane)(in))
		if in[0].at >= s.stop {
			break
		}
		for i := range in {
			l := &in[i]
			column, width := l.read(s, l.at)
			l.how = l.advance(s, &l.place, column)
			l.at += width
			s.budget.Work -= width
			all = all && l.how == going
		}
	}
	for i := range in {
		if l := &in[i]; l.how == going {
			l.how = l.runFrom(s, &l.place)
		}
	}
}

// walkAbreast takes the lanes over runes that lead each of them to a known state in which nothing is to be looked at.
func (s *scan) walkAbreast(in *[lanes]lane) {
	l0, l1, l2, l3 := &in[0], &in[1], &in[2], &in[3]
	next0, next1, next2, next3 := l0.t.next, l1.t.next, l2.t.next, l3.t.next
	state0, state1, state2, state3 := l0.state, l1.state, l2.state, l3.state
	begin := l0.at
	value := s.value[:min(s.stop, begin+max(0, s.budget.Work/lanes))]
	at := begin
	for at < len(value) {
		b, width := value[at], 1
		column0, column1, column2, column3 := l0.byByte[b], l1.byByte[b], l2.byByte[b], l3.byByte[b]
		if column0 == columnOpen {
			var class uint16
			class, width = l0.decode(s, at)
			column0, column1, column2, column3 = l0.byClass[class], l1.byClass[class], l2.byClass[class], l3.byClass[class]
		}
		entry0 := atomic.LoadUint32(&next0[state0+uint32(column0)])
		entry1 := atomic.LoadUint32(&next1[state1+uint32(column1)])
		entry2 := atomic.LoadUint32(&next2[state2+uint32(column2)])
		entry3 := atomic.LoadUint32(&next3[state3+uint32(column3)])
		if int32(entry0) <= 0 || int32(entry1) <= 0 || int32(entry2) <= 0 || int32(entry3) <= 0 {
			break
		}
		state0, state1, state2, state3 = entry0, entry1, entry2, entry3
		at += width
	}
	s.budget.Work -= lanes * (at - begin)
	l0.state, l1.state, l2.state, l3.state = state0, state1, state2, state3
	l0.at, l1.at, l2.at, l3.at = at, at, at, at
}
