package limit

import (
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/state"
)

// TestHashedKeys: clients that are told apart by their hash count apart, in each limit anew.
func TestHashedKeys(t *testing.T) {
	one := policy.Limit{Name: "one", Rate: policy.Rate{Amount: 1, Per: time.Hour}, Burst: 2}
	two := one
	two.Name = "two"
	s := stage(t, memory(t, state.MinMemory), one, two)
	seen := map[state.Key]string{}
	f := from("192.0.2.1")
	for n := range uint32(500) {
		become(&f, n)
		for _, name := range []string{"one", "two"} {
			k, ok := s.names[name].key(&f)
			if other := seen[k]; !ok || other != "" {
				t.Fatalf("client %d of limit %s shares a key with limit %q (%v)", n, name, other, ok)
			}
			seen[k] = name
		}
	}
	become(&f, 7)
	if n := passes(t, s, f, 5); n != 2 {
		t.Errorf("%d passed, want the burst of 2", n)
	}
	become(&f, 8)
	if n := passes(t, s, f, 5); n != 2 {
		t.Errorf("%d of another client passed, want 2", n)
	}
}

// TestExpectChangesNothing: a request that is expected and never comes costs nobody anything.
func TestExpectChangesNothing(t *testing.T) {
	l := policy.Limit{Name: "one", Rate: policy.Rate{Amount: 1, Per: time.Hour}, Burst: 2}
	byCredential := l
	byCredential.Name, byCredential.By = "two", policy.ByCredential
	s := stage(t, memory(t, state.MinMemory), l, byCredential)
	f := from("192.0.2.1")
	for _, credential := range []uint64{0, 5} {
		f.Credential = credential
		for range 10 {
			s.Expect(&f)
		}
	}
	if n := passes(t, s, f, 5); n != 2 {
		t.Errorf("%d passed, want 2", n)
	}
	(&Stage{}).Expect(&flow.Facts{}) // a store without main memory
}
