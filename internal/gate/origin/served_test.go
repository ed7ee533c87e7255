package origin

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
)

// visitAt is what is known of a request for a page by somebody at an address.
func visitAt(addr string, now time.Time) *flow.Outcome {
	o := facts()
	o.Facts.Client = netip.MustParseAddr(addr)
	o.Facts.Key = netip.PrefixFrom(o.Facts.Client, 32)
	o.Facts.Arrived, o.Facts.Method, o.Facts.Path.Clean = now, "GET", "/"
	o.Facts.Header = fieldsOf("Sec-Fetch-Mode: navigate")
	return o
}

// fill takes all places of a pool with two, for some hundred milliseconds, and lets others wait.
func fill(t *testing.T, p *Pool) {
	t.Helper()
	for range 4 {
		go p.Forward(visitor("GET", "/slow"), visitAt("198.51.100.9", time.Now()))
	}
	synctest.Wait()
	if s := p.Gate().Status(); s.Waiting == 0 {
		t.Errorf("nobody waits: %+v", s)
	}
}

// TestAnswersOfTheCacheMakeAStanding: a visitor whose pages all came from the cache is no stranger when the origin is in trouble;
// one who only came in trouble is.
func TestAnswersOfTheCacheMakeAStanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := before(t, newBusy(2, 200*time.Millisecond), policy.Admission{MaxInFlight: 2})
		for range 4 {
			o := visitAt("192.0.2.1", time.Now())
			o.Status, o.Cache = 200, flow.CacheHit
			p.Served(o)
			o = visitAt("192.0.2.2", time.Now())
			o.Status, o.Cache = 404, flow.CacheHit
			p.Served(o)
			o = visitAt("192.0.2.3", time.Now())
			o.Status, o.Cache, o.Facts.Hot = 200, flow.CacheStale, true
			p.Served(o)
			time.Sleep(2 * time.Second)
		}
		for addr, want := range map[string]string{"192.0.2.1": "known", "192.0.2.2": "new", "192.0.2.3": "new"} {
			fill(t, p)
			o := visitAt(addr, time.Now())
			ex := visitor("GET", "/")
			if p.Forward(ex, o); o.Priority != want || ex.Conn().ComesFirst() != (want == "known") {
				t.Errorf("%s has priority %q, want %q; its connection comes first: %v", addr, o.Priority, want, ex.Conn().ComesFirst())
			}
			time.Sleep(time.Second)
		}
	})
}

// TestPageThatFoundAPlaceKeepsItForItsAssets: others wait, the page happened to find a free place or was stored, and what belongs to it is not to
// stand behind everybody else's pages.
func TestPageThatFoundAPlaceKeepsItForItsAssets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := before(t, newBusy(2, 200*time.Millisecond), policy.Admission{MaxInFlight: 2})
		fill(t, p)
		time.Sleep(850 * time.Millisecond) // they are done
		stored := visitAt("192.0.2.2", time.Now())
		stored.Status, stored.Cache = 200, flow.CacheStale
		p.Served(stored)
		page := visitAt("192.0.2.1", time.Now())
		if p.Forward(visitor("GET", "/"), page); page.Waited != 0 || page.Priority != "" {
			t.Fatalf("the page waited for %v", page.Waited)
		}
		for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
			if k := p.clients.ClaimOf(&visitAt(addr, time.Now()).Facts, flow.Verdict{}, "").Client; !p.clients.Look(time.Now(), k, true).Page {
				t.Errorf("%s: the place of the page is not kept", addr)
			}
		}
	})
}

func TestCostOfARouteIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := before(t, newBusy(8, 50*time.Millisecond), policy.Admission{})
		o := visitAt("192.0.2.1", time.Now())
		if _, known, _, ok := p.Cost(&o.Facts); known || !ok {
			t.Error("nothing was asked for yet")
		}
		for range 5 {
			p.Forward(visitor("GET", "/"), visitAt("192.0.2.1", time.Now()))
		}
		o.Status, o.Cache = 200, flow.CacheHit
		p.Served(o)
		c, known, gate, _ := p.Cost(&o.Facts)
		if !known || c.Service < 0.0499 || c.Service > 0.0501 || c.P50 < 0.05 || c.P95 < c.P50 || c.Forwards != 5 || c.Hits != 1 || gate.Limit != 32 {
			t.Errorf("%+v of %+v", c, gate)
		}
	})
}
