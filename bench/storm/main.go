// Command storm measures what visitors get and what an origin bears while more is asked for than it can do: the door
// beside nginx and HAProxy, in front of an origin of 8 workers, on loopback only. `make bench-origin` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

func run() error {
	if role := os.Getenv(roleEnv); role != "" {
		return play(role)
	}
	door := flag.String("door", "bin/stormdoor", "the door's binary")
	peers := flag.String("peers", "stormdoor,nginx,haproxy", "who is measured")
	cases := flag.String("cases", "", "which cases, all when empty")
	scale := flag.Float64("scale", 8, "the origin is this many times slower than 8 x 5 ms, and everybody asks as much less often: this machine carries bots, door and origin at once")
	span := flag.Duration("for", 20*time.Second, "how long a storm lasts (at most 60s)")
	calm := flag.Duration("calm", 12*time.Second, "how long visitors are there before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	binary, err := filepath.Abs(*door)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "stormdoor-storm.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // nginx reads it as another user
		return err
	}
	g := ground{dir: dir, door: binary, scale: max(*scale, 1), span: min(*span, time.Minute), calm: min(*calm, time.Minute)}
	var errs []error
	for _, c := range storms {
		if *cases != "" && !named(*cases, c.name) {
			continue
		}
		fmt.Printf("\n## %s\n%s\n\n", c.name, c.about(g))
		fmt.Println("| | visitors served | their p50 | p99 | strangers served | their p99 | answers/s of capacity | workers busy | most in flight at the origin | others than 200 |")
		fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
		for _, peer := range strings.Split(*peers, ",") {
			row, err := g.play(ctx, c, peer)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s, %s: %w", c.name, peer, err))
				continue
			}
			fmt.Println(row)
		}
	}
	return errors.Join(errs...)
}

func named(list, name string) bool {
	for _, n := range strings.Split(list, ",") {
		if n == name {
			return true
		}
	}
	return false
}

// ground is where a storm is played.
type ground struct {
	dir, door  string
	scale      float64
	span, calm time.Duration
}

// play lets one storm loose on one peer, and returns the row of the table.
func (g ground) play(ctx context.Context, c storm, peer string) (string, error) {
	o, err := startPart("origin", g.service(c).String())
	if err != nil {
		return "", err
	}
	defer o.stop()
	var work work
	if err := o.report(&work); err != nil {
		return "", err
	}
	p, err := g.start(peer, work.Address)
	if err != nil {
		return "", err
	}
	defer p.stop()
	v, err := startPart("visitors", c.name, fmt.Sprint(g.scale), p.address)
	if err != nil {
		return "", err
	}
	defer v.stop()
	crowd := newCrowd(ctx, p.address)
	if err := crowd.wait(g.calm); err != nil {
		return "", err
	}
	var before, visitors counts
	if err := errors.Join(v.report(&before), o.report(&work)); err != nil {
		return "", err
	}
	var strangers tally
	c.storm(g, crowd, &strangers)
	if err := crowd.wait(g.span); err != nil {
		return "", err
	}
	err = errors.Join(v.report(&visitors), o.report(&work))
	crowd.end()
	if err != nil {
		return "", err
	}
	if before.Served == 0 && c.calmVisitors {
		return "", errors.New("no visitor was served before the storm")
	}
	capacity := workers / g.service(c).Seconds()
	if c.dear > 0 || c.cached {
		capacity = 0 // the work is of two kinds, and answers in a second say nothing
	}
	others := strangers.report()
	line := row(peer, visitors, others, float64(work.Done)/g.span.Seconds(), capacity, work.Busy.Seconds()/workers/g.span.Seconds(), work.Most)
	if c.cached {
		line = strings.TrimSuffix(line, " |") + fmt.Sprintf("; %.1f %% of all requests reached the origin |", 100*float64(work.Done)/float64(max(1, visitors.Asked+others.Asked)))
	}
	return line, nil
}
