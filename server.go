package stormdoor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"stormdoor/internal/gate/listen"
	"stormdoor/internal/reactor"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// Server runs a door on sockets: it admits connections, ends TLS, speaks HTTP and hands the exchanges to the door.
type Server struct {
	door       *Door
	log        *slog.Logger
	admission  *listen.Admission
	memory     *wire.Memory
	certs      *listen.Certificates
	first      *policy.Policy  // the policy that the server began with
	background context.Context // of Run
	loops      *reactor.Group  // of Run; nil where the system has none
	running    sync.WaitGroup
	failed     chan error // the first failures of what runs in the background

	mu     sync.Mutex // guards what follows
	set    *listen.Set
	fronts map[string]front // by address
}

// Addresses are the sockets that a policy, with its defaults, wants open, as listen.Open takes them.
func Addresses(p *policy.Policy) []string {
	out := append([]string(nil), p.Listen.HTTP...)
	if hasTLS(p) {
		out = append(out, p.Listen.HTTPS...)
		if p.Listen.HTTP3 {
			for _, a := range p.Listen.HTTPS {
				out = append(out, "udp:"+a)
			}
		}
	}
	if p.Admin.Listen != "off" {
		out = append(out, p.Admin.Listen)
	}
	return out
}

// NewServer prepares a server for the door's policy. It reads certificates; nothing listens yet.
func NewServer(d *Door) (*Server, error) {
	p := d.Policy()
	s := &Server{door: d, log: d.log, first: p}
	s.memory = newMemory(p, d.log)
	s.admission = listen.NewAdmission(s.admissionConfig(p))
	var err error
	s.certs, err = listen.NewCertificates(listen.CertificateConfig{Data: p.Data, Log: d.log, Reach: reach(p)}, p.ACME, p.Sites)
	if err != nil {
		return nil, p.Locate(err)
	}
	d.challenge = s.certs.HTTPChallenge
	s.counters()
	return s, nil
}

func (s *Server) admissionConfig(p *policy.Policy) listen.Config {
	return listen.Config{
		MaxConnections: p.Listen.MaxConnections, MaxPerClient: p.Listen.MaxConnectionsPerClient,
		ProxyProtocol: p.Trust.ProxyProtocol, Allowed: s.door.allows, Full: s.memory.Full, Log: s.log,
	}
}

// reach is how an ACME server reaches the door.
func reach(p *policy.Policy) listen.Reach {
	return listen.Reach{HTTP: firstTCP(p.Listen.HTTP), HTTPS: firstTCP(p.Listen.HTTPS)}
}

// firstTCP is the first of the addresses that an ACME server could reach; the zero AddrPort when there is none.
func firstTCP(addrs []string) (a netip.AddrPort) {
	for _, s := range addrs {
		if strings.HasPrefix(s, ":") {
			s = "[::]" + s
		}
		if a, err := netip.ParseAddrPort(s); err == nil {
			return a
		}
	}
	return a
}

func hasTLS(p *policy.Policy) bool {
	for i := range p.Sites {
		if p.Sites[i].TLS != nil {
			return true
		}
	}
	return false
}

// Policy is the policy in force, with its defaults. It must not be changed.
func (s *Server) Policy() *policy.Policy { return s.door.Policy() }

// Apply puts another policy in force, all of it or, with an error, none of it. New addresses are opened, and those that
// are gone take no more connections. What a running server cannot change makes an error that says how to change it.
func (s *Server) Apply(p *policy.Policy) error {
	next := p.WithDefaults()
	if fields := s.fixed(next); len(fields) > 0 {
		return fmt.Errorf("nothing was applied, because a running door cannot change %s; hand over to a new process, which refuses no connection: kill -USR2 PID", strings.Join(fields, ", nor "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set, err := s.set.Next(Addresses(next), nil)
	if err != nil {
		return err
	}
	err = s.door.apply(next, func() error {
		return next.Locate(s.certs.Reload(reach(next), next.ACME, next.Sites))
	})
	if err != nil {
		return errors.Join(err, set.Retire(s.set))
	}
	s.admission.Configure(s.admissionConfig(next))
	s.memory.SetBudget(memoryBudget(next))
	s.door.cache.Resize(int64(next.Cache.Memory), int64(next.Cache.MaxObject))
	old := s.set
	s.set = set
	for _, f := range s.fronts {
		if w, ok := f.(wireFront); ok {
			w.setTimes(connectionTimes(next))
		}
	}
	s.open(next)
	for a, f := range s.fronts {
		if !slices.Contains(set.Addrs(), a) {
			delete(s.fronts, a)
			s.running.Go(func() { s.shutdown(f) })
		}
	}
	return old.Retire(set)
}

// fixed names the fields that differ between the policy in force and next and that need a new process.
func (s *Server) fixed(next *policy.Policy) (fields []string) {
	now := s.door.Policy()
	if now.LimitTable.Memory != next.LimitTable.Memory {
		fields = append(fields, "limit_table.memory")
	}
	if now.Cache.Disk != next.Cache.Disk {
		fields = append(fields, "cache.disk")
	}
	if now.Data != next.Data {
		fields = append(fields, "data")
	}
	before, after := purposes(now), purposes(next)
	for _, a := range Addresses(next) {
		if was, is := before[a], after[a]; was != "" && was != is {
			fields = append(fields, fmt.Sprintf("what %s is for (%s, now %s)", a, was, is))
		}
	}
	return fields
}

// purposes tells what each address is for.
func purposes(p *policy.Policy) map[string]string {
	to := map[string]string{}
	for _, a := range p.Listen.HTTP {
		to[a] = "listen.http"
	}
	if hasTLS(p) {
		for _, a := range p.Listen.HTTPS {
			to[a] = "listen.https"
		}
	}
	if p.Admin.Listen != "off" {
		to[p.Admin.Listen] = "admin.listen"
	}
	return to
}

// connectionTimes are the bounds that count for the whole door: the largest of all sites.
func connectionTimes(p *policy.Policy) (most wire.Times) {
	for i := range p.Sites {
		t := &p.Sites[i].Timeouts
		most.Head, most.KeepAlive = max(most.Head, time.Duration(t.Head)), max(most.KeepAlive, time.Duration(t.KeepAlive))
		most.MinRate = max(most.MinRate, int(t.MinRate))
	}
	return most
}

// front is a server of one protocol family on one socket.
type front interface {
	serve() error
	// shutdown takes no more connections and waits for requests under way until ctx ends, then cuts them off and
	// returns an error.
	shutdown(ctx context.Context) error
}

// Run serves the sockets until ctx ends, then stops: no new connections, and requests under way have policy.Grace to
// end. ready is called when every socket is being served. Run closes the sockets. The error says what could not be
// served.
func (s *Server) Run(ctx context.Context, set *listen.Set, ready func()) error {
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	s.background, s.failed = background, make(chan error, 1)
	s.run(func() error { return s.door.Run(background) })
	s.startLoops(background)
	s.run(func() error { return s.memory.Run(background) })
	s.run(func() error { return s.certs.Run(background) })
	s.mu.Lock()
	s.set, s.fronts = set, map[string]front{}
	s.open(s.first)
	s.mu.Unlock()
	ready()
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-s.failed:
	}
	s.stop()
	stopBackground()
	s.running.Wait()
	_ = s.set.Close() // the fronts have closed most of them already
	return cause
}

// run runs f until the background ends; its failure ends the server.
func (s *Server) run(f func() error) {
	s.running.Go(func() {
		if err := f(); err != nil && s.background.Err() == nil && !closed(err) {
			select {
			case s.failed <- err:
			default: // one is enough
			}
		}
	})
}

func closed(err error) bool {
	return errors.Is(err, http.ErrServerClosed) || errors.Is(err, wire.ErrServerClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}

// stop ends the fronts together within the policy's grace.
func (s *Server) stop() {
	s.door.Stop()
	if n := s.door.inFlight.Load(); n > 0 {
		s.log.Info("waiting for requests under way", "requests", n, "at_most", time.Duration(s.Policy().Grace).String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var wg sync.WaitGroup
	for _, f := range s.fronts {
		wg.Go(func() { s.shutdown(f) })
	}
	wg.Wait()
}

func (s *Server) shutdown(f front) {
	grace := time.Duration(s.Policy().Grace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if f.shutdown(ctx) != nil {
		s.log.Warn("requests that had not ended within the grace were cut off", "grace", grace.String())
	}
}

// open serves the addresses of p that are not being served yet; the caller holds mu.
func (s *Server) open(p *policy.Policy) {
	add := func(addr string, make func(net.Listener) front) {
		if s.fronts[addr] == nil {
			f := make(s.set.Listener(addr))
			s.fronts[addr] = f
			s.run(f.serve)
		}
	}
	for _, a := range p.Listen.HTTP {
		add(a, func(l net.Listener) front { return s.visitors(p, s.admission.Wrap(s.onLoops(l))) })
	}
	if hasTLS(p) {
		for _, a := range p.Listen.HTTPS {
			add(a, func(l net.Listener) front {
				return s.visitors(p, s.admission.WrapTLS(l, s.certs.TLSConfig(true, false)))
			})
		}
	}
	if hasTLS(p) && p.Listen.HTTP3 {
		for _, a := range p.Listen.HTTPS {
			if pc := s.set.Packet("udp:" + a); pc != nil && s.fronts["udp:"+a] == nil {
				f := s.http3Front(pc)
				s.fronts["udp:"+a] = f
				s.run(f.serve)
			}
		}
	}
	if p.Admin.Listen != "off" {
		add(p.Admin.Listen, func(l net.Listener) front {
			return httpFront{&http.Server{Handler: s.door.Admin(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}, l}
		})
	}
}

// visitors is the front for a listener of visitors: HTTP/1.1, and HTTP/2 on the connections that begin so.
func (s *Server) visitors(p *policy.Policy, l net.Listener) front {
	t := connectionTimes(p)
	h2 := wire.NewH2Server(wire.H2Config{Handle: s.door.Serve, Loops: s.loops, Head: t.Head, KeepAlive: t.KeepAlive, MinRate: t.MinRate, Unread: s.door.unreadable, Abused: s.door.abused,
		Memory: s.memory, Hot: func() bool { return s.memory.Step() >= wire.MemoryTight }})
	h1 := wire.NewServer(wire.ServerConfig{
		Handle: s.door.Serve, HeadTimeout: t.Head, KeepAlive: t.KeepAlive, MinRate: t.MinRate, Unread: s.door.unreadable, Log: s.door.faulty, Memory: s.memory,
		H2: func(c net.Conn) { h2.ServeConn(s.background, c) },
	})
	return wireFront{l, h1, h2}
}

type wireFront struct {
	l  net.Listener
	h1 *wire.Server
	h2 *wire.H2Server
}

// setTimes changes how long visitors are waited for who come from now on.
func (f wireFront) setTimes(t wire.Times) {
	f.h1.SetTimes(t)
	f.h2.SetTimes(t)
}

func (f wireFront) serve() error { return f.h1.Serve(f.l) }

func (f wireFront) shutdown(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- f.h2.Shutdown(ctx) }()
	err := errors.Join(f.h1.Shutdown(ctx), <-done)
	if err != nil {
		f.h1.Close()
		f.h2.Close()
	}
	return err
}

// httpFront serves one listener by net/http.
type httpFront struct {
	*http.Server
	l net.Listener
}

func (f httpFront) serve() error { return f.Serve(f.l) }

func (f httpFront) shutdown(ctx context.Context) error {
	err := f.Shutdown(ctx)
	if err != nil {
		f.Close()
	}
	return err
}

// HandOver starts the program's file again on the same sockets and returns its process id once it serves. The caller
// then ends Run's context. On an error this server goes on as before.
func (s *Server) HandOver(ctx context.Context) (pid int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set.Handover(ctx, listen.Handover{})
}

// Files are the files besides the policy itself whose change changes what is in force.
func (s *Server) Files() []string {
	p := s.Policy()
	files := append(s.door.deployed.Load().Stable.lists.Files(), p.Geo.Country, p.Geo.Network, p.Refusals.Page, p.Refusals.Problem, p.ACME.CA)
	files = append(files, s.door.deployed.Load().Stable.waf.Documents()...)
	origins := func(list []policy.Origin) {
		for _, o := range list {
			files = append(files, o.CA, o.Certificate, o.Key)
		}
	}
	for i := range p.Sites {
		site := &p.Sites[i]
		if t := site.TLS; t != nil {
			files = append(files, t.Certificate, t.Key)
		}
		origins(site.Origins)
		for j := range site.Routes {
			origins(site.Routes[j].Origins)
		}
	}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// http3Front serves HTTP/3 on one packet socket.
type http3Front struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	run    func(context.Context) error
}

func (s *Server) http3Front(pc net.PacketConn) http3Front {
	ctx, cancel := context.WithCancel(s.background)
	return http3Front{ctx, cancel, make(chan struct{}), func(ctx context.Context) error {
		return listen.ServeHTTP3(ctx, pc, s.certs.TLSConfig(false, true), wire.StdHandler(s.door.Serve),
			listen.HTTP3{Admission: s.admission, Grace: func() time.Duration { return time.Duration(s.Policy().Grace) }, Log: s.log})
	}}
}

func (f http3Front) serve() error {
	defer close(f.done)
	return f.run(f.ctx)
}

func (f http3Front) shutdown(ctx context.Context) error {
	f.cancel()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
