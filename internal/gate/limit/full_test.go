package limit

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/state"
)

var slowLimit = policy.Limit{Name: "slow", Rate: policy.Rate{Amount: 60, Per: time.Hour}, Burst: 10}

// flood fills the smallest table with clients in debt, from 256 neighbouring /24.
func flood(t *testing.T, l policy.Limit) (*Stage, *state.Memory) {
	t.Helper()
	m := memory(t, state.MinMemory)
	s, r := stage(t, m, l), rand.New(rand.NewPCG(1, 2))
	for range 5 * m.Stats().Entries {
		x := r.Uint32()
		f := factsOf(netip.AddrFrom4([4]byte{11, 0, byte(x), byte(x >> 8)}))
		for range 3 {
			s.judge(&f, true)
		}
	}
	if m.Stats().NoRoom == 0 {
		t.Fatal("the table is not full: the test tests nothing")
	}
	return s, m
}

// TestFullTable is number 16 of the museum: a full table refused everybody.
func TestFullTable(t *testing.T) {
	s, _ := flood(t, slowLimit)
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		f := factsOf(randomV4(r, 93))
		if r.IntN(2) == 0 {
			a := netip.MustParseAddr("2a00::").As16()
			a[3], a[5], a[6] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
			f = factsOf(netip.AddrFrom16(a))
		}
		for i := range 5 {
			if v, _ := s.Decide(context.Background(), &f); v.Action != flow.Continue {
				t.Fatalf("request %d of the new visitor %v: %+v", i+1, f.Client, v)
			}
		}
	}
}

// TestFullTableStillLimits: who floods while the table is full is held to the wider rate.
func TestFullTableStillLimits(t *testing.T) {
	for name, c := range map[string]struct {
		by   policy.LimitKey
		addr string
	}{
		"IPv4": {policy.ByClient, "93.184.216.34"},
		"IPv6": {policy.ByClient, "2a00:1450:4001:80b::200e"},
	} {
		t.Run(name, func(t *testing.T) {
			l := slowLimit
			l.By = c.by
			s, m := flood(t, l)
			f := from(c.addr)
			for m.Peek(noon, state.Ask{Key: must(s.names["slow"].key(&f)), Rate: &s.names["slow"].rates[0], Units: 1}).Finding != state.NoRoom {
				f = factsOf(f.Client.Prev()) // by chance a place was free in its set: take a neighbour
				if f.Client.Is6() {
					a := f.Client.As16()
					a[7]++
					f = factsOf(netip.AddrFrom16(a))
				}
			}
			if n := passes(t, s, f, 1000); n != 160 {
				t.Errorf("%d of 1,000 passed, want 16 bursts of 10", n)
			}
		})
	}
}

// TestOverflowByHeader: made-up header values fill the table; what has no room is counted by its sender.
func TestOverflowByHeader(t *testing.T) {
	l := slowLimit
	l.By = "header:x-key"
	m := memory(t, state.MinMemory)
	s := stage(t, m, l)
	request := func(addr, value string) flow.Facts {
		f := from(addr)
		f.Header.Add("X-Key", value)
		return f
	}
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, 12)
		for i := range b {
			b[i] = 'a' + byte(r.IntN(26))
		}
		return string(b)
	}
	refused := 0
	for range 5 * m.Stats().Entries {
		f := request("11.0.0.1", word())
		if s.judge(&f, true).Action == flow.Refuse {
			refused++
		}
	}
	if refused == 0 {
		t.Error("made-up header values got past the limit")
	}
	for range 100 {
		if v := decide(t, s, request("93.184.216.34", word())); v.Action != flow.Continue {
			t.Fatalf("a good visitor is refused: %+v", v)
		}
	}
}

func TestWiderKeys(t *testing.T) {
	s := stage(t, memory(t, state.MinMemory), slowLimit)
	l := s.names["slow"]
	chain := func(addr string, network uint32) (keys []state.Key, breadths []state.Breadth) {
		f := from(addr)
		f.Network = network
		k, ok := l.key(&f)
		for b := state.Single; ok; k, b, ok = l.wider(&f, b) {
			keys, breadths = append(keys, k), append(breadths, b)
		}
		return keys, breadths
	}
	for _, c := range []struct {
		a, b     string
		na, nb   uint32
		share    int // how many of the widest keys are the same
		breadths int
	}{
		{"192.0.2.1", "192.0.2.1", 0, 0, 3, 3},
		{"192.0.2.1", "192.0.2.2", 0, 0, 2, 3},
		{"192.0.2.1", "192.0.3.1", 0, 0, 1, 3},
		{"192.0.2.1", "192.1.2.1", 0, 0, 0, 3},
		{"192.0.2.1", "203.0.113.1", 64500, 64500, 1, 3},
		{"192.0.2.1", "192.0.3.1", 64500, 64501, 0, 3},
		{"2001:db8:0:1::1", "2001:db8:0:1::2", 0, 0, 4, 4},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", 0, 0, 3, 4},
		{"2001:db8:0:100::1", "2001:db8:0:200::1", 0, 0, 2, 4},
		{"2001:db8:1::1", "2001:db8:2::1", 0, 0, 1, 4},
		{"2001:db8:1::1", "2001:db9:1::1", 0, 0, 0, 4},
		{"192.0.2.1", "2001:db8::1", 64500, 64500, 1, 3},
	} {
		ka, ba := chain(c.a, c.na)
		kb, _ := chain(c.b, c.nb)
		if len(ba) != c.breadths || ba[len(ba)-1] != state.Broadest {
			t.Errorf("%s has the breadths %v", c.a, ba)
		}
		share := 0
		for share < min(len(ka), len(kb)) && ka[len(ka)-1-share] == kb[len(kb)-1-share] {
			share++
		}
		if share != c.share {
			t.Errorf("%s and %s share %d keys, want %d", c.a, c.b, share, c.share)
		}
	}
}

func must(k state.Key, ok bool) state.Key {
	if !ok {
		panic("no key")
	}
	return k
}
