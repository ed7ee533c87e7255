package client

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// lab sends requests to one Reader at chosen times and keeps its notices.
type lab struct {
	*Reader
	notices []Undeclared
}

func newLab(t testing.TB, trust policy.Trust) *lab {
	l := &lab{}
	l.Reader = reader(t, trust, Options{Secret: [32]byte{7}, Notice: func(u Undeclared) { l.notices = append(l.notices, u) }})
	return l
}

func (l *lab) send(at time.Duration, peer string, fields ...string) {
	f := flow.Facts{Arrived: noon.Add(at)}
	l.Fill(&f, conn(peer), &wire.Request{Target: "/", Authority: "a", Header: header(fields...)})
}

func (l *lab) looksLike(peer string) bool { return l.Undeclared(netip.MustParseAddr(peer)) }

// visitors sends one request for each of n visitors behind peer.
func (l *lab) visitors(at time.Duration, peer, field string, from, n int) {
	for i := range n {
		l.send(at, peer, field, visitor(from+i))
	}
}

func visitor(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8&255, i&255) }

const proxy = "203.0.113.1"

func TestUndeclaredProxyIsNoticed(t *testing.T) {
	for _, field := range []string{"X-Forwarded-For", "forwarded", "CF-Connecting-IP", "X-Real-IP", "True-Client-IP", "X-Own"} {
		t.Run(field, func(t *testing.T) {
			l := newLab(t, policy.Trust{Header: "x-own"})
			l.visitors(time.Minute, proxy, field, 0, 12)
			if l.looksLike(proxy) || len(l.notices) != 0 {
				t.Fatal("noticed after 12 visitors")
			}
			l.visitors(2*time.Minute, proxy, field, 12, 20)
			if !l.looksLike(proxy) || !l.looksLike("::ffff:"+proxy) {
				t.Fatal("not noticed after 32 visitors")
			}
			if len(l.notices) != 1 {
				t.Fatalf("%d notices, want 1", len(l.notices))
			}
			u := l.notices[0]
			if u.Peer != netip.MustParseAddr(proxy) || u.Clients < 19 || u.Clients > 25 || !flow.EqualFold(u.Header, field) || !u.Since.Equal(noon.Add(time.Minute)) {
				t.Errorf("notice %+v", u)
			}
		})
	}
}

func TestClientsAreNotNoticed(t *testing.T) {
	for name, send := range map[string]func(*lab){
		"one visitor behind a proxy of its own": func(l *lab) {
			for range 1000 {
				l.send(0, proxy, "X-Forwarded-For", "10.0.0.5", "Via", "1.1 squid", "User-Agent", "a")
			}
		},
		"a family": func(l *lab) {
			for i := range 1000 {
				l.send(0, proxy, "X-Forwarded-For", visitor(i%8))
			}
		},
		"no mark at all": func(l *lab) {
			for i := range 1000 {
				l.send(0, proxy, "User-Agent", visitor(i))
			}
		},
		"one request in ten without a mark": func(l *lab) {
			for i := range 1000 {
				if l.send(0, proxy, "X-Forwarded-For", visitor(i)); i%9 == 0 {
					l.send(0, proxy)
				}
			}
		},
		"many, over hours": func(l *lab) {
			for i := range 100 {
				l.send(time.Duration(i)*5*time.Minute, proxy, "X-Forwarded-For", visitor(i))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, policy.Trust{})
			if send(l); l.looksLike(proxy) {
				t.Errorf("noticed: %+v", l.notices)
			}
		})
	}
}

func TestViaAloneTellsByUserAgents(t *testing.T) {
	l := newLab(t, policy.Trust{})
	for i := range 40 {
		l.send(0, proxy, "Via", "1.1 cache", "User-Agent", fmt.Sprint("browser/", i))
	}
	if !l.looksLike(proxy) || l.notices[0].Header != "Via" {
		t.Errorf("notices %+v", l.notices)
	}
}

func TestUndeclaredCountsBySlash64(t *testing.T) {
	l := newLab(t, policy.Trust{})
	for i := range 40 {
		l.send(0, fmt.Sprintf("2001:db8::%x", i), "X-Forwarded-For", visitor(i))
	}
	if !l.looksLike("2001:db8::ffff") || l.looksLike("2001:db8:0:1::1") {
		t.Error("the /64 is not what counts")
	}
}

// A CDN in front of a declared proxy is as undeclared as one in front of the door.
func TestUndeclaredBehindDeclared(t *testing.T) {
	l := newLab(t, trusting("", "10.0.0.0/8"))
	for i := range 40 {
		l.send(0, "10.0.0.1", "X-Forwarded-For", visitor(i)+", "+proxy)
		l.send(0, "10.0.0.1", "X-Forwarded-For", visitor(i))
	}
	if !l.looksLike(proxy) || l.looksLike("10.0.0.1") || l.looksLike(visitor(3)) {
		t.Errorf("notices %+v", l.notices)
	}
}

func TestDeclaredProxyIsNeverUndeclared(t *testing.T) {
	l := newLab(t, trusting("", proxy))
	l.visitors(0, proxy, "X-Forwarded-For", 0, 100)
	l.visitors(0, proxy, "Forwarded", 0, 100)
	for i := range 100 { // who is behind a damaged entry is nobody's word
		l.send(0, proxy, "X-Forwarded-For", visitor(i)+", unknown")
	}
	if l.looksLike(proxy) || len(l.notices) != 0 {
		t.Errorf("notices %+v", l.notices)
	}
}

func TestNoticedLastsAnHourAndEndsWithBareRequests(t *testing.T) {
	l := newLab(t, policy.Trust{})
	l.visitors(0, proxy, "X-Forwarded-For", 0, 40)
	l.send(59*time.Minute, proxy, "X-Forwarded-For", visitor(1))
	if !l.looksLike(proxy) {
		t.Error("a quiet hour made the proxy a client")
	}
	l.send(90*time.Minute, proxy, "X-Forwarded-For", visitor(1))
	if l.looksLike(proxy) {
		t.Error("it is noticed for more than an hour")
	}
	l.visitors(91*time.Minute, proxy, "X-Forwarded-For", 0, 40)
	if !l.looksLike(proxy) {
		t.Error("it is not noticed again")
	}
	for range 5 {
		l.send(92*time.Minute, proxy)
	}
	if l.looksLike(proxy) {
		t.Error("requests without a mark do not end it")
	}
}

func TestNoticesAreRare(t *testing.T) {
	l := newLab(t, policy.Trust{})
	for s := range 35 * 60 {
		l.send(time.Duration(s)*time.Second, proxy, "X-Forwarded-For", visitor(s))
	}
	if len(l.notices) != 4 {
		t.Errorf("%d notices of one peer in 35 minutes, want 4", len(l.notices))
	}
	l = newLab(t, policy.Trust{})
	for i := range 500 {
		l.visitors(0, fmt.Sprintf("100.64.%d.%d", i/250, i%250), "X-Forwarded-For", 0, 40)
	}
	if len(l.notices) != maxNotices {
		t.Errorf("%d notices of 500 peers at once, want %d", len(l.notices), maxNotices)
	}
	l.Close()
	l.visitors(time.Hour, proxy, "X-Forwarded-For", 0, 40)
	if len(l.notices) != maxNotices {
		t.Error("a notice after Close")
	}
}

func TestClockThatStepsBack(t *testing.T) {
	l := newLab(t, policy.Trust{})
	l.visitors(48*time.Hour, proxy, "X-Forwarded-For", 0, 10)
	l.visitors(0, proxy, "X-Forwarded-For", 10, 40)
	if !l.looksLike(proxy) {
		t.Error("not noticed after the clock stepped back")
	}
}

// A flood from many addresses, each with a forged header, must push out neither a proxy that was noticed before it nor
// one that comes during it and carries more than an attacker's address does.
func TestFloodOfForgersDoesNotPushOutAProxy(t *testing.T) {
	l := newLab(t, policy.Trust{})
	l.visitors(0, proxy, "X-Forwarded-For", 0, 100)
	const late = "203.0.113.2"
	for i := range 60_000 {
		at := time.Duration(i) * 10 * time.Millisecond
		l.send(at, fmt.Sprintf("100.%d.%d.%d", 64+i>>16&63, i>>8&255, i&255), "X-Forwarded-For", visitor(i))
		if i > 10_000 && i%50 == 0 {
			l.send(at, late, "X-Forwarded-For", visitor(i/50))
		}
		if i%50 == 0 {
			l.send(at, proxy, "X-Forwarded-For", visitor(i))
		}
	}
	if !l.looksLike(proxy) {
		t.Error("the proxy that was there was pushed out")
	}
	if !l.looksLike(late) {
		t.Error("the proxy that came during the flood was not noticed")
	}
}

// A full set gives the lightest peer's place away, and a heavy one's only to who is heavier.
func TestFullSetKeepsTheHeavy(t *testing.T) {
	var tab table
	peer := netip.MustParseAddr(proxy)
	send := func(hash uint64, n int) {
		for i := range n {
			tab.marked(hash*sets, peer, uint64(i)*0x9e3779b97f4a7c15, noon)
		}
	}
	has := func(hash uint64) bool { return tab.sets[0].find(hash*sets) >= 0 }
	for i := range uint64(ways) {
		send(1+i, 50)
	}
	send(3, 1000) // the heaviest one
	tab.sets[0].slots[5].weight = 2
	send(100, 1)
	if has(100) || !has(6) {
		t.Error("one request took a place that weighs two")
	}
	send(100, 1)
	if !has(100) || has(6) {
		t.Error("a second one did not")
	}
	for i := range uint64(10_000) {
		send(1000+i, 1)
	}
	if !has(3) || !tab.looksLike(3*sets) || !has(1) {
		t.Error("newcomers of one request each pushed out heavy peers")
	}
}

func TestTableConcurrently(t *testing.T) {
	r := reader(t, policy.Trust{}, Options{Notice: func(Undeclared) {}})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				f := flow.Facts{Arrived: noon.Add(time.Duration(i) * time.Second)}
				var h flow.Header
				if i%3 > 0 {
					h = header("X-Forwarded-For", visitor(i))
				}
				peer := netip.AddrFrom4([4]byte{100, 64, byte(i % 7), byte(i*g) % 16})
				r.Fill(&f, conn(peer.String()), &wire.Request{Target: "/", Header: h})
				r.Undeclared(peer)
			}
		})
	}
	wg.Wait()
}

func TestEstimate(t *testing.T) {
	k := derive(&[32]byte{1}, "x")
	for _, n := range []int{0, 1, 20, 100, 400} {
		var s, none sketch
		for i := range n {
			s.add(k.sum16(uint64(i), 0))
			s.add(k.sum16(uint64(i), 0))
		}
		if got := estimate(s.union(&none)); got < n-n/8-1 || got > n+n/8+1 {
			t.Errorf("%d distinct are estimated as %d", n, got)
		}
	}
	if got := estimate(256); got < 1000 {
		t.Errorf("a full sketch stands for %d", got)
	}
}

// TestTheNextReaderGoesOnWatching: a reload does not make an undeclared proxy a client again.
func TestTheNextReaderGoesOnWatching(t *testing.T) {
	l := newLab(t, policy.Trust{})
	l.visitors(time.Minute, proxy, "X-Forwarded-For", 0, 32)
	if !l.looksLike(proxy) {
		t.Fatal("not noticed: the test tests nothing")
	}
	next := reader(t, policy.Trust{}, Options{Secret: [32]byte{7}, Before: l.Reader})
	if !next.Undeclared(netip.MustParseAddr(proxy)) {
		t.Error("forgotten by the next reader")
	}
}
