// Package clean answers one question: was this value looked at before, and did it concern no rule?
//
// Most values of most requests were there before: names, numbers, languages, cookies of a session. To look one up costs
// a fraction of looking at it in all the forms that rules want to see.
package clean

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// MaxLength is the length of the longest value that a table remembers, in bytes.
const MaxLength = 256

// ways is how many values share a set: with their tags, a cache line.
const ways = 4

// A Table remembers values that are clean, each for a class of values that are looked at in the same way. It has a fixed
// size. Many goroutines may use it at once; none waits for another.
type Table struct {
	seed maphash.Seed
	sets []set
}

// set holds the values of a few hashes. The tag of a value is a part of its hash, and may belong to one that has just
// gone: only the value itself counts.
type set struct {
	tags   [ways]atomic.Uint32
	values [ways]atomic.Pointer[value]
	once   [ways]atomic.Uint32 // tags of values that were clean once; the newest takes the oldest's place
}

// value is a value of a class. It is immutable, but for used.
type value struct {
	class uint32
	work  int32
	text  string
	used  atomic.Bool // found since its place was last asked for
}

// New returns a table for about the number of values given, rounded up to a power of two.
func New(values int) *Table {
	sets := 1
	for sets*ways < values {
		sets *= 2
	}
	return &Table{seed: maphash.MakeSeed(), sets: make([]set, sets)}
}

// Has reports whether the value was added for the class, and with which work.
func (t *Table) Has(class uint32, text string) (work int32, ok bool) {
	if len(text) > MaxLength {
		return 0, false
	}
	s, tag := t.find(class, text)
	for i := range s.tags {
		if s.tags[i].Load() != tag {
			continue
		}
		if v := s.values[i].Load(); v != nil && v.class == class && v.text == text {
			if !v.used.Load() {
				v.used.Store(true)
			}
			return v.work, true
		}
	}
	return 0, false
}

// Add remembers that the value is clean for the class and what work it is to find that out, if it is the second time that this was found lately: what never
// comes again shall not displace what does. The caller promises that both depend on nothing but the class and the text. The text
// is copied.
func (t *Table) Add(class uint32, text string, work int32) {
	if len(text) > MaxLength {
		return
	}
	s, tag := t.find(class, text)
	if !s.again(tag) {
		return
	}
	at := s.place(int(tag % ways))
	s.values[at].Store(&value{class: class, text: strings.Clone(text), work: work})
	s.tags[at].Store(tag)
}

// find returns the set for a value, and its tag.
func (t *Table) find(class uint32, text string) (*set, uint32) {
	h := maphash.String(t.seed, text) ^ uint64(class)*0x9e3779b97f4a7c15
	return &t.sets[h&uint64(len(t.sets)-1)], uint32(h >> 32)
}

// again reports whether the tag was given lately, and notes it.
func (s *set) again(tag uint32) bool {
	for i := range s.once {
		if s.once[i].Load() == tag {
			s.once[i].Store(0)
			return true
		}
	}
	for i := ways - 1; i > 0; i-- {
		s.once[i].Store(s.once[i-1].Load())
	}
	s.once[0].Store(tag)
	return false
}

// place returns the place of a value that may go: a free one, or one that was not used since it was last asked for. It
// asks from a place on that callers choose evenly.
func (s *set) place(from int) int {
	for i := range s.values {
		if s.values[i].Load() == nil {
			return i
		}
	}
	for i := range ways {
		at := (from + i) % ways
		if v := s.values[at].Load(); !v.used.Swap(false) {
			return at
		}
	}
	return from
}
