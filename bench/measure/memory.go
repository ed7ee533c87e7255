package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// The bounds that the project has set itself.
const (
	mostIdleDoor       = 60   // MiB
	mostIdleConnection = 12   // KiB
	mostJudgement      = 1500 // ns
	mostLimit          = 100  // ns
	mostSources        = 256  // MiB, for ten million
	leastReplay        = 500_000
)

// idle weighs each peer at rest, and what it takes more when thousands of connections are kept that have each had one
// answer.
func (r *run) idle(c oneCase) error {
	n := r.connections
	if room := int(openFiles()) - 1000; n > room { // the peer's own files, and connections to the origin
		r.out.note(fmt.Sprintf("Only %d files may be open here (ulimit -n), so fewer connections are held.", openFiles()))
		n = room
	}
	if n < 1 {
		return errors.New("too few files may be open here: raise ulimit -n")
	}
	var list []check
	for _, name := range c.peers {
		rest, each, err := r.weigh(c, name, n)
		ours := name == theDoor || name == withWAF
		if err != nil && ours {
			return err
		}
		if err != nil {
			r.out.note(name + " is left out: " + err.Error())
			continue
		}
		atRest := check{what: name + ", at rest", unit: "MiB", value: rest}
		kept := check{what: fmt.Sprintf("%s, each of %d kept connections", name, n), unit: "KiB", value: each}
		if ours {
			atRest.bound, kept.bound = mostIdleDoor, mostIdleConnection
		}
		list = append(list, atRest, kept)
		r.out.record(c.name, name, map[string]any{"rest_mib": rest, "connection_kib": each, "connections": n})
	}
	r.out.checks(list)
	return nil
}

// weigh starts one peer alone. rest is in MiB, each in KiB a connection.
func (r *run) weigh(c oneCase, name string, n int) (rest, each float64, err error) {
	alone := c
	alone.peers = []string{name}
	peers, err := r.peers(alone)
	defer r.field.stop()
	if err != nil {
		return 0, 0, err
	}
	if len(peers) == 0 {
		return 0, 0, errors.New("it is missing")
	}
	p := peers[0]
	time.Sleep(time.Second) // what starting has begun ends
	before := p.resident()
	client := exec.Command(r.field.file("idle"), "-addr", p.http, "-n", strconv.Itoa(n))
	client.Stderr = os.Stderr
	out, err := client.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	hold, err := client.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := client.Start(); err != nil {
		return 0, 0, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && line == fmt.Sprintf("open %d\n", n) {
		time.Sleep(2 * time.Second) // the last requests' memory is handed back, or not
		each = float64(p.resident()-before) / 1024 / float64(n)
	}
	err = errors.Join(hold.Close(), client.Wait())
	if err == nil && !p.serves() {
		err = errors.New("it ended while connections were held")
	}
	if err == nil && each == 0 {
		err = errors.New("the connections were not held")
	}
	return float64(before) / (1 << 20), each, err
}

// replay times `stormdoor replay` from its start to its report, under the built-in policy.
func (r *run) replay(c oneCase) error {
	log := r.field.file("access.log")
	if err := writeLog(log, r.lines); err != nil {
		return err
	}
	defer os.Remove(log)
	var rates []float64
	for round := range r.rounds {
		began := time.Now()
		cmd := exec.Command(r.field.door, "replay", log)
		cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", r.workers))
		out, err := cmd.Output()
		took := time.Since(began)
		if err != nil {
			return fmt.Errorf("stormdoor replay: %w", err)
		}
		if len(out) == 0 {
			return errors.New("stormdoor replay reported nothing")
		}
		rates = append(rates, float64(r.lines)/took.Seconds())
		r.out.record(c.name, theDoor, map[string]any{"round": round + 1, "lines": r.lines, "lines_a_second": rates[round]})
	}
	best := rates[0]
	for _, v := range rates {
		best = max(best, v)
	}
	r.out.checks([]check{{what: fmt.Sprintf("combined log of %d lines, best of %d", r.lines, r.rounds), unit: "lines/s", value: best, bound: leastReplay, least: true}})
	return nil
}

// writeLog writes an access log as a shop has it: thousands of clients, long user agents, 20 requests a second.
func writeLog(path string, lines int) error {
	f, err := os.Create(filepath.Clean(path))
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range lines {
		fmt.Fprintf(w, "198.51.%d.%d - - [%s] \"GET /catalogue/item-%d?page=%d HTTP/1.1\" 200 %d \"https://shop.example/catalogue/%d\" \"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/14%d.0\"\n",
			i%251, i%13, at.Add(time.Duration(i)*time.Second/20).Format("02/Jan/2006:15:04:05 -0700"), i*7919%10007, i%9, 1000+i*31%90000, i%77, i%7)
	}
	return errors.Join(w.Flush(), f.Close())
}
