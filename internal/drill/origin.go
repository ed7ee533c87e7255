package drill

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// OriginSpec is the capacity of the drill's origin.
type OriginSpec struct {
	// Workers is how many requests it works on at once; the rest queues, first in, first out.
	Workers int
	// Service is how long a worker takes for an ordinary page. Assets take a quarter, searches ten times as long.
	Service time.Duration
}

// Capacity is how many ordinary pages a second the origin can serve.
func (s OriginSpec) Capacity() float64 { return float64(s.Workers) / s.Service.Seconds() }

// OriginFault is what is wrong with the origin. The zero value is a healthy one.
type OriginFault struct {
	// Slower multiplies every service time; 0 stands for 1.
	Slower float64 `yaml:"slower"`
	// Dead resets every connection.
	Dead bool `yaml:"dead"`
}

// OriginStats is what the origin has done since it began.
type OriginStats struct {
	Requests, Hostile   int64         // requests it was asked, and those of bots among them
	Busy, HostileBusy   time.Duration // the time of its workers
	InFlight, MostAtOne int64         // requests asked and not answered: now, and at most since the last call
	LoadNow             float64       // the share of its workers that is busy
}

// Origin is the part that stands for the operator's own server: a small shop of limited capacity.
type Origin struct {
	ctx     context.Context
	spec    OriginSpec
	slots   chan struct{}
	fault   atomic.Pointer[OriginFault]
	mu      sync.Mutex
	stats   OriginStats
	working atomic.Int64
	inside  atomic.Int64
	most    atomic.Int64
}

// Start opens the shop and tells its address.
func (o *Origin) Start(spec OriginSpec, addr *string) error {
	o.spec = spec
	o.slots = make(chan struct{}, spec.Workers)
	o.fault.Store(&OriginFault{})
	l, err := listenLoopback(o.ctx)
	if err != nil {
		return err
	}
	*addr = l.Addr().String()
	s := &http.Server{Handler: o.counted(o.shop()), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return o.ctx }}
	go s.Serve(l)
	return nil
}

// Break puts a fault in force, or with the zero fault takes it back.
func (o *Origin) Break(f OriginFault, _ *Nothing) error {
	o.fault.Store(&f)
	return nil
}

// Stats tells what the origin has done.
func (o *Origin) Stats(_ Nothing, s *OriginStats) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	*s = o.stats
	s.InFlight, s.MostAtOne = o.inside.Load(), o.most.Swap(o.inside.Load())
	s.LoadNow = float64(o.working.Load()) / float64(o.spec.Workers)
	return nil
}

// counted counts requests and makes a dead origin dead.
func (o *Origin) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.fault.Load().Dead {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				if t, ok := c.(*net.TCPConn); ok {
					_ = t.SetLinger(0)
				}
				c.Close()
			}
			return
		}
		n := o.inside.Add(1)
		defer o.inside.Add(-1)
		for m := o.most.Load(); n > m && !o.most.CompareAndSwap(m, n); m = o.most.Load() {
		}
		o.mu.Lock()
		o.stats.Requests++
		if fromBot(r) {
			o.stats.Hostile++
		}
		o.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// fromBot reports whether the door, or the proxy in its place, says that a bot has sent the request.
func fromBot(r *http.Request) bool {
	f := r.Header.Get("X-Forwarded-For")
	a, err := netip.ParseAddr(strings.TrimSpace(f[strings.LastIndexByte(f, ',')+1:]))
	return err == nil && hostile(a)
}

// work keeps one of the workers busy for the share of a page's service time. It reports false when the visitor has left
// in the queue.
func (o *Origin) work(r *http.Request, pages float64) bool {
	select {
	case o.slots <- struct{}{}:
	case <-r.Context().Done():
		return false
	}
	defer func() { <-o.slots }()
	o.working.Add(1)
	defer o.working.Add(-1)
	took := time.Duration(pages * float64(o.spec.Service))
	if s := o.fault.Load().Slower; s > 0 {
		took = time.Duration(s * float64(took))
	}
	t := time.NewTimer(took)
	defer t.Stop()
	select {
	case <-t.C:
	case <-o.ctx.Done():
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stats.Busy += took
	if fromBot(r) {
		o.stats.HostileBusy += took
	}
	return true
}
