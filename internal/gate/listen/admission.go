// Package listen is the first thing that a connection meets. It answers "which connections come in, and how?": sockets
// that survive a restart, caps for each client, the PROXY protocol, TLS with its certificates, and HTTP/3.
package listen

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// Config says which connections come in. The zero value takes the defaults.
type Config struct {
	// MaxConnections bounds the open connections. Default 50000.
	MaxConnections int
	// MaxPerClient bounds the open connections of one /32 or /64. Default 1024. Behind a PROXY header it is the visitor
	// who is counted.
	MaxPerClient int
	// ProxyProtocol are the peers that begin each connection with a PROXY header, version 1 or 2. From them it is
	// required; from everybody else it is never read as one.
	ProxyProtocol []policy.Prefix
	// HeadTimeout is how long a PROXY header may take. Default 10 s.
	HeadTimeout time.Duration
	// HandshakeTimeout is how long a TLS handshake may take. Default 10 s.
	HandshakeTimeout time.Duration
	// Handshakes bounds full TLS handshakes.
	Handshakes Handshakes
	// Allowed says whom the allow lists name: they are exempt from the bounds of one client. Nil: nobody. It is called
	// for each connection and must not block.
	Allowed func(netip.Addr) bool
	// Full reports that connections hold as much memory as they may: nobody comes in then but whom the allow lists name.
	// Nil: never. It is called for each connection and must not block.
	Full func() bool
	// Log takes what an operator should know. Nil: nothing is said.
	Log *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() *Config {
	if c.MaxConnections <= 0 {
		c.MaxConnections = 50000
	}
	if c.MaxPerClient <= 0 {
		c.MaxPerClient = 1024
	}
	if c.HeadTimeout <= 0 {
		c.HeadTimeout = 10 * time.Second
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	c.Handshakes = c.Handshakes.withDefaults()
	if c.Allowed == nil {
		c.Allowed = func(netip.Addr) bool { return false }
	}
	if c.Full == nil {
		c.Full = func() bool { return false }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.ProxyProtocol = slices.Clone(c.ProxyProtocol)
	return &c
}

// fromProxy reports whether a connection from a must begin with a PROXY header.
func (c *Config) fromProxy(a netip.Addr) bool {
	for _, p := range c.ProxyProtocol {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Admission admits connections to the door. One Admission stands behind all listeners of a door, so that its bounds hold
// for all of them together. It is safe for concurrent use.
type Admission struct {
	config  atomic.Pointer[Config]
	crowd   crowd
	budget  *budget
	turns   turns
	open    atomic.Int64
	counts  counts
	acceptQ quiet
	proxyQ  quiet
}

type counts struct {
	accepted, full, memory, perClient, proxy, errors atomic.Uint64
}

// Stats are counters since the start of the Admission, but for Open.
type Stats struct {
	// Open is the number of connections now.
	Open int64
	// Accepted counts connections that came in.
	Accepted uint64
	// RefusedFull counts those closed because MaxConnections were open, RefusedMemory because memory was full, RefusedClient those over MaxPerClient,
	// RefusedProxy those without a good PROXY header where one is required.
	RefusedFull, RefusedMemory, RefusedClient, RefusedProxy uint64
	// FullHandshakes counts TLS handshakes that needed the private key, RefusedHandshakes those over the budget.
	FullHandshakes, RefusedHandshakes uint64
	// AcceptErrors counts failures of the system to hand a connection over.
	AcceptErrors uint64
}

// NewAdmission returns an Admission under c. The table that counts clients has two slots or more (24 bytes each, 3 MiB
// by default) for each of MaxConnections and never grows: raising MaxConnections later only makes coarse counting more
// likely.
func NewAdmission(c Config) *Admission {
	a := &Admission{budget: newBudget(), turns: newTurns()}
	cfg := c.withDefaults()
	a.config.Store(cfg)
	a.crowd = crowd{newTable(2 * cfg.MaxConnections)}
	return a
}

// Configure replaces the configuration. Connections that are open stay, and go on to be counted.
func (a *Admission) Configure(c Config) { a.config.Store(c.withDefaults()) }

// Stats returns the counters.
func (a *Admission) Stats() Stats {
	return Stats{
		Open:              a.open.Load(),
		Accepted:          a.counts.accepted.Load(),
		RefusedFull:       a.counts.full.Load(),
		RefusedMemory:     a.counts.memory.Load(),
		RefusedClient:     a.counts.perClient.Load(),
		RefusedProxy:      a.counts.proxy.Load(),
		FullHandshakes:    a.budget.full.Load(),
		RefusedHandshakes: a.budget.refused.Load(),
		AcceptErrors:      a.counts.errors.Load(),
	}
}

// Wrap returns a listener that admits the connections of l. They implement wire.Informed; a PROXY header is read by the
// first Read, Info or RemoteAddr, so these belong into the connection's own goroutine. Closing it closes l.
//
// Accept returns an error only when the listener was closed or its deadline is over. When the system fails (no file
// descriptors left), it waits and tries again.
func (a *Admission) Wrap(l net.Listener) net.Listener {
	return &listener{Listener: l, a: a, closed: make(chan struct{})}
}

// WrapTLS is Wrap with TLS on top: it returns *tls.Conn whose handshake has not begun. The first Read or Write, or
// Handshake, begins it, and it must be over within HandshakeTimeout of the first read. That read deadline stays until
// the server sets a read deadline of its own (the zero time counts) once the handshake is over, as net/http does.
func (a *Admission) WrapTLS(l net.Listener, c *tls.Config) net.Listener {
	return tls.NewListener(&listener{Listener: l, a: a, tls: true, closed: make(chan struct{})}, c)
}

type listener struct {
	net.Listener
	a      *Admission
	tls    bool
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

func (l *listener) Accept() (net.Conn, error) {
	pause := acceptPauseMin
	for {
		raw, err := l.Listener.Accept()
		if err == nil {
			pause = acceptPauseMin
			if c := l.a.admit(raw, l.tls); c != nil {
				return c, nil
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if errors.Is(err, syscall.ECONNABORTED) {
			continue // the client left while it waited in the queue
		}
		l.a.sayAcceptFailed(l.Listener.Addr(), err)
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-time.After(pause):
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

func (a *Admission) sayAcceptFailed(on net.Addr, err error) {
	a.counts.errors.Add(1)
	cfg := a.config.Load()
	more, ok := a.acceptQ.say(cfg.Now())
	if !ok {
		return
	}
	do := "the door waits and tries again"
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		do = "raise the limit on open files (LimitNOFILE, ulimit -n) or lower listen.max_connections; the door waits and tries again"
	}
	cfg.Log.Error("cannot accept a connection", "address", on.String(), "error", err.Error(), "do", do, "unsaid", more)
}

// admit counts raw in and wraps it, or closes it and returns nil.
func (a *Admission) admit(raw net.Conn, withTLS bool) *conn {
	cfg := a.config.Load()
	if !a.fits(cfg, addrPort(raw.RemoteAddr()).Addr()) {
		reset(raw)
		return nil
	}
	c := &conn{Conn: raw, a: a, cfg: cfg}
	c.info.Peer, c.info.Local = addrPort(raw.RemoteAddr()), addrPort(raw.LocalAddr())
	if withTLS {
		c.tls, c.info.TLS = true, true
		c.phase.Store(phaseHandshake)
	}
	peer := c.info.Peer.Addr()
	if peer.IsValid() && cfg.fromProxy(peer) {
		c.phase.Store(phaseProxy)
		a.counts.accepted.Add(1)
		return c
	}
	if !c.sit(peer) {
		a.open.Add(-1)
		reset(raw)
		return nil
	}
	a.counts.accepted.Add(1)
	return c
}

// fits counts one more connection where there is room for it in all.
func (a *Admission) fits(cfg *Config, peer netip.Addr) bool {
	if cfg.Full() && !(peer.IsValid() && cfg.Allowed(peer)) {
		a.counts.memory.Add(1)
		return false
	}
	if a.open.Add(1) > int64(cfg.MaxConnections) {
		a.open.Add(-1)
		a.counts.full.Add(1)
		return false
	}
	return true
}

// enter counts a client that does not come over a listener (QUIC). leave gives the place back; it is nil when the
// client does not come in.
func (a *Admission) enter(peer netip.Addr) (leave func()) {
	cfg := a.config.Load()
	if !a.fits(cfg, peer) {
		return nil
	}
	s, ok := a.seat(cfg, peer)
	if !ok {
		a.open.Add(-1)
		return nil
	}
	a.counts.accepted.Add(1)
	return func() {
		a.crowd.leave(s)
		a.open.Add(-1)
	}
}

// seat counts one more connection of peer.
func (a *Admission) seat(cfg *Config, peer netip.Addr) (seat, bool) {
	if !peer.IsValid() || cfg.Allowed(peer) {
		return 0, true
	}
	s, ok := a.crowd.take(clientOf(peer), cfg.MaxPerClient)
	if !ok {
		a.counts.perClient.Add(1)
	}
	return s, ok
}

// mayHandshake says whether info's peer may have a full TLS handshake now.
func (a *Admission) mayHandshake(info *wire.Conn) bool {
	cfg, peer := a.config.Load(), info.Peer.Addr()
	exempt := !peer.IsValid() || cfg.Allowed(peer)
	return a.budget.spend(clientOf(peer), exempt, cfg.Now(), cfg.Handshakes)
}

// addrPort returns a's address and port, or the zero AddrPort when it has none (unix sockets). The zone of an IPv6
// address goes: no prefix contains an address that has one.
func addrPort(a net.Addr) netip.AddrPort {
	var p netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		p = a.AddrPort()
	case *net.UDPAddr:
		p = a.AddrPort()
	}
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// reset closes c by RST where it can: cheaper than a FIN for both sides, and nothing stays behind in the kernel.
func reset(c net.Conn) {
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// quiet lets one cause speak once a minute and counts what was left unsaid.
type quiet struct {
	mu    sync.Mutex
	until time.Time
	held  int
}

const quietFor = time.Minute

// say reports whether to speak now, and how many times it was not said since.
func (q *quiet) say(now time.Time) (unsaid int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Before(q.until) {
		q.held++
		return 0, false
	}
	unsaid, q.held, q.until = q.held, 0, now.Add(quietFor)
	return unsaid, true
}
