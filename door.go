// Package stormdoor is the roof: the only place where stages meet. A Door judges requests and forwards them to origins;
// it runs as a server of its own (Run, or cmd/stormdoor) or in front of a handler of the same process (Wrap).
package stormdoor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/cache"
	"stormdoor/internal/gate/origin"
	"stormdoor/internal/gate/origin/admission"
	"stormdoor/internal/gate/waf"
	"stormdoor/internal/loop/observe"
	"stormdoor/internal/wire"
	"stormdoor/policy"
	"stormdoor/state"
)

// Options are what a policy does not say. The zero value is useful.
type Options struct {
	// Log takes what the door has to say about itself. nil: nothing is said.
	Log *slog.Logger
	// Lines takes the access log; the caller runs it. nil: no access log.
	Lines *observe.Writer
	// Terminal says that Lines go to a person's screen where the policy names no file.
	Terminal bool
	// Tracer writes spans; the caller closes it. nil: no spans.
	Tracer *observe.Tracer
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Version is told in metrics.
	Version string
}

// Door is one outer door. Two doors in one process share nothing. It is safe for concurrent use.
type Door struct {
	log      *slog.Logger
	now      func() time.Time
	secret   [32]byte
	token    string
	store    state.Store
	cache    *cache.Cache
	metrics  *observe.Metrics
	recorder *observe.Recorder
	terminal bool // where log lines go by default
	recent   *observe.Recent
	clients  *admission.Memory // who asks origins, by behaviour
	lag      *admission.Lag    // how late the door itself is
	visits   *admission.Visits // signs visit cookies; nil until a site has them; guarded by applying

	deployed   atomic.Pointer[Deployment]
	applying   sync.Mutex // one Apply at a time
	stopping   atomic.Bool
	waiting    atomic.Int64 // requests held back by a limit
	faults     atomic.Int64 // failures of the door's own stages
	inFlight   atomic.Int64
	heldBodies atomic.Int64 // bytes of bodies that are held to be inspected
	turns      *waf.Turns   // of large requests to be judged
	shadows    *waf.Shadows // judge by rule sets on trial
	trial      shadowNotes  // what they said
	unread     unreadCounts
	abuses     atomic.Int64 // HTTP/2 connections told to go away, or closed, for what they did
	saidAt     atomic.Int64 // unix nanoseconds of the last seldom
	excluded   atomic.Int64 // the day, since the epoch, on which exclusions were last said

	// challenge answers an ACME server's question for a host and path (RFC 8555, section 8.3). nil without ACME.
	challenge func(host, path string) (body string, ok bool)

	pools poolRunner
}

// New makes a door for the policy, whose defaults it fills in. It opens the files that the policy names; the error names
// every mistake. Nothing listens and nothing runs yet.
func New(p *policy.Policy, o Options) (*Door, error) {
	var secret [32]byte
	rand.Read(secret[:])
	return newDoor(p, o, secret)
}

// newDoor is New with a secret for all that is hashed.
func newDoor(p *policy.Policy, o Options, secret [32]byte) (*Door, error) {
	d := &Door{log: o.Log, now: o.Now, secret: secret, turns: waf.NewTurns(), shadows: waf.NewShadows()}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.now == nil {
		d.now = time.Now
	}
	var token [8]byte
	rand.Read(token[:])
	d.token = hex.EncodeToString(token[:])
	p = p.WithDefaults()
	var err error
	if d.store, err = state.NewMemory(int64(p.LimitTable.Memory), d.now()); err != nil {
		return nil, p.Locate(policy.At("limit_table.memory", err))
	}
	d.cache = cache.New(cache.Options{Memory: int64(p.Cache.Memory), MaxObject: int64(p.Cache.MaxObject), Now: d.now, Busted: d.busted,
		Disk: cache.Disk{Dir: p.Cache.Disk.Path, Size: int64(p.Cache.Disk.Size), Failed: d.diskFailed}})
	d.clients, d.lag = admission.NewMemory(d.now()), admission.NewLag(time.Now)
	d.metrics = observe.NewMetrics(o.Version)
	d.unread = newUnreadCounts(d.metrics)
	d.recent = observe.NewRecent(2048)
	d.terminal = o.Terminal
	d.recorder = observe.NewRecorder(p.Log, o.Lines, p.Log.Console(o.Terminal), d.metrics, d.recent, o.Tracer)
	e, err := d.compile(p)
	if err != nil {
		return nil, err
	}
	d.gauges(o)
	d.cacheGauges(p.Cache.Disk.Path != "")
	d.deploy(e)
	return d, nil
}

// Apply puts another policy in force, all of it or, with an error, none of it. Requests under way end as they began.
// What limits have counted stays.
func (d *Door) Apply(p *policy.Policy) error {
	return d.apply(p.WithDefaults(), func() error { return nil })
}

// apply is Apply for a policy with its defaults; commit is the last step that can fail, and prepares what is not the
// door's own.
func (d *Door) apply(p *policy.Policy, commit func() error) error {
	d.applying.Lock()
	defer d.applying.Unlock()
	e, err := d.compile(p)
	if err != nil {
		return err
	}
	if err := commit(); err != nil {
		e.close()
		return err
	}
	old := d.deployed.Load().Stable
	d.deploy(e)
	old.close()
	return nil
}

// allows reports whether an allow list names the address: such clients are exempt from bounds on connections too.
func (d *Door) allows(a netip.Addr) bool { return d.deployed.Load().Stable.lists.Allows(a) }

func (d *Door) deploy(e *Edition) {
	names := make([]string, 0, len(e.policy.Sites))
	for i := range e.policy.Sites {
		names = append(names, e.policy.Sites[i].Name)
	}
	d.metrics.Bind(names)
	d.recorder.Configure(e.policy.Log, e.policy.Log.Console(d.terminal))
	d.pools.replace(e)
	d.deployed.Store(&Deployment{Stable: e})
	d.sayExclusions(e)
}

// Policy is the policy in force, with its defaults. It must not be changed.
func (d *Door) Policy() *policy.Policy { return d.deployed.Load().Stable.policy }

// Metrics are the door's counters.
func (d *Door) Metrics() *observe.Metrics { return d.metrics }

// Run runs what a door does in the background (health checks, summaries) until ctx ends. A door whose Run is not running
// still serves, without active health checks.
func (d *Door) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.pools.run(ctx) }()
	stored := make(chan struct{})
	go func() { defer close(stored); d.cache.Run(ctx) }()
	judged := make(chan struct{})
	go func() { defer close(judged); d.shadows.Run(ctx, d.shadowDiffers) }()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.recorder.Flush(d.now())
			d.remindOfExclusions()
		case <-ctx.Done():
			err := <-done
			<-stored
			<-judged
			d.recorder.Flush(d.now())
			return err
		}
	}
}

// Stop makes the door refuse new requests with 503, for a shutdown; those under way go on.
func (d *Door) Stop() { d.stopping.Store(true) }

// Close gives back what the door holds. Nothing may be served afterwards.
func (d *Door) Close() { d.deployed.Load().Stable.close() }

func (d *Door) gauges(o Options) {
	d.metrics.Gauge("stormdoor_requests_in_flight", "Requests that the door is working on.", nil, func() float64 { return float64(d.inFlight.Load()) })
	d.metrics.Gauge("stormdoor_requests_waiting", "Requests held back by a limit.", nil, func() float64 { return float64(d.waiting.Load()) })
	if m, ok := d.store.(*state.Memory); ok {
		d.metrics.Gauge("stormdoor_limit_table_bytes", "Size of the table that counts for limits; it does not change.", nil, func() float64 { return float64(m.Stats().Bytes) })
		d.metrics.Count("stormdoor_limit_table_full_total", "Times that the table had no room for a key and counted more coarsely.", nil, func() float64 { return float64(m.Stats().NoRoom) })
	}
	for name, g := range map[string]struct {
		help string
		read func(admission.Status) float64
	}{
		"stormdoor_admission_limit":            {"Requests that may be in flight to the origins.", func(s admission.Status) float64 { return float64(s.Limit) }},
		"stormdoor_admission_in_flight":        {"Requests in flight to the origins, as admission counts them.", func(s admission.Status) float64 { return float64(s.InFlight) }},
		"stormdoor_admission_waiting":          {"Requests that wait for their turn.", func(s admission.Status) float64 { return float64(s.Waiting) }},
		"stormdoor_admission_late_seconds":     {"How late the door itself was of late, which does not count as queueing: its machine had no time for it.", func(s admission.Status) float64 { return s.Late }},
		"stormdoor_admission_queueing_seconds": {"How long requests waited in the origins of late; more than 0.02 is overload.", func(s admission.Status) float64 { return s.Queueing }},
	} {
		d.metrics.Gauges(name, g.help, []string{"site", "route"}, func(add func(value float64, labels ...string)) {
			d.eachGate(func(site, route string, s admission.Status) { add(g.read(s), site, route) })
		})
	}
	if o.Lines != nil {
		d.metrics.Count("stormdoor_log_lines_lost_total", "Log lines lost to a full disk, a slow disk or log.max_rate.", nil, func() float64 { return float64(o.Lines.Lost()) })
	}
	d.metrics.Count("stormdoor_http2_abuses_total", "HTTP/2 connections told to go away, or closed, for legal events that are meant to hurt.", nil, func() float64 { return float64(d.abuses.Load()) })
	d.wafMetrics()
	d.leakMetrics()
	d.metrics.Count("stormdoor_stage_failures_total", "Requests that a stage could not judge.", nil, func() float64 { return float64(d.faults.Load()) })
}

// eachGate calls f for every pool that admits forwards in the deployment in force.
func (d *Door) eachGate(f func(site, route string, s admission.Status)) {
	d.deployed.Load().Stable.eachPool(func(site, route string, p *origin.Pool) {
		if g := p.Gate(); g != nil {
			f(site, route, g.Status())
		}
	})
}

// faulty takes what the wire has to say of connections that failed.
func (d *Door) faulty(c *wire.Conn, err error) {
	d.faults.Add(1)
	d.seldom(func() {
		d.log.Error("a connection could not be served", "reason", string(flow.DoorFault), "peer", c.Peer.Addr().String(), "error", err)
	})
}

// abused is told when an HTTP/2 connection lives by events that are legal and meant to hurt.
func (d *Door) abused(c *wire.Conn, closed bool) {
	d.abuses.Add(1)
	d.seldom(func() {
		d.log.Warn("a connection abuses HTTP/2 and was told to go away", "peer", c.Peer.Addr().String(), "closed", closed)
	})
}

// seldom calls f at most once a second, for what a storm could repeat without end.
func (d *Door) seldom(f func()) {
	now, last := d.now().UnixNano(), d.saidAt.Load()
	if (now-last >= int64(time.Second) || now < last) && d.saidAt.CompareAndSwap(last, now) {
		f()
	}
}

// poolRunner runs the health checks of the pools of the edition in force.
type poolRunner struct {
	mu      sync.Mutex
	ctx     context.Context // of run, nil while it does not run
	edition *Edition
	stops   map[*origin.Pool]context.CancelFunc // of the pools that run
	running sync.WaitGroup
	errs    []error
}

// replace runs the pools of another edition. Those that both editions have run on.
func (r *poolRunner) replace(e *Edition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.edition = e
	r.start()
}

// start brings what runs in line with the edition; the caller holds mu.
func (r *poolRunner) start() {
	if r.ctx == nil || r.edition == nil {
		return
	}
	before := r.stops
	r.stops = map[*origin.Pool]context.CancelFunc{}
	r.edition.eachPool(func(_, _ string, p *origin.Pool) {
		if stop := before[p]; stop != nil {
			r.stops[p] = stop
			delete(before, p)
			return
		}
		ctx, stop := context.WithCancel(r.ctx)
		r.stops[p] = stop
		r.running.Go(func() {
			if err := p.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				r.mu.Lock()
				r.errs = append(r.errs, err)
				r.mu.Unlock()
			}
		})
	})
	for _, stop := range before {
		stop()
	}
}

func (r *poolRunner) run(ctx context.Context) error {
	r.mu.Lock()
	r.ctx = ctx
	r.start()
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.ctx, r.stops = nil, nil
	r.mu.Unlock()
	r.running.Wait()
	return errors.Join(r.errs...)
}
