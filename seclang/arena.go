package seclang

import (
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// arena holds the bytes of the strings that a transaction makes. Bytes once kept are never overwritten before reset, so
// a string may look at them.
type arena struct {
	chunk []byte   // the one in use, up to its length
	full  [][]byte // those before
	spare [][]byte // of transactions before this one
}

const (
	firstChunk   = 8 << 10
	largestChunk = 256 << 10 // unless a value needs more
	mostKept     = 1 << 20   // what is kept for the next transaction
	smallestFree = 256
)

// free returns empty space to append to; what was appended becomes a string with keep.
func (a *arena) free() []byte { return a.freeFor(0) }

// freeFor returns empty space for about n bytes.
func (a *arena) freeFor(n int) []byte {
	if cap(a.chunk)-len(a.chunk) < n+smallestFree {
		a.begin(n + smallestFree)
	}
	return a.chunk[len(a.chunk):len(a.chunk):cap(a.chunk)]
}

// begin takes a chunk with room for n bytes.
func (a *arena) begin(n int) {
	if cap(a.chunk) > 0 {
		a.full = append(a.full, a.chunk)
	}
	if i := slices.IndexFunc(a.spare, func(c []byte) bool { return cap(c) >= n }); i >= 0 {
		a.chunk = a.spare[i]
		a.spare = slices.Delete(a.spare, i, i+1)
		return
	}
	a.chunk = make([]byte, 0, max(firstChunk, 2*n, min(2*cap(a.chunk), largestChunk)))
}

// reset forgets all strings, and keeps chunks for the next transaction.
func (a *arena) reset() {
	kept := 0
	a.spare = append(append(a.spare, a.chunk), a.full...)
	slices.SortFunc(a.spare, func(c, d []byte) int { return cap(c) - cap(d) })
	a.spare = slices.DeleteFunc(a.spare, func(c []byte) bool {
		kept += cap(c)
		return cap(c) == 0 || kept > mostKept
	})
	clear(a.full)
	a.chunk, a.full = nil, a.full[:0]
	for i := range a.spare {
		a.spare[i] = a.spare[i][:0]
	}
	if n := len(a.spare); n > 0 {
		a.chunk, a.spare = a.spare[n-1], a.spare[:n-1]
	}
}

// mark is for release: a moment in the life of the arena.
func (a *arena) mark() []byte { return a.chunk }

// release gives back the space that was kept since the mark. Nobody may use the strings in it any more.
func (a *arena) release(mark []byte) {
	if unsafe.SliceData(a.chunk) == unsafe.SliceData(mark) {
		a.chunk = mark
		return
	}
	a.chunk = a.chunk[:0] // it was begun after the mark
}

// keep makes a string of b, which was appended to free(). If the space did not suffice, append has moved b to memory of
// its own, which is as good.
func (a *arena) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if n := len(a.chunk); n < cap(a.chunk) && unsafe.SliceData(b) == unsafe.SliceData(a.chunk[n:n+1]) {
		a.chunk = a.chunk[:n+len(b)]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// number is the decimal form of n.
func (a *arena) number(n int) string {
	if n >= 0 && n < 100 {
		return strconv.Itoa(n) // needs no memory
	}
	return a.keep(strconv.AppendInt(a.free(), int64(n), 10))
}

// lower is s in lower case.
func (a *arena) lower(s string) string {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 0x80:
			return strings.ToLower(s)
		case 'A' <= c && c <= 'Z':
			b := append(a.free(), s...)
			for j := i; j < len(b); j++ {
				if b[j] >= 0x80 {
					return strings.ToLower(s)
				}
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return a.keep(b)
		}
	}
	return s
}

// bytesOf looks at s as bytes, which nobody may change.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf looks at b as a string: b must not change as long as the string is used.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
