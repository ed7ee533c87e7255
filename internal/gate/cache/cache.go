// Package cache answers "has this been asked before, and does the answer still hold?": a shared cache by RFC 9111 between
// the judgement and the origin. What it stores it stores only because the origin has said that it may be.
package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// Options are what a cache needs to know.
type Options struct {
	// Memory bounds what is stored, MaxObject one answer, in bytes.
	Memory, MaxObject int64
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Disk is where answers go that memory has no room for.
	Disk Disk
	// Busted is told when a path begins to explode. It must not block. nil tells nobody.
	Busted func(site, path string)
}

// Origin is what lies behind the cache, for one request.
type Origin interface {
	// Forward sends the request of ex to an origin and its answer to ex, as origin.Pool does.
	Forward(ex wire.Exchange) flow.Reason
	// Later returns what forwards a request like this one when this one is over. It is called before it is.
	Later() func(ex wire.Exchange) flow.Reason
}

// Cache is one shared cache. It is safe for concurrent use.
type Cache struct {
	now       func() time.Time
	busted    func(site, path string)
	maxObject atomic.Int64
	budget    atomic.Int64 // of all flights
	store     *store
	past      experience
	bust      *busting
	stamps    stamps
	tier      *tier // nil for none
	walks     sync.Pool

	mu      sync.Mutex
	flights map[string]*flight

	filling atomic.Int64 // bytes of flights
	waiting atomic.Int64 // visitors who wait for a flight
	behind  atomic.Int64 // refreshes that no visitor waits for

	refreshed atomic.Uint64
}

// New returns an empty cache.
func New(o Options) *Cache {
	c := &Cache{now: o.Now, busted: o.Busted, store: newStore(o.Memory), bust: newBusting(), flights: map[string]*flight{}}
	if c.now == nil {
		c.now = time.Now
	}
	if c.busted == nil {
		c.busted = func(string, string) {}
	}
	if c.tier = newTier(o.Disk, c); c.tier != nil {
		c.store.leaves = c.tier.offer
	}
	c.Resize(o.Memory, o.MaxObject)
	c.walks.New = func() any { return &walk{key: make([]byte, 0, 256)} }
	return c
}

// Resize changes the bounds of Options. What is stored and is too much now goes as if it had been evicted; flights end under
// the bounds that they began with.
func (c *Cache) Resize(memory, maxObject int64) {
	c.maxObject.Store(min(maxObject, memory/4))
	c.budget.Store(memory / 4)
	c.store.resize(memory - c.tier.resize(memory))
}

// Run keeps the disk until ctx ends; without it nothing goes there. At the end it writes what is worth being there after a
// restart, for two seconds at most. Where there is no disk it only waits.
func (c *Cache) Run(ctx context.Context) {
	if c.tier == nil {
		<-ctx.Done()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.tier.run(ctx, c.store.proven)
	}()
	<-ctx.Done()
	timer := time.NewTimer(2 * flushMost) // a disk that hangs must not hold up the door's end
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// forget takes back what is stored under the key, wherever it is.
func (c *Cache) forget(hash uint64, key []byte) {
	c.store.remove(hash, key)
	if c.tier != nil {
		c.tier.forget(hash, string(key))
	}
}

// Bounds on those who wait for another's fetch. Beyond them everybody asks for himself.
const (
	waitersMost     = 20_000           // in all
	flightMost      = 10_000           // for one flight
	waitProven      = 10 * time.Second // for an answer of a path whose answers could be stored
	waitUnknown     = 2 * time.Second
	triesMost       = 3 // of flights that ended because of whoever led them
	refreshesMost   = 64
	refreshTimeMost = time.Minute
)

// Serve answers the request of ex from what is stored, or lets origin answer it and stores what may be stored. It returns
// what origin.Pool's Forward would: "" when the visitor has been answered completely; with any other reason either o.Status
// is 0 and nothing was sent, or the exchange has been aborted. nil rules switch the cache off for this request.
func (c *Cache) Serve(ex wire.Exchange, o *flow.Outcome, rules *Rules, origin Origin) flow.Reason {
	if rules == nil {
		return origin.Forward(ex)
	}
	req := ex.Request()
	switch req.Method {
	case "GET", "HEAD":
	case "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "REPORT", "SEARCH":
		return origin.Forward(ex)
	default:
		return c.unsafe(ex, o, rules, origin)
	}
	w := c.walks.Get().(*walk)
	w.begin(c, ex, o, rules, origin)
	defer w.end()
	if w.bypass {
		return origin.Forward(ex)
	}
	return w.serve()
}

// Interest says in words whether a request is the cache's business.
func Interest(method string, h flow.Header, length int64) string {
	if method != "GET" && method != "HEAD" {
		return "not asked: it answers GET and HEAD"
	}
	w := walk{req: &wire.Request{Method: method, Header: h, Length: length}, want: noDirectives()}
	switch w.look(); {
	case w.bypass:
		return "not asked: the request has a body, wants a stream of events, or may be another method"
	case w.ask.credential:
		return "asked; what is stored answers a request with credentials only if it says so"
	case w.ask.cookies:
		return "asked; what is stored answers a request with cookies only if it is for everybody"
	}
	return "asked"
}

// unsafe forwards a request that may change things, and forgets what it may have changed (RFC 9111, section 4.4).
func (c *Cache) unsafe(ex wire.Exchange, o *flow.Outcome, rules *Rules, origin Origin) flow.Reason {
	reason := origin.Forward(ex)
	if o.Status < 200 || o.Status >= 400 {
		return reason
	}
	w := c.walks.Get().(*walk)
	w.begin(c, ex, o, rules, origin)
	c.stamps.advance(w.hash)
	c.forget(w.hash, w.key)
	w.end()
	return reason
}

// takeOff returns the flight for the id; leads is true for whoever has to do it.
func (c *Cache) takeOff(id string) (f *flight, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[id]; f != nil {
		return f, false
	}
	f = c.newFlight(id)
	c.flights[id] = f
	return f, true
}

func (c *Cache) newFlight(id string) *flight {
	f := newFlight(id)
	f.fills, f.most, f.budget = &c.filling, c.maxObject.Load(), c.budget.Load()
	return f
}

// solo is a flight that nobody joins.
func (w *walk) solo() *flight { return w.c.newFlight("") }

// land takes the flight out of the list, so that nobody joins it any more.
func (c *Cache) land(f *flight) {
	if f.id == "" {
		return
	}
	c.mu.Lock()
	if c.flights[f.id] == f {
		delete(c.flights, f.id)
	}
	c.mu.Unlock()
}
