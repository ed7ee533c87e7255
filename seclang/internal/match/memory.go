package match

import (
	"iter"
	"sync"
	"sync/atomic"
	"unsafe"
)

// memory counts what the automata of a set hold, in bytes.
type memory struct {
	held  atomic.Int64
	limit int64
	rows  int // limit of one automaton

	mu       sync.Mutex
	automata []*automaton
}

// take counts n bytes as held.
func (m *memory) take(n int) { m.held.Add(int64(n)) }

// give counts n bytes as free again.
func (m *memory) give(n int) { m.held.Add(-int64(n)) }

// reserve takes n bytes if they are within the limit, which it reports.
func (m *memory) reserve(n int) bool {
	if m.held.Add(int64(n)) <= m.limit {
		return true
	}
	m.give(n)
	return false
}

// reclaim takes n bytes, like reserve, and has automata forget states for that: the one that holds an eighth of all, or else every one.
// What is needed again is built again once, and to fill the memory anew takes far more than that. An automaton that got no memory would
// go on with the few states that it has in any case, and build and forget them without end. a.mu is held.
func (m *memory) reclaim(a *automaton, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reserve(n) {
		return true
	}
	if hog := m.largest(a); hog != nil {
		hog.shrink()
		hog.mu.Unlock()
	} else {
		m.shrinkAll(a)
	}
	return m.reserve(n)
}

// shrinkAll has every automaton besides a that is not in use otherwise forget its states.
func (m *memory) shrinkAll(a *automaton) {
	for _, b := range m.automata {
		if b == a || !b.mu.TryLock() {
			continue
		}
		if b.rows > b.kept && len(b.table.Load().states) > b.kept+rowsSpare {
			b.shrink()
		}
		b.mu.Unlock()
	}
}

// largest is the automaton besides a that would give the most memory, of those that would give an eighth of all, and is not in use otherwise.
// Its mutex is held.
func (m *memory) largest(a *automaton) (found *automaton) {
	most := int(m.limit / 8)
	for _, b := range m.automata {
		if b == a || !b.mu.TryLock() {
			continue
		}
		had := len(b.table.Load().states)
		if spare := (had - b.kept - rowsSpare) * b.rowSize(); spare > most {
			b, found, most = found, b, spare
		}
		if b != nil {
			b.mu.Unlock()
		}
	}
	return found
}

// rowSize returns the bytes of a row, its share of the index included, without what its state refers to.
func (a *automaton) rowSize() int { return 4*len(a.classes) + int(unsafe.Sizeof(state{})) + 4*(4+8) }

// size returns the bytes that s refers to.
func (s *state) size() int { return 4*cap(s.threads) + 8*cap(s.some) }

// An index finds rows by the hash of their states: open addressing with linear probing.
type index struct {
	slots []uint32 // a row; 0 is free
	tags  []uint64 // its hash
	used  int
}

// find yields the rows that were added with the hash.
func (x *index) find(hash uint64) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if len(x.slots) == 0 {
			return
		}
		for i := x.home(hash); x.slots[i] != 0; i = x.after(i) {
			if x.tags[i] == hash && !yield(x.slots[i]) {
				return
			}
		}
	}
}

// add notes that the state of row has the hash.
func (x *index) add(hash uint64, row uint32) {
	if 2*x.used >= len(x.slots) {
		old := *x
		n := max(64, 2*len(old.slots))
		*x = index{slots: make([]uint32, n), tags: make([]uint64, n)}
		for i, r := range old.slots {
			if r != 0 {
				x.add(old.tags[i], r)
			}
		}
	}
	i := x.home(hash)
	for x.slots[i] != 0 {
		i = x.after(i)
	}
	x.slots[i], x.tags[i] = row, hash
	x.used++
}

func (x *index) home(hash uint64) int { return int(hash & uint64(len(x.slots)-1)) }

func (x *index) after(i int) int { return (i + 1) & (len(x.slots) - 1) }
