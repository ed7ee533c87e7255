package state

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// resident is how many bytes of the table the system holds in main memory (mincore).
func (m *Memory) resident(t *testing.T) int {
	t.Helper()
	page := uintptr(os.Getpagesize())
	from := uintptr(unsafe.Pointer(&m.sets[0])) &^ (page - 1)
	size := uintptr(len(m.sets)) * uintptr(setSize)
	pages := make([]byte, (size+page-1)/page)
	if _, _, err := syscall.Syscall(syscall.SYS_MINCORE, from, size, uintptr(unsafe.Pointer(&pages[0]))); err != 0 {
		t.Skip(err)
	}
	n := 0
	for _, p := range pages {
		n += int(p&1) * int(page)
	}
	return n
}

// A table that nobody has used takes no memory, also where it lies in memory that the process has used and given back
// before: there, Go clears what it hands out, and would touch all of it.
func TestAnUnusedTableIsNotResident(t *testing.T) {
	const budget = 8 << 20
	for range 3 {
		used := make([]byte, budget+1<<20)
		for i := 0; i < len(used); i += 1 << 10 {
			used[i] = 1
		}
		runtime.KeepAlive(used)
		used = nil
		runtime.GC()
		m, err := NewMemory(budget, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n := m.resident(t); n > budget/8 {
			t.Errorf("%d bytes of a new table of %d are resident", n, budget)
		}
		for i := range m.sets {
			if m.sets[i] != (set{}) {
				t.Fatalf("set %d of a new table is not empty", i)
			}
		}
		runtime.KeepAlive(m)
	}
}
