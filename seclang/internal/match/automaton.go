package match

import (
	"regexp/syntax"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// An automaton is a machine made deterministic, state by state as values need them. Goroutines scan without a lock
// while the states they come to are known; building is done under one.
type automaton struct {
	*machine
	bytes   bool        // values are read as bytes, not as UTF-8
	byByte  [256]uint16 // column of a byte; columnOpen if it is no rune by itself
	byClass []uint16    // column of a class
	classes []uint16    // a class of each column; endOfText for columnEnd
	table   atomic.Pointer[table]

	mu     sync.Mutex // held to build; guards what follows
	memory *memory
	index  index
	rows   int // in use
	kept   int // rows that are never forgotten
}

// A table holds the states of an automaton as rows. Rows are appended and entries are set, never changed, so a scan may
// go on with a table that has been replaced. A state is named by the index of its row's first entry.
type table struct {
	next   []uint32 // by state and column: the state that follows, with flagLook
	states []state  // by row
	epoch  int      // grows when states are forgotten; in two tables of one epoch, states have the same names
}

// state is what a row stands for.
type state struct {
	threads []uint32
	some    Bits // of the hits, the words from the first to the last that are not empty
	hash    uint64
	first   uint16 // the number of the first word of some
	kind    kind
	barren  bool // nothing can match from here on
}

// Columns and rows that are not for runes and not for states. Row 0 is nobody's, so that 0 stands for what is not known.
const (
	columnOpen = 0 // of bytes that are no rune by themselves; never set
	columnEnd  = 1 // of the end of the text
	columnRow  = 2 // holds the number of the row
	columns    = 3
	rowBegin   = 1 // the state in which a scan begins
)

// flagLook marks an entry whose state a scan must look at: patterns match there, or nothing can match from there on.
const flagLook = 1 << 31

func newAutomaton(m *machine, memory *memory) *automaton {
	a := &automaton{machine: m, bytes: m.top < utf8.RuneSelf<<1, memory: memory}
	a.divide()
	a.table.Store(&table{})
	a.rows = rowBegin
	a.grow()
	w := a.workspace()
	defer a.release(w)
	w.reset(atBegin)
	w.to.hits.add(a.start[atBegin].hits)
	a.intern(w)
	a.kept = a.rows
	memory.mu.Lock()
	defer memory.mu.Unlock()
	memory.automata = append(memory.automata, a)
	return a
}

// divide merges the classes that no instruction of the patterns tells apart into columns.
func (a *automaton) divide() {
	used := NewBits(len(a.members))
	for _, pattern := range a.chosen {
		for _, in := range a.insts[a.patterns[pattern].first:a.patterns[pattern].end] {
			if in.op() == opRune {
				used.Set(int(in.arg()))
			}
		}
	}
	a.classes = make([]uint16, columns)
	a.classes[columnEnd] = endOfText
	a.byClass = make([]uint16, a.alphabet.classes)
	key := NewBits(len(a.members) + 2)
	seen := map[string]uint16{}
	for class := range a.alphabet.classes {
		key.Clear()
		for set := range used.All() {
			if a.members[set].Has(class) {
				key.Set(set)
			}
		}
		if a.uses&usesWord != 0 && a.word.Has(class) {
			key.Set(len(a.members))
		}
		if class == int(a.newline) && a.uses&(usesLine|syntax.EmptyEndLine) != 0 {
			key.Set(len(a.members) + 1)
		}
		column, ok := seen[string(key.key())]
		if !ok {
			column = uint16(len(a.classes))
			seen[string(key.key())], a.classes = column, append(a.classes, uint16(class))
		}
		a.byClass[class] = column
	}
	for b := range a.byByte {
		if a.bytes || b < utf8.RuneSelf {
			a.byByte[b] = a.byClass[a.alphabet.class(rune(b))]
		}
	}
}

// find returns the entry for the state w.to, or 0 if it has none. a.mu is held.
func (a *automaton) find(w *workspace) uint32 {
	hash := w.to.hash()
	t := a.table.Load()
	for row := range a.index.find(hash) {
		if s := &t.states[row]; s.hash == hash && w.came(s) {
			return a.entry(row, s)
		}
	}
	return 0
}

// entry returns what stands for the state of a row in other states' rows.
func (a *automaton) entry(row uint32, s *state) uint32 {
	e := row * uint32(len(a.classes))
	if len(s.some) > 0 || s.barren {
		e |= flagLook
	}
	return e
}

// intern makes a row for the state w.to, which has none, and returns its entry. a.mu is held, or a is not shared yet.
func (a *automaton) intern(w *workspace) (entry uint32) {
	if a.rows == len(a.table.Load().states) && !a.grow() {
		a.forget(a.rows)
	}
	t, row, hash := a.table.Load(), uint32(a.rows), w.to.hash()
	s := &t.states[row]
	some, first := w.to.hits.trim()
	*s = state{threads: append([]uint32(nil), w.to.threads...), hash: hash, first: uint16(first), kind: w.to.kind, barren: a.barren(&w.to)}
	if len(some) > 0 {
		s.some = append(Bits(nil), some...)
	}
	a.memory.take(s.size())
	t.next[row*uint32(len(a.classes))+columnRow] = row
	a.index.add(hash, row)
	a.rows++
	return a.entry(row, s)
}

// Rows of a new table, and those beyond the kept ones that an automaton gets in any case.
const (
	rowsFirst = 16
	rowsSpare = 64
)

// grow replaces the table by one with more rows, if there is memory for that, which it reports.
func (a *automaton) grow() bool {
	old := a.table.Load()
	had := len(old.states)
	rows := min(max(rowsFirst, 2*had), a.memory.rows)
	if n := (rows - had) * a.rowSize(); n <= 0 || !a.memory.reserve(n) && !a.memory.reclaim(a, n) {
		if rows = a.kept + rowsSpare; rows <= had {
			return false
		}
		a.memory.take((rows - had) * a.rowSize())
	}
	t := &table{next: make([]uint32, rows*len(a.classes)), states: make([]state, rows), epoch: old.epoch}
	copy(t.next, old.next)
	copy(t.states, old.states)
	a.table.Store(t)
	return true
}

// shrink drops the states that are not kept, and gives back what they took. a.mu is held.
func (a *automaton) shrink() {
	had := len(a.table.Load().states)
	rows := min(had, a.kept+rowsSpare)
	a.forget(rows)
	a.memory.give((had - rows) * a.rowSize())
}

// forget drops the states that are not kept, and leaves room for so many rows. a.mu is held.
func (a *automaton) forget(rows int) {
	old := a.table.Load()
	t := &table{next: make([]uint32, rows*len(a.classes)), states: make([]state, rows), epoch: old.epoch + 1}
	end := uint32(a.kept * len(a.classes))
	copy(t.next[:end], old.next)
	for i, entry := range t.next[:end] {
		if entry&^flagLook >= end && i%len(a.classes) != columnRow {
			t.next[i] = 0
		}
	}
	copy(t.states[:a.kept], old.states)
	for i := a.kept; i < a.rows; i++ {
		a.memory.give(old.states[i].size())
	}
	a.index = index{}
	for row := rowBegin; row < a.kept; row++ {
		a.index.add(t.states[row].hash, uint32(row))
	}
	a.rows = a.kept
	a.table.Store(t)
}

// row returns the row of the state in an entry for t.
func (a *automaton) row(t *table, entry uint32) *state {
	return &t.states[t.next[entry&^flagLook+columnRow]]
}

// hash depends on the members of threads and hits, not on their order.
func (r *reached) hash() uint64 {
	h := uint64(r.kind) + 1
	for _, pc := range r.threads {
		h += mix(uint64(pc))
	}
	for i, word := range r.hits {
		if word != 0 {
			h += mix(word ^ uint64(i+1)<<32)
		}
	}
	return h
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
