package origin

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// member is one origin of a pool.
type member struct {
	target
	pool     *Pool
	index    int
	weight   int
	seed     uint64
	upstream wire.Upstream
	checker  wire.Upstream // for active checks, so that they neither use nor keep a visitor's connection; nil without

	busy               atomic.Int64
	forwards, failures atomic.Uint64

	// well is true while the condition is up and without a blemish: then a success changes nothing, and the path takes
	// no lock. up is true while the condition is up.
	well, up atomic.Bool
	mu       sync.Mutex
	cond     condition

	turn int // for round_robin, guarded by Pool.turns
}

func newMember(p *Pool, t target, o policy.Origin, c Config) *member {
	m := &member{target: t, pool: p, index: len(p.members), weight: max(1, o.Weight), seed: seedOf(c.Secret, t.label)}
	m.well.Store(true)
	m.up.Store(true)
	u := wire.UpstreamConfig{
		Network: t.network, Address: t.address, TLS: t.tls, HTTP2: t.http2,
		ConnectTimeout:  cmp.Or(time.Duration(c.Timeouts.Connect), defaultConnect),
		ResponseTimeout: cmp.Or(time.Duration(c.Timeouts.Response), defaultResponse),
		IdleTimeout:     p.idle,
	}
	m.upstream = c.NewUpstream(u)
	if c.Health != nil {
		timeout := cmp.Or(time.Duration(c.Health.Timeout), checkTimeout)
		u.ConnectTimeout, u.ResponseTimeout, u.IdleTimeout = timeout, timeout, timeout
		u.MaxIdle = -1 // a check that an origin takes new connections must make one
		m.checker = c.NewUpstream(u)
	}
	return m
}

// change replaces the condition by next(condition) and says so once when the origin goes up or down.
func (m *member) change(next func(condition) condition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.cond
	m.cond = next(was)
	is := m.cond.up()
	m.up.Store(is)
	m.well.Store(is && m.cond.fails == 0 && m.cond.trials == 0)
	switch {
	case was.up() && !is:
		m.pool.log.Warn("an origin is left out", "site", m.pool.site, "origin", m.label, "why", m.cond.why)
	case !was.up() && is:
		m.pool.log.Info("an origin is back", "site", m.pool.site, "origin", m.label, "out", m.cond.since.Sub(was.since).Round(time.Millisecond).String())
	}
}

// standing is how the origin stands now.
func (m *member) standing(now time.Time) (standing, condition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cond.standing(now), m.cond
}

// try begins a trial if fewer than most are in flight.
func (m *member) try(most int) (ok bool) {
	m.change(func(c condition) condition {
		c, ok = c.try(most)
		return c
	})
	return ok
}

// result is what a forward says about an origin.
type result uint8

const (
	neutral   result = iota // nothing: the visitor left, or a kept connection was closed
	succeeded               // an answer began
	failed                  // no answer, by the origin's fault
)

// settle notes how a forward went; trial says whether it was one, and why is the failure in words.
func (m *member) settle(r result, trial bool, now time.Time, why string) {
	if r == failed {
		m.failures.Add(1)
	}
	if !trial && (r == neutral || r == succeeded && m.well.Load()) {
		return
	}
	m.change(func(c condition) condition {
		if trial {
			c.trials--
		}
		switch r {
		case succeeded:
			return c.succeeded(now)
		case failed:
			return c.failed(now, why)
		}
		return c
	})
}
