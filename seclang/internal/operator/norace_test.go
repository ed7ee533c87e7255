//go:build !race

package operator

import (
	"strings"
	"testing"
)

// The race detector empties pools at random, and allocations cannot be counted then.
func TestNoAllocation(t *testing.T) {
	for name, op := range gatedOperators(t) {
		if strings.Contains(name, "detect") || strings.Contains(name, "Nid") || strings.Contains(name, `\xc0`) {
			continue
		}
		op.Match("warm", "", nil)
		if n := testing.AllocsPerRun(50, func() { op.Match("an ordinary value 1", "", nil) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
