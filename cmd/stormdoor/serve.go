package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"stormdoor"
	"stormdoor/internal/gate/listen"
	"stormdoor/internal/loop/observe"
	"stormdoor/policy"
)

type serveCmd struct {
	Config string `short:"c" placeholder:"FILE" xor:"what" help:"Serve as this policy says."`
	Origin string `placeholder:"URL" xor:"what" help:"Protect this origin with the defaults, for example http://127.0.0.1:3000."`
	Listen string `placeholder:"ADDRESS" help:"Listen here instead of where the policy says, in clear text."`
	Admin  string `placeholder:"ADDRESS" help:"Serve metrics and explanations here: a loopback address, unix:/path, or off."`
}

// Help shows how a door is begun, and what signals do.
func (serveCmd) Help() string {
	return `Examples:
  stormdoor serve                                   a sample site behind a door, on 127.0.0.1:8080
  stormdoor serve --origin http://127.0.0.1:3000    your own site behind the defaults
  stormdoor serve -c /etc/stormdoor/stormdoor.yaml  a real installation

Signals:
  SIGHUP           reads the policy again, all of it or nothing, and reopens the log
  SIGUSR2          hands the sockets to a new process of the binary on disk; nobody is refused
  SIGTERM, SIGINT  ends the door when the requests under way have ended`
}

// load reads the policy: a file, or the defaults in front of one origin.
func (c serveCmd) load(sample string) (*policy.Policy, error) {
	p, err := policyOrDefault(c.Config, cmpOr(c.Origin, sample))
	if err != nil {
		return nil, err
	}
	if c.Config == "" {
		p.WAF.Mode = policy.WAFBlocks // who names nothing but an origin gets all of the defence; a file says it itself
	}
	if c.Listen != "" {
		p.Listen.HTTP = []string{c.Listen}
	}
	if c.Admin != "" {
		if err := policy.CheckAdmin(c.Admin); err != nil {
			return nil, fmt.Errorf("--admin: %w", err)
		}
		p.Admin.Listen = c.Admin
	}
	return p.WithDefaults(), nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// gcPercent lets the heap grow by a quarter between collections. Most of it is the limit table, which holds no pointers
// and costs the collector nothing; by Go's 100 the door would keep as much garbage as the table is large.
const gcPercent = 25

// Run serves until a signal ends it.
func (c serveCmd) Run(e *environment) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	sample := ""
	if c.Config == "" && c.Origin == "" {
		site, url, err := sampleSite()
		if err != nil {
			return err
		}
		defer site.Close()
		sample = url
	}
	read := stamps(c.Config, nil)
	p, err := c.load(sample)
	if err != nil {
		return err
	}
	logs, err := newLogs(p.Log, e.err)
	if err != nil {
		return err
	}
	lines, log := logs.lines, logs.log
	writing, stopWriting := context.WithCancel(context.Background())
	written := make(chan error, 1)
	go func() { written <- lines.Run(writing) }()
	defer func() { stopWriting(); <-written }()
	tracer, err := observe.NewTracer(e.ctx, version)
	if err != nil {
		log.Warn(err.Error())
	}
	defer closeTracer(log, tracer)
	door, err := stormdoor.New(p, stormdoor.Options{Log: log, Lines: lines, Terminal: logs.terminal, Version: version, Tracer: tracer})
	if err != nil {
		return err
	}
	defer door.Close()
	server, err := stormdoor.NewServer(door)
	if err != nil {
		return err
	}
	inherited, err := listen.FromEnvironment()
	if err != nil {
		return err
	}
	defer inherited.Close()
	sockets, err := listen.Open(stormdoor.Addresses(p), inherited)
	if err != nil {
		return err
	}
	if left := inherited.Names(); len(left) > 0 {
		log.Warn("sockets were inherited that the policy has no address for; they are closed", "sockets", left)
	}
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	s := &session{cmd: c, sample: sample, log: log, logs: logs, server: server, stop: stop}
	s.read.Store(&read)
	signalled := make(chan struct{})
	go func() { defer close(signalled); s.signals(ctx) }()
	defer func() { stop(); <-signalled }()
	giveBack()
	return server.Run(ctx, sockets, func() {
		banner(e.err, p.Log.Console(logs.terminal), p, sockets, sample, c.Config)
		if err := inherited.Ready(); err != nil {
			log.Warn("the process that handed over could not be told", "error", err)
		}
		notify(log, "READY=1")
	})
}

// giveBack returns to the system what starting has left behind, most of it from compiling rules: a door that has nothing to do
// collects nothing, and would keep it. Pools live through one collection.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}

// session is a running serve command, for the signals.
type session struct {
	cmd    serveCmd
	sample string
	log    *slog.Logger
	logs   *logs
	server *stormdoor.Server
	stop   context.CancelFunc
	// read is the stamp of the policy's file from before it was read for the last time.
	read atomic.Pointer[string]
	// handedOver is true when another process serves now: the service as a whole is not stopping.
	handedOver bool
}

// signals does what signals ask for until ctx ends.
func (s *session) signals(ctx context.Context) {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(ch)
	changed := s.watch(ctx)
	for {
		select {
		case sig := <-ch:
			if sig == syscall.SIGUSR2 {
				s.handOver(ctx)
				continue
			}
			if err := s.logs.lines.Reopen(); err != nil {
				s.log.Error("the log could not be reopened; the old file stays in use", "error", err)
			}
			s.reload("SIGHUP")
		case <-changed:
			s.reload("a file changed")
		case <-ctx.Done():
			if !s.handedOver {
				notify(s.log, "STOPPING=1")
			}
			return
		}
	}
}

// reload applies the policy again, all or nothing.
func (s *session) reload(why string) {
	notify(s.log, "RELOADING=1")
	defer notify(s.log, "READY=1")
	read := stamps(s.cmd.Config, nil)
	s.read.Store(&read)
	p, err := s.cmd.load(s.sample)
	if err == nil {
		err = s.logs.around(p.Log, func() error { return s.server.Apply(p) })
	}
	if err != nil {
		s.log.Error("the policy was not applied; the one in force stays", "because", why, "error", err)
		return
	}
	s.log.Info("the policy is in force", "because", why, "sites", len(p.Sites))
}

// handOver starts a new process on the same sockets and, once it serves, ends this one.
func (s *session) handOver(ctx context.Context) {
	s.log.Info("handing over to a new process")
	pid, err := s.server.HandOver(ctx)
	if err != nil {
		s.log.Error("the new process did not come up; this one goes on", "error", err)
		return
	}
	notify(s.log, fmt.Sprintf("MAINPID=%d", pid))
	s.handedOver = true
	s.log.Info("the new process serves; this one ends when its requests have ended", "new_pid", pid)
	s.stop()
}

func closeTracer(log *slog.Logger, t *observe.Tracer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("the last spans were not taken", "error", err)
	}
}

func notify(log *slog.Logger, state string) {
	if err := listen.Notify(state); err != nil {
		log.Warn("systemd could not be told", "state", state, "error", err)
	}
}

// watch reports changes of the files of the policy while the policy in force asks for it. It looks once a second.
func (s *session) watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{})
	if s.cmd.Config == "" {
		return changed
	}
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		last := s.seen()
		for {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			if !s.server.Policy().Watch {
				last = ""
				continue
			}
			if last == "" {
				last = s.seen() // a reload has begun to ask for it
			}
			if now := stamps(s.cmd.Config, s.server.Files()); now != last {
				last = now
				select {
				case changed <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return changed
}

// seen is the stamp of the files in force, or one that no files have when the policy's own has changed since it was read.
func (s *session) seen() string {
	if stamps(s.cmd.Config, nil) != *s.read.Load() {
		return "changed"
	}
	return stamps(s.cmd.Config, s.server.Files())
}

// stamps is a text that changes when one of the files does.
func stamps(file string, files []string) string {
	var b strings.Builder
	for _, f := range append([]string{file}, files...) {
		if info, err := os.Stat(f); err == nil {
			fmt.Fprintln(&b, f, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// banner says in a few lines what runs where and what to try next.
func banner(w io.Writer, console bool, p *policy.Policy, sockets *listen.Set, sample, config string) {
	var at []string
	for _, a := range sockets.Addrs() {
		l := sockets.Listener(a)
		switch {
		case slices.Contains(p.Listen.HTTP, a):
			at = append(at, "http://"+visible(l.Addr()))
		case slices.Contains(p.Listen.HTTPS, a) && l != nil:
			at = append(at, "https://"+visible(l.Addr()))
		}
	}
	fmt.Fprintf(w, "stormdoor %s serves on %s\n", version, strings.Join(at, ", "))
	for i := range p.Sites {
		s := &p.Sites[i]
		if i == 10 {
			fmt.Fprintf(w, "  … and %d sites more\n", len(p.Sites)-i)
			break
		}
		var origins []string
		for _, o := range s.Origins {
			origins = append(origins, o.URL)
		}
		what := strings.Join(origins, ", ")
		if sample != "" {
			what = "the sample site that is built in"
		}
		fmt.Fprintf(w, "  %s -> %s\n", strings.Join(s.Hosts, ", "), what)
	}
	if admin := sockets.Listener(p.Admin.Listen); admin != nil {
		fmt.Fprintf(w, "  metrics and health: http://%s/metrics\n", visible(admin.Addr()))
	}
	if config == "" {
		fmt.Fprintln(w, "  the firewall refuses what looks like an attack")
	}
	if sample != "" {
		fmt.Fprintf(w, "Try:  curl -i %s/\nNext: stormdoor serve --origin http://127.0.0.1:3000   (your own site)\n", at[0])
	} else if config == "" {
		fmt.Fprintln(w, "Next: write a policy for more than one site, see docs/manual/configuration.md, and: stormdoor serve -c stormdoor.yaml")
	}
	if console {
		fmt.Fprintln(w, "Ctrl-C ends it.")
	}
}

// visible is an address as a person would type it.
func visible(a net.Addr) string {
	s := a.String()
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", fmt.Sprint(t.Port))
	}
	return s
}
