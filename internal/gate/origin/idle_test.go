package origin

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/policy"
)

// TestNobodyIsRefusedWhileTheOriginKeepsUp: 500 strangers at once, after a quiet hour, for a page that takes 700 ms however many ask
// for it. Nothing says that this is more than the origin can do, so nobody may be sent away, nor wait longer than it takes to
// find that out.
func TestNobodyIsRefusedWhileTheOriginKeepsUp(t *testing.T) {
	for _, quiet := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := newBusy(1000, 700*time.Millisecond)
			p := before(t, b, policy.Admission{})
			if quiet > 0 {
				for range 5 {
					p.Forward(visitor("GET", "/"), facts())
				}
				time.Sleep(quiet)
			}
			var all sync.WaitGroup
			var mu sync.Mutex
			longest := time.Duration(0)
			refused := 0
			for range 500 {
				all.Go(func() {
					o := facts()
					reason := p.Forward(visitor("GET", "/"), o)
					mu.Lock()
					defer mu.Unlock()
					longest = max(longest, o.Waited)
					if reason != "" {
						refused++
					}
				})
			}
			all.Wait()
			if refused > 0 || longest > 3*time.Second || p.Hot(time.Now()) {
				t.Errorf("after %v of quiet %d of 500 were refused, the longest wait was %v, hot %v", quiet, refused, longest, p.Hot(time.Now()))
			}
		})
	}
}
