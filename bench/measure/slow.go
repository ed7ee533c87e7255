package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of the case slow.
const (
	mostSlowP99    = 50  // ms
	mostSlowMemory = 150 // MiB
)

// A normal visitor beside slow ones: how often he asks, and how long he is willing to wait.
const (
	visitEvery = 50 * time.Millisecond
	visitWaits = 5 * time.Second
)

// slowWay is one attack of bench/slow.
type slowWay struct {
	name, title string
	conns       int
	encrypted   bool
}

func slowWays() []slowWay {
	return []slowWay{
		{"headers", "slow headers", 2000, false},
		{"body", "slow body", 2000, false},
		{"read", "slow read", 2000, false},
		{"h2-headers", "HTTP/2, slow headers", 200, true},
		{"h2-body", "HTTP/2, slow bodies", 200, true},
		{"h2-read", "HTTP/2, windows of zero", 200, true},
	}
}

// felt is what a normal visitor felt, and what the peer took.
type felt struct {
	name, way     string
	asked, served int
	p50, p99      time.Duration
	memory        int64 // bytes, the most that was resident
	left          int   // slow connections that the peer had not ended
}

// slow lets a normal visitor ask each peer 20 times a second, each time on a new connection, while slow clients hold it.
func (r *run) slow(c oneCase) error {
	var all []felt
	for _, way := range slowWays() {
		for _, name := range c.peers {
			f, err := r.slowly(c, name, way)
			if err != nil && name == theDoor {
				return err
			}
			if err != nil {
				r.out.note(name + " is left out: " + err.Error())
				continue
			}
			all = append(all, f)
			r.out.record(c.name, name, map[string]any{"way": way.name, "asked": f.asked, "served": f.served, "p50_us": f.p50.Microseconds(),
				"p99_us": f.p99.Microseconds(), "memory": f.memory, "left": f.left})
		}
	}
	r.out.slow(all)
	return nil
}

// slowly plays one attack on one peer alone.
func (r *run) slowly(c oneCase, name string, way slowWay) (f felt, err error) {
	alone := c
	alone.peers = []string{name}
	peers, err := r.peers(alone)
	defer r.field.stop()
	if err != nil {
		return f, err
	}
	if len(peers) == 0 {
		return f, errors.New("it is missing")
	}
	p := peers[0]
	addr := p.http
	if way.encrypted {
		addr = p.https
	}
	client := exec.Command(r.field.file("slow"), "-addr", addr, "-way", way.name, "-n", strconv.Itoa(way.conns))
	client.Stderr = os.Stderr
	out, err := client.StdoutPipe()
	if err != nil {
		return f, err
	}
	hold, err := client.StdinPipe()
	if err != nil {
		return f, err
	}
	if err := client.Start(); err != nil {
		return f, err
	}
	ctx, stop := context.WithCancel(context.Background())
	visits := make(chan []time.Duration)
	go func() { visits <- visit(ctx, "http://"+p.http+"/1k") }()
	said := bufio.NewReader(out)
	_, err = said.ReadString('\n')
	for end := time.Now().Add(time.Duration(4 * r.seconds * float64(time.Second))); err == nil && time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		f.memory = max(f.memory, p.resident())
	}
	stop()
	took := <-visits
	err = errors.Join(err, hold.Close())
	last, lastErr := said.ReadString('\n')
	_, _ = fmt.Sscanf(last, "left %d", &f.left)
	if err = errors.Join(err, lastErr, client.Wait()); err != nil {
		return f, err
	}
	f.name, f.way, f.asked = name, way.title, len(took)
	for _, t := range took {
		if t < visitWaits {
			f.served++
		}
	}
	slices.Sort(took)
	f.p50, f.p99 = took[(len(took)-1)/2], took[(len(took)-1)*99/100]
	return f, nil
}

// visit asks url until ctx ends; who is not served within the time that he waits is told apart by having taken it all.
func visit(ctx context.Context, url string) (took []time.Duration) {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, 1)}}
	client := &http.Client{Timeout: visitWaits, Transport: &http.Transport{DisableKeepAlives: true, DialContext: from.DialContext}}
	each := time.NewTicker(visitEvery)
	defer each.Stop()
	results := make(chan time.Duration)
	n := 0
	for ctx.Err() == nil {
		select {
		case <-each.C:
			n++
			go func() { results <- once(client, url) }()
		case t := <-results:
			took, n = append(took, t), n-1
		case <-ctx.Done():
		}
	}
	for ; n > 0; n-- {
		took = append(took, <-results)
	}
	return took
}

func once(client *http.Client, url string) time.Duration {
	began := time.Now()
	res, err := client.Get(url)
	if err != nil {
		return visitWaits
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		return visitWaits
	}
	return time.Since(began)
}

// slow prints what a normal visitor felt; the bounds are the door's own.
func (r *report) slow(all []felt) {
	fmt.Println("\n| | | visitor served | p50, ms | p99, ms | memory, MiB | slow connections left | |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, f := range all {
		share, memory := 100*float64(f.served)/float64(f.asked), float64(f.memory)/(1<<20)
		var missed []string
		if f.served < f.asked {
			missed = append(missed, "served")
		}
		if f.p99 >= mostSlowP99*time.Millisecond {
			missed = append(missed, "p99")
		}
		if memory >= mostSlowMemory {
			missed = append(missed, "memory")
		}
		verdict := ""
		if f.name == theDoor {
			verdict = "held"
			if len(missed) > 0 {
				verdict = "**missed: " + strings.Join(missed, ", ") + "**"
			}
		}
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
		fmt.Printf("| %s | %s | %.1f %% | %.1f | %.1f | %.0f | %d | %s |\n", f.way, f.name, share, ms(f.p50), ms(f.p99), memory, f.left, verdict)
	}
}
