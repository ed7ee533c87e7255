// Command measure is the project's benchmark: what does the door cost beside nginx and HAProxy? bench/run builds what
// it needs, makes room for it and starts it; README.md says what each case means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// options are what a run was asked for.
type options struct {
	dir, results string
	workers      int
	rounds       int
	seconds      float64
	connections  int
	lines        int
	wire         bool
}

// run is a run under way.
type run struct {
	options
	field *field
	out   *report
	done  []measuredCase
}

// oneCase is one thing to measure.
type oneCase struct {
	name, title string
	do          func(*run, oneCase) error
	// Of a comparison: who takes part, whether all but a few requests are refused, and one round of load on a peer.
	peers  []string
	refuse refusing
	load   func(*run, *peer) (load, error)
}

func cases() []oneCase {
	three := []string{theDoor, nginxName, haproxy}
	four := []string{theDoor, noLimits, nginxName, haproxy}
	byWrk := func(path string, args ...string) func(*run, *peer) (load, error) {
		return func(r *run, p *peer) (load, error) { return wrk("http://"+p.http+path, r.seconds, args...) }
	}
	return []oneCase{
		{name: "http1", title: "HTTP/1.1, kept connections, 1 KiB", do: (*run).compare, peers: four, load: byWrk("/1k")},
		{name: "http1-10k", title: "HTTP/1.1, kept connections, 10 KiB", do: (*run).compare, peers: three, load: byWrk("/10k")},
		{name: "h2", title: "HTTPS, HTTP/2, 1 KiB", do: (*run).compare, peers: three, load: func(r *run, p *peer) (load, error) {
			return h2load("https://"+p.https+"/1k", r.seconds, r.field.file("h2load.log"))
		}},
		{name: "cache-hit", title: "HTTP/1.1, kept connections, 1 KiB from the cache", do: (*run).compare, peers: three, load: byWrk("/cached/1k")},
		{name: "connect", title: "HTTP/1.1, a connection for each request, 1 KiB", do: (*run).compare, peers: three, load: byWrk("/1k", "-H", "Connection: close")},
		{name: "refuse", title: "HTTP/1.1, kept connections, nearly all refused with 429", do: (*run).compare, peers: three, refuse: true, load: byWrk("/1k")},
		{name: "latency", title: fmt.Sprintf("HTTP/1.1, the 99th percentile at %d requests/s", latencyRate), do: (*run).compare, peers: three, load: func(r *run, p *peer) (load, error) {
			return paced("http://"+p.http+"/1k", r.seconds, r.field.file("h2load.log"))
		}},
		{name: "idle", title: "Memory at rest", do: (*run).idle, peers: []string{theDoor, withWAF, nginxName, haproxy}},
		{name: "slow", title: "A normal visitor beside slow clients", do: (*run).slow, peers: three},
		{name: "replay", title: "Replay of an access log", do: (*run).replay},
		{name: "micro", title: "The parts of a judgement", do: (*run).micro},
	}
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "the folder with what bench/run has built; files of the run go there")
	flag.StringVar(&o.results, "results", "", "append what was measured to this file, a JSON object a line")
	flag.IntVar(&o.workers, "workers", 1, "processors that each peer may use")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each peer")
	flag.Float64Var(&o.seconds, "seconds", 3, "seconds of a round")
	flag.IntVar(&o.connections, "connections", 10_000, "connections of the case idle")
	flag.IntVar(&o.lines, "lines", 500_000, "lines of the case replay")
	flag.BoolVar(&o.wire, "wire", false, "measure what the wire costs, beside Caddy too, and print that as one table")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := play(ctx, o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// play runs the cases with the given names, or all. A case that fails is told, and the others go on.
func play(ctx context.Context, o options, names []string) error {
	all := cases()
	if o.wire {
		all = ofTheWire(all)
	}
	var known []string
	for _, c := range all {
		known = append(known, c.name)
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return fmt.Errorf("there is no case %q; there are %s", n, strings.Join(known, ", "))
		}
	}
	if o.dir == "" || o.workers < 1 || o.rounds < 1 || o.rounds > 100 || o.seconds < 1 || o.seconds > 600 || o.connections < 1 || o.lines < 1 {
		return errors.New("needs -dir, 1 to 100 rounds of 1 to 600 seconds; bench/run gives them")
	}
	out, err := newReport(o.results)
	if err != nil {
		return err
	}
	defer out.close()
	out.machine(o)
	r := &run{options: o, out: out, field: &field{dir: o.dir, groups: filepath.Join(o.dir, "groups"), door: filepath.Join(o.dir, "stormdoor"), workers: o.workers, port: firstPort}}
	defer r.field.stop()
	// An interrupt ends the peers, so that what waits for them fails at once.
	defer context.AfterFunc(ctx, r.field.kill)()
	var failed error
	for _, c := range all {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		out.title(c)
		if err := c.do(r, c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
			out.note("Not measured: " + err.Error())
		}
		r.field.stop()
	}
	if o.wire {
		out.wire(r.done)
	}
	return failed
}

// compare lets the peers serve in turn: round 1 of every peer, round 2 of every peer, and so on, so that what else
// happens on the machine meets all of them. Each round begins with another peer, so that none always comes after the same.
func (r *run) compare(c oneCase) error {
	peers, err := r.peers(c)
	if err != nil {
		return err
	}
	for _, p := range peers { // pools fill, heaps grow
		warm := *r
		warm.seconds = 1
		if _, err := c.load(&warm, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	rows := make([]row, len(peers))
	for round := range r.rounds {
		for n := range peers {
			i := (n + round) % len(peers)
			p := peers[i]
			before := p.cpu()
			l, err := c.load(r, p)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if !p.serves() {
				return fmt.Errorf("%s ended under load: %v: %s", p.name, p.err, p.lastWords())
			}
			m := measured{load: l, cpu: float64(p.cpu()-before) / float64(l.requests)}
			rows[i].name = p.name
			rows[i].rounds = append(rows[i].rounds, m)
			r.out.record(c.name, p.name, map[string]any{"round": round + 1, "requests": l.requests, "refused": l.refused, "broken": l.broken,
				"cpu_us": m.cpu, "rate": l.rate, "p50_us": l.p50.Microseconds(), "p99_us": l.p99.Microseconds()})
		}
	}
	r.done = append(r.done, measuredCase{c, rows})
	r.out.comparison(rows)
	for _, row := range rows {
		r.out.doubts(row, bool(c.refuse))
	}
	return nil
}

// peers starts the origin and who takes part. A peer that is missing is left out with a note; the door may not be.
func (r *run) peers(c oneCase) (peers []*peer, err error) {
	if err := r.field.prepare(); err != nil {
		return nil, err
	}
	for _, name := range c.peers {
		p, err := r.field.peer(name, c.refuse)
		if err != nil && (name == theDoor || name == noLimits) {
			return nil, err
		}
		if err != nil {
			r.out.note(name + " is left out: " + err.Error())
			continue
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// openFiles is how many files a process may open here.
func openFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	return l.Max
}
