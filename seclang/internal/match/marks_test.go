package match

import (
	"math/rand/v2"
	"testing"
)

// TestMarks holds marks to a map, over rounds that make it grow.
func TestMarks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	m := newMarks()
	m.round = ^uint64(0) &^ (1<<34 - 1) // a few rounds before the number begins anew
	for range 12 {
		m.clear()
		seen := map[uint32]bool{}
		for range r.IntN(4 * marksFirst) {
			pc := uint32(r.IntN(3000))
			if m.has(pc) != seen[pc] || m.add(pc) == seen[pc] || !m.has(pc) {
				t.Fatalf("%d: the set says otherwise than %v", pc, seen[pc])
			}
			seen[pc] = true
		}
	}
}

// TestLatin1WithoutHighBytes: an expression about bytes that can take none above ASCII is not read a second time.
func TestLatin1WithoutHighBytes(t *testing.T) {
	for expr, want := range map[string]bool{
		`(?i:kiss|\.ssh/)`: false, `[a-z]+$`: false, `a\xe9`: true, `a.b`: true, `[^a]`: true, `[\x{3b1}-\x{3c9}k]`: false, `\Ba`: true, `(?:x|y){2,3}\x80?`: true,
	} {
		set := mustCompile(t, []Pattern{{Expr: expr, Raw: true}}, Options{})
		if got := set.Subset([]int{0}).raw != nil; got != want {
			t.Errorf("%s: read as bytes too %v, want %v", expr, got, want)
		}
	}
}
