package origin

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/policy"
)

// TestWhoCameFirstIsServedFirst: for 40 s twice as many people come (40 in a second) as an origin can serve. Each comes back when he is told to, but
// for some who reload the page each second. Those who came earlier get in earlier, and the reloaders hardly later than the others.
func TestWhoCameFirstIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := before(t, newBusy(2, 100*time.Millisecond), policy.Admission{MaxInFlight: 2})
		var mu sync.Mutex
		waits := map[string][]time.Duration{}
		most := 0
		var all sync.WaitGroup
		begin := time.Now()
		person := func(i int, kind string, reload time.Duration) {
			came := time.Now()
			for time.Since(begin) < 3*time.Minute {
				o := visitAt(fmt.Sprintf("10.1.%d.%d", i/250, 1+i%250), time.Now())
				if p.Forward(visitor("GET", "/"), o) == "" {
					mu.Lock()
					waits[kind] = append(waits[kind], time.Since(came))
					mu.Unlock()
					return
				}
				mu.Lock()
				most = max(most, o.Ahead)
				mu.Unlock()
				if reload == 0 {
					reload = o.Verdict.RetryIn
					time.Sleep(reload)
					reload = 0
					continue
				}
				time.Sleep(reload)
			}
			t.Errorf("%s never got in", kind)
		}
		for i := range 1600 {
			kind, reload := "early", time.Duration(0)
			if i >= 800 {
				kind = "late"
			}
			if i%40 == 0 {
				kind, reload = kind+", reloading", time.Second
			}
			all.Go(func() { person(i, kind, reload) })
			time.Sleep(25 * time.Millisecond)
		}
		all.Wait()
		half := map[string]time.Duration{}
		for kind, w := range waits {
			slices.Sort(w)
			half[kind] = w[len(w)/2]
			t.Logf("%s: %d, half of them waited less than %v, all less than %v", kind, len(w), w[len(w)/2], w[len(w)-1])
			if last := w[len(w)-1]; last > 90*time.Second {
				t.Errorf("%s: somebody waited for %v", kind, last)
			}
		}
		if half["early"] > half["late"] || half["early, reloading"] > 3*half["early"]/2+8*time.Second || half["late, reloading"] > 3*half["late"]/2+8*time.Second {
			t.Errorf("half of the waits: %v", half)
		}
		if most < 200 || most > 1600 {
			t.Errorf("at most %d before somebody", most)
		}
	})
}
