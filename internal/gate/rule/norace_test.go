//go:build !race

package rule

import (
	"context"
	"testing"
)

// Rules that do not match are what a good visitor pays for. (The race detector empties pools at random, and allocations cannot
// be counted then.)
func TestNoMatchDoesNotAllocate(t *testing.T) {
	s, err := New(common, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, ctx := visit(), context.Background()
	if n := testing.AllocsPerRun(200, func() { s.Decide(ctx, f) }); n > 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
