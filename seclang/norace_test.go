//go:build !race

package seclang_test

import "testing"

// sample is of how many requests of the suite one is tried.
const sample = 1

// TestAllocations holds the number of a browser's GET.
func TestAllocations(t *testing.T) {
	rules := compileRules(t, crs("On", ""))
	x := browserGET()
	if n := testing.AllocsPerRun(100, func() { judge(rules, &x).Close() }); n > 30 {
		t.Errorf("%v allocations for a browser's GET, want at most 30", n)
	}
}
