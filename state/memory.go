package state

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
	"unsafe"
)

// Bounds of a Memory's size, in bytes.
const (
	MinMemory = 64 << 10
	MaxMemory = 64 << 30
)

const (
	ways   = 8
	shards = 256
)

// Memory is a Store in a table of fixed size. Its memory is taken at creation and does not depend on how many keys come;
// on Linux a page of it becomes resident when its first key comes.
//
// The table is set-associative: a key belongs to one set of 8 entries of 16 bytes. In a budget of B bytes there are
//
//	entries = 8 · ⌊(B − 16 KiB − 1 KiB) / 128⌋
//
// where 16 KiB are 256 locks and 1 KiB is for the rest; 64 MiB hold 4,193,216 entries.
//
// An entry without debt means the same as no entry, so its place is free: taking it forgets nothing. As long as a set has
// a free place the table is exact. In a set whose 8 entries all carry debt a new key of breadth Single has no room;
// nobody is displaced for it. A broader key displaces the narrower entry with the least debt.
type Memory struct {
	clock  *clock
	sets   []set
	shards *[shards]shard
}

// set is two cache lines, which the scan for a tag fetches side by side.
type set [ways]entry

type entry struct {
	tag uint64 // key, its two lowest bits replaced by the breadth
	tat int64  // theoretical arrival time; 0 for a place that was never used
}

type shard struct {
	mu        sync.Mutex
	noRoom    uint64
	displaced uint64
	_         [64 - 24]byte // a cache line each
}

const (
	setSize = int64(unsafe.Sizeof(set{}))
	fixed   = shards*int64(unsafe.Sizeof(shard{})) + 1<<10
)

// NewMemory returns a store that never uses more than budget bytes, MinMemory to MaxMemory. start is the time of
// creation: where it and the times of later calls have monotonic readings, changes of the wall clock have no effect.
func NewMemory(budget int64, start time.Time) (*Memory, error) {
	if budget < MinMemory || budget > MaxMemory {
		return nil, fmt.Errorf("the limit table's memory is %d bytes: it must be %d to %d", budget, MinMemory, int64(MaxMemory))
	}
	m := &Memory{clock: newClock(start), sets: make([]set, (budget-fixed)/setSize), shards: new([shards]shard)}
	untouched(m.sets)
	return m, nil
}

// Spend implements Store. It takes no more than one lock, and allocates nothing.
func (m *Memory) Spend(now time.Time, a Ask) Answer {
	t := m.clock.at(now)
	tag, s, sh := m.locate(a.Key, a.Breadth)
	sh.mu.Lock()
	i, known := s.place(tag, t)
	if i < 0 {
		sh.noRoom++
		sh.mu.Unlock()
		return Answer{Finding: NoRoom}
	}
	var tat int64
	if known {
		tat = s[i].tat
	}
	next, answer := a.Rate.spend(tat, t, a.Units, a.Settle)
	switch {
	case answer.Finding != Conforms || a.Units == 0:
	case known:
		s[i].tat = next
	case next > t: // an entry without debt is not worth a place
		if s[i].tat > t {
			sh.displaced++
		}
		s[i] = entry{tag, next}
	}
	sh.mu.Unlock()
	return answer
}

// Peek implements Store.
func (m *Memory) Peek(now time.Time, a Ask) Answer {
	t := m.clock.peek(now)
	tag, s, sh := m.locate(a.Key, a.Breadth)
	sh.mu.Lock()
	var tat int64
	i, known := s.place(tag, t)
	if known {
		tat = s[i].tat
	}
	sh.mu.Unlock()
	if i < 0 {
		return Answer{Finding: NoRoom}
	}
	_, answer := a.Rate.spend(tat, t, a.Units, a.Settle)
	return answer
}

// Expect implements Expecter.
func (m *Memory) Expect(k Key, b Breadth) {
	_, s, _ := m.locate(k, b)
	prefetch(unsafe.Pointer(s))
}

// locate spreads keys over any number of sets by their high bits (Lemire, "Fast random integer generation in an
// interval", 2019).
func (m *Memory) locate(k Key, b Breadth) (tag uint64, s *set, sh *shard) {
	i, _ := bits.Mul64(uint64(k), uint64(len(m.sets)))
	return uint64(k)&^3 | uint64(b&3), &m.sets[i], &m.shards[i%shards]
}

// place returns where a key is. Where it is not known, it is the place for it: the oldest of those without debt, else the narrower entry
// with the least debt, else -1.
func (s *set) place(tag uint64, now int64) (i int, known bool) {
	oldest, since := 0, s[0].tat
	for i := range s {
		if s[i].tag == tag {
			return i, true
		}
		if s[i].tat < since {
			oldest, since = i, s[i].tat
		}
	}
	if since <= now {
		return oldest, false
	}
	return s.narrowest(tag), false
}

// narrowest is the place of the narrower entry with the least debt, -1 for none.
func (s *set) narrowest(tag uint64) int {
	least := -1
	for i := range s {
		if s[i].tag&3 < tag&3 && (least < 0 || s[i].tat < s[least].tat) {
			least = i
		}
	}
	return least
}

// Stats is what a Memory says of itself.
type Stats struct {
	Bytes, Entries int64 // its size
	// NoRoom counts the times that a key had no room, Displaced the entries that gave way to broader keys with debt
	// still on them. Both being 0 means that the table has been exact.
	NoRoom, Displaced uint64
}

// Stats returns the size and the counters.
func (m *Memory) Stats() Stats {
	n := int64(len(m.sets))
	st := Stats{Bytes: n*setSize + fixed, Entries: n * ways}
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		st.NoRoom += sh.noRoom
		st.Displaced += sh.displaced
		sh.mu.Unlock()
	}
	return st
}
