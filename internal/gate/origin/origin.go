// Package origin answers "which origin answers, and how is it asked?": it chooses among the origins of a site, sends the
// request on, streams the answer back, and knows which origins are well.
//
// What it will not do is make things worse. A request that an origin may have acted on is never sent twice; retries stay
// at a tenth of the traffic; an origin that is down is asked by a few requests at once and not by all; and a request that
// has been through this door before is refused.
package origin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/origin/admission"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// Config is what a pool is made of.
type Config struct {
	// Site names the site in logs and errors. Origins are its servers, at least one.
	Site    string
	Origins []policy.Origin
	// Balance says how an origin is chosen, Health how origins are checked; nil checks none.
	Balance policy.Balance
	Health  *policy.Health
	// Hosts are the site's hosts: the first exact one is asked for by health checks.
	Hosts []string
	// Timeouts bound the waiting; a zero field is the policy's default.
	Timeouts policy.Timeouts
	// MaxBody bounds the body of a request in bytes; 0 is no bound.
	MaxBody policy.Bytes
	// PreserveHost passes the visitor's Host on. Without it origins are asked for their own.
	PreserveHost bool
	// Token is the door's own random identity, the same for all pools of a process: letters and digits. A request that
	// carries it has been here before.
	Token string
	// Secret keys the choice of client_hash, so that nobody can compute which clients share an origin.
	Secret [32]byte
	// Log takes what an operator should know; nil discards it.
	Log *slog.Logger
	// Admission says how forwards are admitted. Gate admits them, where it belongs to another pool with the same origins;
	// nil makes one. Clients remembers those who ask; nil makes a memory of the pool's own.
	Admission policy.Admission
	Gate      *admission.Gate
	Clients   *admission.Memory
	// Visits signs and reads the site's visit cookies; nil for none.
	Visits *admission.Visits
	// Lag tells how late the door itself is; nil makes one.
	Lag *admission.Lag
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Before is the pool that the new one takes the place of; nil for none. See New.
	Before *Pool
	// NewUpstream makes the client for one origin; nil is wire.NewUpstream.
	NewUpstream func(wire.UpstreamConfig) wire.Upstream
}

// The policy's defaults for what is zero.
const (
	defaultConnect  = 3 * time.Second
	defaultResponse = 60 * time.Second
	defaultIdle     = 5 * time.Minute
	loopLogEvery    = 10 * time.Second
	tokenLeast      = 8 // characters of a loop token: fewer could be met by chance
)

// Pool is the origins of one site or route. It is safe for concurrent use.
type Pool struct {
	site     string
	members  []*member
	balance  policy.Balance
	health   *check
	idle     time.Duration
	maxBody  int64
	preserve bool
	token    string
	log      *slog.Logger
	now      func() time.Time
	born     time.Time
	made     fingerprint
	http2    uint64       // the members that speak HTTP/2, by index, up to 64
	holders  atomic.Int32 // how many Closes are due

	gate    *admission.Gate // nil when it is turned off
	clients *admission.Memory
	vouched vouching
	visits  *admission.Visits

	turn     atomic.Uint32 // for ties of least_connections
	turns    sync.Mutex    // guards the turns of round_robin
	forwards atomic.Uint64
	bodies   gathering
	waiting  atomic.Int64 // forwards whose origin has the whole request and has not answered
	calls    sync.Pool    // of *call
	buffers  buffers

	retries struct {
		sync.Mutex
		budget
	}
	heat struct {
		sync.Mutex
		heat
	}
	hotUntil atomic.Int64 // unix nanoseconds, a copy of heat's
	loops    struct {
		sync.Mutex
		said time.Time
		more int // loops that were not logged since
	}
}

// New reads the files that the origins name and returns their pool. It connects to nothing. The error names every
// origin that cannot be used. Each pool that New returns wants one Close.
//
// Where nothing has changed since c.Before was made, New returns c.Before itself, which then wants one more Close: its
// connections stay open. Otherwise the new pool begins with what c.Before knows of the origins that are still there.
func New(c Config) (*Pool, error) {
	made := c.fingerprint()
	if c.Before != nil && c.Before.made == made {
		c.Before.holders.Add(1)
		return c.Before, nil
	}
	p := &Pool{
		made: made,
		site: c.Site, balance: c.Balance, maxBody: int64(c.MaxBody), preserve: c.PreserveHost, token: c.Token,
		idle: cmp.Or(time.Duration(c.Timeouts.Idle), defaultIdle),
		log:  c.Log, now: c.Now,
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.born = p.now()
	if c.NewUpstream == nil {
		c.NewUpstream = wire.NewUpstream
	}
	if len(c.Origins) == 0 {
		return nil, fmt.Errorf("site %q: it has no origin; give it at least one under origins", c.Site)
	}
	if len(c.Token) < tokenLeast {
		return nil, fmt.Errorf("site %q: the loop token has %d characters; it needs at least %d", c.Site, len(c.Token), tokenLeast)
	}
	p.admission(c)
	p.calls.New = func() any { return newCall(p) }
	p.holders.Store(1)
	if err := p.build(c); err != nil {
		return nil, err
	}
	if c.Before != nil {
		p.inherit(c.Before)
	}
	return p, nil
}

// admission sets up who admits forwards.
func (p *Pool) admission(c Config) {
	if c.Admission.Off {
		return
	}
	p.visits = c.Visits
	p.vouched = vouching{header: c.Admission.VouchedHeader, cookie: c.Admission.VouchedCookie}
	if p.clients = c.Clients; p.clients == nil {
		p.clients = admission.NewMemory(p.born)
	}
	if p.gate = c.Gate; p.gate == nil {
		lag := c.Lag
		if lag == nil {
			lag = admission.NewLag(time.Now)
		}
		p.gate = admission.NewGate(c.Admission.MaxInFlight, p.now, lag)
	}
}

// build makes the members and the health check.
func (p *Pool) build(c Config) error {
	var errs []error
	for i, o := range c.Origins {
		t, err := parseTarget(o)
		if err == nil && o.Weight < 0 {
			err = fmt.Errorf("weight: %d is below 0; leave it out or give a positive number", o.Weight)
		}
		if err != nil {
			name := fmt.Sprintf("site %q: origin %d (%s)", c.Site, i+1, o.URL)
			errs = append(errs, policy.Of(name, policy.Item("origins", i), err))
			continue
		}
		if t.http2 {
			p.http2 |= 1 << len(p.members)
		}
		p.members = append(p.members, newMember(p, t, o, c))
	}
	h, err := newCheck(c)
	if err != nil {
		errs = append(errs, policy.Of(fmt.Sprintf("site %q: health", c.Site), "health", err))
	}
	p.health = h
	if err := errors.Join(errs...); err != nil {
		p.Close()
		return err
	}
	return nil
}

// Hot reports whether the origins are in trouble; see heat for what that means. It is one atomic load.
func (p *Pool) Hot(now time.Time) bool { return now.UnixNano() < p.hotUntil.Load() }

// Close gives the pool back. The last Close closes idle connections now and busy ones when they are done.
func (p *Pool) Close() {
	if p.holders.Add(-1) > 0 {
		return
	}
	for _, m := range p.members {
		m.upstream.Close()
		if m.checker != nil {
			m.checker.Close()
		}
	}
}

// OriginStatus is how one origin is.
type OriginStatus struct {
	// Address is "host:port" or "unix:/path".
	Address string `json:"address"`
	// Up is false while the origin is left out; Since tells since when it is up or down (zero: since the start), Why in
	// words what its last failure was, "" when it is up.
	Up    bool      `json:"up"`
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why,omitempty"`
	// InFlight counts forwards under way, upgraded connections included.
	InFlight int `json:"in_flight"`
	// Forwards and Failures count since the start: requests sent or tried, and those that failed by the origin's fault.
	Forwards uint64 `json:"forwards"`
	Failures uint64 `json:"failures"`
}

// Status returns how each origin is, in the order of the policy.
func (p *Pool) Status() []OriginStatus {
	all := make([]OriginStatus, len(p.members))
	for i, m := range p.members {
		m.mu.Lock()
		c := m.cond
		m.mu.Unlock()
		all[i] = OriginStatus{Address: m.label, Up: c.up(), Since: c.since, InFlight: int(m.busy.Load()),
			Forwards: m.forwards.Load(), Failures: m.failures.Load()}
		if !all[i].Up {
			all[i].Why = c.why
		}
	}
	return all
}

// age is the time since the pool's birth in nanoseconds, at least 1.
func (p *Pool) age() int64 { return max(1, int64(p.now().Sub(p.born))) }

// retry asks the budget for one more try.
func (p *Pool) retry() bool {
	p.retries.Lock()
	defer p.retries.Unlock()
	next, ok := p.retries.budget.spend(p.now(), p.forwards.Load())
	p.retries.budget = next
	return ok
}

// warm tells heat how a forward went.
func (p *Pool) warm(now time.Time, f forward) {
	waiting := int(p.waiting.Load())
	p.heat.Lock()
	p.heat.ended(now, f, waiting)
	p.publish(now)
	p.heat.Unlock()
}

// crowd tells heat that many forwards wait.
func (p *Pool) crowd(waiting int) {
	now := p.now()
	p.heat.Lock()
	p.heat.arrived(now, waiting)
	p.publish(now)
	p.heat.Unlock()
}

// publish copies what heat says to where Hot looks. It is called with heat locked.
func (p *Pool) publish(now time.Time) {
	if !p.heat.hot(now) {
		return
	}
	if until := p.heat.until.UnixNano(); until != p.hotUntil.Load() {
		if now.UnixNano() >= p.hotUntil.Load() {
			p.log.Warn("the origin is in trouble", "site", p.site, "origins", p.addresses())
		}
		p.hotUntil.Store(until)
	}
}

// looping notes a request that came back.
func (p *Pool) looping(o *flow.Outcome) flow.Reason {
	o.Err = "the request has been through this door before: an origin of " + p.addresses() + " points back at it"
	now := p.now()
	p.loops.Lock()
	defer p.loops.Unlock()
	if !p.loops.said.IsZero() && now.Sub(p.loops.said) < loopLogEvery {
		p.loops.more++
		return flow.RequestLoop
	}
	p.log.Error("a request came back to the door: an origin points at the door itself, or at a proxy in front of it; correct its url",
		"site", p.site, "origins", p.addresses(), "host", o.Facts.Host, "path", o.Facts.Path.Raw, "not_logged", p.loops.more)
	p.loops.said, p.loops.more = now, 0
	return flow.RequestLoop
}

// addresses names all origins for a log line.
func (p *Pool) addresses() string {
	all := make([]string, len(p.members))
	for i, m := range p.members {
		all[i] = m.label
	}
	return strings.Join(all, " ")
}

// seedOf tells an origin apart from its siblings for client_hash. It depends on the secret and the address only, so that
// the order of the policy does not matter and a restart moves nobody.
func seedOf(secret [32]byte, address string) uint64 {
	sum := sha256.Sum256(append(secret[:], address...))
	return binary.LittleEndian.Uint64(sum[:])
}

// Run checks the origins actively until ctx ends, and then returns nil. Without a health policy it only waits.
func (p *Pool) Run(ctx context.Context) error {
	var all sync.WaitGroup
	if p.health != nil {
		for _, m := range p.members {
			all.Go(func() { p.health.watch(ctx, m) })
		}
	}
	<-ctx.Done()
	all.Wait()
	return nil
}
