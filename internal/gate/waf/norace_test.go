//go:build !race

package waf

import "testing"

// The race detector empties pools at random, and allocations cannot be counted then.
func TestARepeatAllocatesNothing(t *testing.T) {
	s := fresh()
	f := facts("GET", "/product/7", injection)
	for range 3 {
		decide(t, s, f)
	}
	if n := testing.AllocsPerRun(100, func() { decide(t, s, f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
