package admission

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"stormdoor/flow"
)

var start = time.Unix(1_000_000, 0)

// wellKnown makes a client one of good standing.
func wellKnown(m *Memory, k Key) (now time.Time) {
	for i := range 4 {
		now = start.Add(time.Duration(i) * 2 * time.Second)
		m.Settle(now, k, 5*ms, Good)
	}
	return now
}

func TestStandingIsEarnedOverTime(t *testing.T) {
	m := NewMemory(start)
	k := KeyOf(m, "client")
	for range 100 {
		m.Settle(start, k, ms, Good)
	}
	if m.Look(start, k, false).Standing {
		t.Error("a hundred requests in a second make no standing")
	}
	m.Settle(start.Add(goodAfter*time.Second), k, ms, Good)
	if !m.Look(start.Add(goodAfter*time.Second), k, false).Standing {
		t.Error("good answers over some time make one")
	}
	if m.Look(start.Add((goodFor+goodAfter+1)*time.Second), k, false).Standing {
		t.Error("it ends")
	}
	b := KeyOf(m, "scanner")
	for i := range 40 {
		m.Settle(start.Add(time.Duration(i)*time.Second), b, ms, Bad)
	}
	if v := m.Look(start.Add(40*time.Second), b, false); v.Standing || !v.Suspicious {
		t.Errorf("who only asks for what is not there: %+v", v)
	}
}

// TestStrangersDisplaceStrangers: a million new clients, and who was there before is still known, as is who has used most.
func TestStrangersDisplaceStrangers(t *testing.T) {
	m := NewMemory(start)
	known := make([]Key, 2000)
	var now time.Time
	for i := range known {
		known[i] = KeyOf(m, i)
		now = wellKnown(m, known[i])
	}
	heavy := KeyOf(m, "heavy")
	m.Charge(now, heavy, 20*time.Second)
	for i := range 1_000_000 {
		m.Charge(now.Add(time.Duration(i)*time.Microsecond), KeyOf(m, [2]int{1, i}), 5*ms)
	}
	forgotten := 0
	for _, k := range known {
		if !m.Look(now.Add(time.Second), k, false).Standing {
			forgotten++
		}
	}
	if forgotten > 0 {
		t.Errorf("%d of %d in good standing were forgotten", forgotten, len(known))
	}
	if m.Look(now.Add(time.Second), heavy, false).Used < 10*time.Second {
		t.Error("the heaviest was forgotten")
	}
	if c, set, lock := m.find(known[0]); c == nil || set.weakest(m.second(now)).kept(m.second(now)) {
		t.Error("the place for the next stranger is that of somebody in good standing")
		lock.Unlock()
	} else {
		lock.Unlock()
	}
}

func TestUseIsForgotten(t *testing.T) {
	m := NewMemory(start)
	k := KeyOf(m, "client")
	m.Charge(start, k, time.Second)
	if got := m.Look(start.Add(usedSpan), k, false).Used; got < 360*ms || got > 376*ms {
		t.Errorf("after %v %v of a second are left, want 1/e", usedSpan, got)
	}
	m.Charge(start.Add(usedSpan-time.Second), k, 0) // a request that noted its time earlier
	if got := m.Look(start.Add(usedSpan), k, false).Used; got < 360*ms {
		t.Errorf("a time that lies behind has left %v", got)
	}
	m.Charge(start, k, -2*time.Second)
	if got := m.Look(start, k, false).Used; got != 0 {
		t.Errorf("used %v: it must not fall below nothing", got)
	}
}

// facts are those of a visitor at an address.
func facts(addr, agent string, credential uint64, fields ...string) *flow.Facts {
	f := &flow.Facts{Site: "shop", Method: "GET", Client: netip.MustParseAddr(addr), Credential: credential}
	f.Key = netip.PrefixFrom(f.Client, f.Client.BitLen())
	f.Path.Clean = "/"
	f.Header.Add("User-Agent", agent)
	for i := 0; i < len(fields); i += 2 {
		f.Header.Add(fields[i], fields[i+1])
	}
	return f
}

func TestWhoComesFirst(t *testing.T) {
	m := NewMemory(start)
	claim := func(f *flow.Facts) Claim { return m.ClaimOf(f, flow.Verdict{}, "login*") }
	member := facts("192.0.2.1", "a", 7)
	regular := facts("192.0.2.2", "b", 0)
	cookied := facts("192.0.2.3", "c", 0, "Cookie", "x=1; login_9=secret")
	stranger := facts("192.0.2.4", "d", 0)
	claims := facts("192.0.2.5", "e", 8, "Cookie", "login_9=guess", "X-Priority", "1")
	greedy := facts("192.0.2.6", "f", 0)
	m.Vouch(start, claim(member).Session)
	m.VouchCookie(start, "shop", "login_9=secret", "login*")
	m.VouchCookie(start, "shop", "other=guess", "login*")
	now := wellKnown(m, claim(regular).Client)
	m.Charge(now, claim(greedy).Client, 15*time.Second)
	o := Origin{Busy: 8, Cost: 5 * ms}
	for _, c := range []struct {
		name string
		c    Claim
		want Priority
	}{
		{"an allow list", m.ClaimOf(stranger, flow.Verdict{Action: flow.Admit}, ""), Operator},
		{"a vouched credential", claim(member), Vouched},
		{"a vouched cookie", claim(cookied), Vouched},
		{"a regular", claim(regular), Known},
		{"a stranger", claim(stranger), New},
		{"somebody who claims a credential, a cookie and a priority", claim(claims), New},
		{"somebody who has used more than a share", claim(greedy), Excess},
	} {
		if j := m.Judge(now, c.c, 5*ms, o); j.Priority != c.want {
			t.Errorf("%s: %v, want %v", c.name, j.Priority, c.want)
		}
	}
}

// TestStolenSessionGainsNoMoreThanItsShare: one session used from a thousand addresses is one client.
func TestStolenSessionGainsNoMoreThanItsShare(t *testing.T) {
	m := NewMemory(start)
	o := Origin{Busy: 8, Cost: 5 * ms}
	m.Vouch(start, m.sessionKey("shop", 7))
	vouched := 0
	for i := range 4000 {
		c := m.ClaimOf(facts(fmt.Sprintf("10.0.%d.%d", i/250, i%250), "a", 7), flow.Verdict{}, "")
		j := m.Judge(start, c, 5*ms, o)
		m.Charge(start, j.Payer, 5*ms)
		if j.Priority == Vouched {
			vouched++
		}
	}
	if most := int(clientShare * 8 * usedSpan / (5 * ms)); vouched > most+1 {
		t.Errorf("%d requests of one session were vouched for, its share is %d", vouched, most)
	}
}

// TestSharedAddress: 200 visitors and a flooding machine behind one address. The address is far over its share; who was
// seen there in good standing goes first all the same, the flooder last, whatever it calls itself.
func TestSharedAddress(t *testing.T) {
	m := NewMemory(start)
	o := Origin{Busy: 8, Cost: 5 * ms}
	var regulars []Claim
	var now time.Time
	for i := range 200 {
		c := m.ClaimOf(facts("198.51.100.1", fmt.Sprint("browser ", i), 0), flow.Verdict{}, "")
		now = wellKnown(m, c.Client)
		regulars = append(regulars, c)
	}
	excess := 0
	for i := range 20_000 {
		c := m.ClaimOf(facts("198.51.100.1", fmt.Sprint("bot ", i), 0), flow.Verdict{}, "")
		j := m.Judge(now, c, 5*ms, o)
		m.Charge(now, j.Payer, 5*ms)
		m.Charge(now, c.Address, 5*ms)
		if j.Priority == Excess {
			excess++
		}
	}
	if excess < 15_000 {
		t.Errorf("only %d of 20000 requests under ever new names came last", excess)
	}
	for i, c := range regulars {
		if j := m.Judge(now, c, 5*ms, o); j.Priority != Known {
			t.Fatalf("regular %d behind the address is %v", i, j.Priority)
		}
	}
}

// TestDearerGivesWay: of two alike the one with the dear request comes later, and who asks more often comes later.
func TestDearerGivesWay(t *testing.T) {
	m := NewMemory(start)
	o := Origin{Busy: 8, Cost: 5 * ms}
	c := m.ClaimOf(facts("192.0.2.1", "a", 0), flow.Verdict{}, "")
	page, search := m.Judge(start, c, 5*ms, o), m.Judge(start, c, 50*ms, o)
	m.Charge(start, c.Client, 800*ms) // 16 pages a second for a while
	often := m.Judge(start, c, 5*ms, o)
	if page.Level >= search.Level || search.Level >= often.Level {
		t.Errorf("levels: page %d, search %d, sixteenth page in a second %d", page.Level, search.Level, often.Level)
	}
}

// TestWhoWaitsComesNearer: a visitor who is turned away and comes back when he was told to, and one who reloads the page each second,
// come nearer with time; who hammers does not, and who stays away too long begins anew.
func TestWhoWaitsComesNearer(t *testing.T) {
	m := NewMemory(start)
	o := Origin{Busy: 8, Cost: 5 * ms}
	after := func(agent string, pause, span time.Duration) (j Judgement) {
		c := m.ClaimOf(facts("192.0.2.1", agent, 0, "Sec-Fetch-Mode", "navigate"), flow.Verdict{}, "")
		for now := start; now.Before(start.Add(span)); now = now.Add(pause) {
			j = m.Judge(now, c, 5*ms, o)
			m.Charge(now, c.Client, 5*ms)
			m.TurnAway(now, c.Client, j.Patient)
		}
		return m.Judge(start.Add(span), c, 5*ms, o)
	}
	first := after("first", time.Second, 0)
	for _, c := range []struct {
		name        string
		pause, span time.Duration
		nearer      int
	}{
		{"who waits 5 s", 5 * time.Second, 5 * time.Second, 1},
		{"who waits 20 s", 5 * time.Second, 20 * time.Second, 3},
		{"who waits 40 s", 5 * time.Second, 40 * time.Second, 4},
		{"who waits 40 s and reloads each second", time.Second, 40 * time.Second, 2}, // four for the wait, less one for what he asks for and one for the reload
		{"who waits 40 s in one go", 40 * time.Second, 40 * time.Second, 4},
		{"who comes back after five minutes", 5 * time.Minute, 5 * time.Minute, 0},
		{"who asks ten times in a second", 100 * ms, 20 * time.Second, -4},
	} {
		if got := after(c.name, c.pause, c.span); int(first.Level)-int(got.Level) != c.nearer {
			t.Errorf("%s stands at level %d, who comes for the first time at %d; want %d nearer", c.name, got.Level, first.Level, c.nearer)
		}
	}
}

// TestPlaceIsKeptUntilItsOwnerIsLetIn, and by nobody else.
func TestPlaceIsKeptUntilItsOwnerIsLetIn(t *testing.T) {
	m := NewMemory(start)
	k, other := KeyOf(m, "somebody"), KeyOf(m, "somebody else")
	place, first := m.TurnAway(start, k, true)
	if place == 0 || !first {
		t.Fatalf("place %d, first %v", place, first)
	}
	later := start.Add(30 * time.Second)
	if again, first := m.TurnAway(later, k, true); again != place || first {
		t.Errorf("half a minute later the place is %d, it was %d; first %v", again, place, first)
	}
	if of, _ := m.TurnAway(later, other, true); of == place {
		t.Error("who comes half a minute later stands there, too")
	}
	if had := m.Settle(later, k, 5*ms, Neither); had != place {
		t.Errorf("it leaves the line from %d, it stood at %d", had, place)
	}
	if v := m.Look(later, k, false); v.Turned != 0 {
		t.Errorf("it stands there still: %d", v.Turned)
	}
	m.TurnAway(later, other, false)
	if v := m.Look(later, other, false); v.Turned != 0 {
		t.Error("who hurries has a place")
	}
}

// TestAssetsKeepThePlaceOfTheirPage, so that a page that was let in comes whole; but not without end.
func TestAssetsKeepThePlaceOfTheirPage(t *testing.T) {
	m := NewMemory(start)
	o := Origin{Busy: 8, Cost: 5 * ms}
	page := m.ClaimOf(facts("192.0.2.1", "a", 0, "Sec-Fetch-Mode", "navigate"), flow.Verdict{}, "")
	asset := m.ClaimOf(facts("192.0.2.1", "a", 0, "Sec-Fetch-Mode", "no-cors"), flow.Verdict{}, "")
	if !page.Page || asset.Page || page.Client != asset.Client {
		t.Fatalf("page %+v, asset %+v", page, asset)
	}
	j := m.Judge(start, page, 5*ms, o)
	m.Page(start, page.Client, j.Priority, j.Level)
	m.Charge(start, page.Client, time.Second)
	for i := range pageAssets {
		if a := m.Judge(start, asset, 5*ms, o); a.Priority != j.Priority || a.Level != j.Level {
			t.Fatalf("asset %d is %+v, its page was %+v", i, a, j)
		}
	}
	if a := m.Judge(start, asset, 5*ms, o); a.Level <= j.Level {
		t.Errorf("request %d of one page still has its place", pageAssets+1)
	}
}

func TestShapesOfPaths(t *testing.T) {
	m := NewMemory(start)
	route := func(method, path, query string) uint64 {
		f := facts("192.0.2.1", "a", 0)
		f.Method, f.Path.Clean, f.Query = method, path, query
		return m.RouteOf(f).Tag
	}
	for _, c := range []struct {
		a, b [3]string
		same bool
	}{
		{[3]string{"GET", "/item/123456", ""}, [3]string{"GET", "/item/987654", ""}, true},
		{[3]string{"GET", "/a/b/c/d", ""}, [3]string{"GET", "/a/b/c/e", ""}, true},
		{[3]string{"GET", "/search", "q=a"}, [3]string{"GET", "/search", "q=b"}, true},
		{[3]string{"GET", "/", ""}, [3]string{"GET", "/", "s=b"}, false},
		{[3]string{"GET", "/a", ""}, [3]string{"GET", "/b", ""}, false},
		{[3]string{"GET", "/a", ""}, [3]string{"POST", "/a", ""}, false},
	} {
		if same := route(c.a[0], c.a[1], c.a[2]) == route(c.b[0], c.b[1], c.b[2]); same != c.same {
			t.Errorf("%v and %v: same %v", c.a, c.b, same)
		}
	}
}

// TestRandomPathsLeaveTheRoutesThatAreUsed where they are.
func TestRandomPathsLeaveTheRoutesThatAreUsed(t *testing.T) {
	var d desk
	d.limiter = newLimiter(0)
	now := time.Duration(0)
	visit := func(tag uint64) {
		d.take(now, d.routes.find(tag))
		d.leave(now, d.answered(now, flight{of: Route{Tag: tag, Method: "GET", Path: "/x"}, route: d.routes.find(tag), began: now, took: 5 * ms}))
		now += ms
	}
	const page = 1 << 60
	for i := range uint64(100_000) {
		visit(i*0x9e3779b97f4a7c15 | 1)
		if i%50 == 0 {
			visit(page)
		}
	}
	if mean, _, ok := d.routes.service(d.routes.find(page)); d.routes.find(page) == other || !ok || mean != 5*ms {
		t.Errorf("the page is at %d, takes %v, known %v", d.routes.find(page), mean, ok)
	}
}

func TestQuantiles(t *testing.T) {
	var q quantiles
	for i := range 100_000 {
		q.add(time.Duration(i%100) * ms)
	}
	for _, c := range []struct {
		share    float64
		from, to time.Duration
	}{{0.5, 50 * ms, 63 * ms}, {0.95, 95 * ms, 119 * ms}} {
		if got := q.at(c.share); got < c.from || got > c.to {
			t.Errorf("%v of the times are up to %v, want %v to %v", c.share, got, c.from, c.to)
		}
	}
	for i := range quantileClasses - 1 {
		if end := quantileEnd(i); quantileClass(end-1) != i || quantileClass(end) != i+1 {
			t.Errorf("class %d ends at %v, which is in %d", i, end, quantileClass(end))
		}
	}
}

func BenchmarkAccount(b *testing.B) {
	m := NewMemory(start)
	f := facts("192.0.2.1", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", 0, "Accept-Language", "de,en;q=0.9")
	b.ReportAllocs()
	for b.Loop() {
		m.RouteOf(f)
		c := m.ClaimOf(f, flow.Verdict{}, "")
		m.Settle(start, c.Client, 5*ms, Good)
		m.Charge(start, c.Address, 5*ms)
	}
}

func BenchmarkJudge(b *testing.B) {
	m := NewMemory(start)
	f := facts("192.0.2.1", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", 0, "Accept-Language", "de,en;q=0.9")
	b.ReportAllocs()
	for b.Loop() {
		m.Judge(start, m.ClaimOf(f, flow.Verdict{}, ""), 5*ms, Origin{Busy: 8, Cost: 5 * ms})
	}
}
