package match

// marks is a set of addresses that is emptied often and never holds many: open addressing with linear probing, in a few kilobytes
// that stay in the processor's cache. A map of all addresses would be a megabyte.
type marks struct {
	slots []uint64 // the round and an address; one of another round is free
	round uint64   // above the bits of an address
	used  int
}

const marksFirst = 256

func newMarks() marks { return marks{slots: make([]uint64, marksFirst), round: 1 << 32} }

// clear empties the set.
func (m *marks) clear() {
	m.used = 0
	m.round += 1 << 32
	if m.round == 0 { // those of 2^32 rounds ago would be taken for this one's
		clear(m.slots)
		m.round = 1 << 32
	}
}

// slot returns where pc is, or would be, and what is there.
func (m *marks) slot(pc uint32) (at int, found bool) {
	last, want := len(m.slots)-1, m.round|uint64(pc)
	for at = int(pc*0x9e3779b1>>8) & last; ; at = (at + 1) & last {
		switch have := m.slots[at]; {
		case have == want:
			return at, true
		case have&^(1<<32-1) != m.round:
			return at, false
		}
	}
}

func (m *marks) has(pc uint32) bool {
	_, ok := m.slot(pc)
	return ok
}

// add puts pc into the set, and reports whether it was not in it.
func (m *marks) add(pc uint32) bool {
	at, ok := m.slot(pc)
	if ok {
		return false
	}
	m.slots[at] = m.round | uint64(pc)
	if m.used++; 2*m.used > len(m.slots) {
		m.grow()
	}
	return true
}

func (m *marks) grow() {
	old := m.slots
	m.slots, m.used = make([]uint64, 2*len(old)), 0
	for _, have := range old {
		if have&^(1<<32-1) == m.round {
			at, _ := m.slot(uint32(have))
			m.slots[at] = have
			m.used++
		}
	}
}
