package listen

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
)

// width is one of the prefixes by which clients are counted.
type width uint8

// The widths, the fine ones first. The zero width marks a free slot.
const (
	fine4   width = iota + 1 // /32
	fine6                    // /64
	coarse4                  // /24
	coarse6                  // /56
)

// coarseShare is how many times the allowance of one client a coarse prefix has: it stands for many of them.
const coarseShare = 4

// client is a counted prefix: the upper 64 bits of an address and how many of them count.
type client struct {
	bits  uint64
	width width
}

func clientOf(a netip.Addr) client {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return client{uint64(binary.BigEndian.Uint32(b[:])), fine4}
	}
	b := a.As16()
	return client{binary.BigEndian.Uint64(b[:8]), fine6}
}

func (c client) coarse() client {
	if c.width == fine4 {
		return client{c.bits &^ 0xff, coarse4}
	}
	return client{c.bits &^ 0xff, coarse6}
}

const (
	ways  = 8  // slots that one key may be in
	locks = 64 // mutexes over all sets
)

// slot is one entry of a table: a prefix and what is held against it. A table frees a slot by what it holds.
type slot struct {
	client
	held int64
}

// table is a set-associative table of prefixes. Its size is fixed, and its hash is keyed so that nobody outside can
// choose who shares a set.
type table struct {
	seed  maphash.Seed
	mask  uint64
	slots []slot
	mu    [locks]sync.Mutex
}

// newTable returns a table with at least n slots.
func newTable(n int) *table {
	sets := 1
	for sets*ways < n {
		sets *= 2
	}
	return &table{seed: maphash.MakeSeed(), mask: uint64(sets - 1), slots: make([]slot, sets*ways)}
}

// set returns the slots where c may be, the index of the first, and the mutex that guards them.
func (t *table) set(c client) ([]slot, int, *sync.Mutex) {
	n := maphash.Comparable(t.seed, c) & t.mask
	return t.slots[n*ways : n*ways+ways], int(n * ways), &t.mu[n%locks]
}

// seat is a place taken in a crowd. The zero seat is none.
type seat int32

// crowd counts the open connections of each client. A client that finds no slot is counted with its neighbours in the
// coarser prefix, and where that has none either it is not counted: the door's own bound still holds.
type crowd struct{ t *table }

// take counts one more connection of c, at most limit at a time. ok is false when c has as many already.
func (w crowd) take(c client, limit int) (s seat, ok bool) {
	for range 2 {
		s, ok, full := w.takeOne(c, int64(limit))
		if !full {
			return s, ok
		}
		c, limit = c.coarse(), limit*coarseShare
	}
	return 0, true
}

func (w crowd) takeOne(c client, limit int64) (s seat, ok, full bool) {
	set, first, mu := w.t.set(c)
	mu.Lock()
	defer mu.Unlock()
	free := -1
	for i := range set {
		switch e := &set[i]; {
		case e.held == 0:
			free = i
		case e.client == c && e.held >= limit:
			return 0, false, false
		case e.client == c:
			e.held++
			return seat(first + i + 1), true, false
		}
	}
	if free < 0 {
		return 0, true, true
	}
	set[free] = slot{c, 1}
	return seat(first + free + 1), true, false
}

// leave gives a seat back.
func (w crowd) leave(s seat) {
	if s == 0 {
		return
	}
	i := int(s - 1)
	mu := &w.t.mu[(i/ways)%locks]
	mu.Lock()
	w.t.slots[i].held--
	mu.Unlock()
}

// meter holds a GCRA (ITU-T I.371) per client: held is the theoretical arrival time in nanoseconds. A slot whose time
// has come is free, so the table needs no eviction.
type meter struct{ t *table }

// spend takes one from the allowance of c at now (nanoseconds, > 0), which grows by one each interval nanoseconds up to
// burst. It is false when nothing is left; then nothing is taken.
func (m meter) spend(c client, now, interval int64, burst int64) bool {
	for range 2 {
		ok, full := m.spendOne(c, now, interval, burst)
		if !full {
			return ok
		}
		c, interval = c.coarse(), max(interval/coarseShare, 1)
		burst *= coarseShare
	}
	return true
}

func (m meter) spendOne(c client, now, interval, burst int64) (ok, full bool) {
	set, _, mu := m.t.set(c)
	mu.Lock()
	defer mu.Unlock()
	free := -1
	for i := range set {
		e := &set[i]
		if e.held <= now {
			free = i
		} else if e.client == c {
			if e.held+interval-now > interval*burst {
				return false, false
			}
			e.held += interval
			return true, false
		}
	}
	if free < 0 {
		return true, true
	}
	set[free] = slot{c, now + interval}
	return true, false
}
