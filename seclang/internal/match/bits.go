package match

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// Bits is a set of small numbers: of pattern numbers where it holds hits.
type Bits []uint64

// NewBits returns an empty set for the numbers 0 to n-1.
func NewBits(n int) Bits { return make(Bits, (n+63)/64) }

// Has reports whether i is in the set. i must be below the set's size.
func (b Bits) Has(i int) bool { return b[i>>6]>>(i&63)&1 == 1 }

// Set puts i into the set.
func (b Bits) Set(i int) { b[i>>6] |= 1 << (i & 63) }

// add puts the members of c into the set; c is nil or of the same size.
func (b Bits) add(c Bits) {
	for i, w := range c {
		b[i] |= w
	}
}

// trim returns the words from the first to the last that are not empty, and the first one's index.
func (b Bits) trim() (words Bits, first int) {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
		first++
	}
	return b, first
}

// Clear empties the set.
func (b Bits) Clear() { clear(b) }

// Empty reports whether the set is empty.
func (b Bits) Empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

// Count returns how many numbers are in the set.
func (b Bits) Count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// All yields the members in rising order.
func (b Bits) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range b {
			for ; w != 0; w &= w - 1 {
				if !yield(i<<6 | bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// key returns the set as a key of a map.
func (b Bits) key() []byte {
	key := make([]byte, 0, 8*len(b))
	for _, w := range b {
		key = binary.LittleEndian.AppendUint64(key, w)
	}
	return key
}
