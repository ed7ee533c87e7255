package clean

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// has is Has for a test in which all values were added with the same work.
func (t *Table) has(class uint32, text string) bool {
	work, ok := t.Has(class, text)
	return ok && work == 7
}

func TestSecondTime(t *testing.T) {
	table := New(64)
	for i, want := range []bool{false, false, true, true} {
		if got := table.has(1, "blue"); got != want {
			t.Errorf("before addition %d: Has %v, want %v", i, got, want)
		}
		table.Add(1, "blue", 7)
	}
	if table.has(2, "blue") {
		t.Error("the value of class 1 is clean for class 2")
	}
	if table.has(1, "Blue") {
		t.Error("another value is clean")
	}
}

func TestTextIsCopied(t *testing.T) {
	table, text := New(64), []byte("blue")
	for range 2 {
		table.Add(1, string(text), 7)
	}
	text[0] = 'g'
	if !table.has(1, "blue") || table.has(1, "glue") {
		t.Error("the table does not own the text")
	}
}

func TestLongValues(t *testing.T) {
	table, long := New(64), strings.Repeat("a", MaxLength+1)
	for _, text := range []string{long, long[1:]} {
		for range 3 {
			table.Add(1, text, 7)
		}
	}
	if table.has(1, long) {
		t.Error("a value that is too long was remembered")
	}
	if !table.has(1, long[1:]) {
		t.Error("a value that is just short enough was not remembered")
	}
}

// What is used stays, however many values come twice; what is not used makes room.
func TestUsedStays(t *testing.T) {
	table := New(ways) // one set
	table.Add(1, "used", 7)
	table.Add(1, "used", 7)
	for i := range 100 {
		if !table.has(1, "used") {
			t.Fatalf("gone after %d others", i)
		}
		other := fmt.Sprint("other ", i)
		table.Add(1, other, 7)
		table.Add(1, other, 7)
	}
}

// Values that come once, however many, displace nothing.
func TestOnceDisplacesNothing(t *testing.T) {
	table := New(ways)
	table.Add(1, "old", 7)
	table.Add(1, "old", 7)
	for i := range 1000 {
		table.Add(1, fmt.Sprint("once ", i), 7)
	}
	if !table.has(1, "old") {
		t.Error("displaced by values that came once")
	}
}

func TestManyGoroutines(t *testing.T) {
	table := New(64)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				class, text := uint32(i%3), fmt.Sprint((i*7+g)%200)
				if class == 2 {
					text += "!"
				} else {
					table.Add(class, text, 7)
				}
				if table.has(2, text) {
					t.Errorf("%q is clean for a class for which nothing was added", text)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkHas(b *testing.B) {
	table := New(4096)
	text := "9f8b1c2e-77aa-4d0e-9c1a-0123456789ab"
	table.Add(1, text, 7)
	table.Add(1, text, 7)
	b.ReportAllocs()
	for b.Loop() {
		if !table.has(1, text) {
			b.Fatal("gone")
		}
	}
}
