package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wireCases are the cases of the table that -wire prints: what the wire costs beside other proxies, with its bounds.
var wireCases = []string{"http1", "http1-10k", "h2", "connect", "refuse", "latency"}

// ofTheWire are those cases with the peers that the table shows: Caddy too where it can do the same.
func ofTheWire(all []oneCase) (some []oneCase) {
	for _, c := range all {
		if !slices.Contains(wireCases, c.name) {
			continue
		}
		c.peers = []string{theDoor, nginxName, haproxy}
		if !c.refuse {
			c.peers = append(c.peers, caddy)
		}
		some = append(some, c)
	}
	return some
}

// latencyRate is the load of the case latency, in requests a second.
const latencyRate = 1500

// paced asks url on 15 connections at latencyRate, whether answers come or not.
func paced(url string, seconds float64, log string) (load, error) {
	const clients = 15
	return h2loadWith(url, seconds, log, "--h1", "-c"+strconv.Itoa(clients), "--rps", strconv.Itoa(latencyRate/clients))
}

// measuredCase is what a case has shown.
type measuredCase struct {
	oneCase
	rows []row
}

// ratio is the median of the rounds' ratios of one peer to another, each in the same round; 0 when one was not there.
func ratio(rows []row, of, to string) float64 {
	i := slices.IndexFunc(rows, func(w row) bool { return w.name == of })
	j := slices.IndexFunc(rows, func(w row) bool { return w.name == to })
	if i < 0 || j < 0 {
		return 0
	}
	var all []float64
	for k, m := range rows[i].rounds {
		all = append(all, m.cpu/rows[j].rounds[k].cpu)
	}
	slices.Sort(all)
	return median(all)
}

// p99 is the median of a peer's rounds; ok is false when it was not there.
func p99(rows []row, of string) (_ time.Duration, ok bool) {
	i := slices.IndexFunc(rows, func(w row) bool { return w.name == of })
	if i < 0 {
		return 0, false
	}
	return time.Duration(median(rows[i].all(func(m measured) float64 { return float64(m.p99) }))), true
}

// wire prints the table: each peer's CPU a request to nginx's, or its p99, and whether the door holds the bound.
func (r *report) wire(done []measuredCase) {
	peers := []string{theDoor, nginxName, haproxy, caddy}
	fmt.Printf("\n## The wire\n\n| | at most | %s | |\n|---|---|%s---|\n", strings.Join(peers, " | "), strings.Repeat("---|", len(peers)))
	for _, c := range done {
		if c.name == "latency" {
			r.wireLatency(c, peers)
			continue
		}
		bound := mostForward
		switch c.name {
		case "connect":
			bound = mostConnect
		case "refuse":
			bound = mostRefuse
		}
		r.wireRow(c.title, fmt.Sprintf("%.1f x nginx", bound), judge(c, ratio(c.rows, theDoor, nginxName), bound), peers, func(peer string) string {
			if v := ratio(c.rows, peer, nginxName); v > 0 {
				return fmt.Sprintf("%.2f", v)
			}
			return "-"
		})
	}
	r.wireOwnRefusal(done)
}

// notMeasured stands where a bound cannot be judged.
const notMeasured = "not measured"

// judge says whether a figure of a case, 0 for none, holds its bound. A case in which the door failed requests, or refused
// fewer than it should, shows nothing.
func judge(c measuredCase, figure, bound float64) string {
	switch {
	case figure == 0 || c.doubt(theDoor) != nil:
		return notMeasured
	case figure <= bound:
		return "held"
	}
	return "**missed**"
}

func (r *report) wireRow(title, bound, judgement string, peers []string, figure func(peer string) string) {
	cells := make([]string, len(peers))
	for i, p := range peers {
		cells[i] = figure(p)
	}
	fmt.Printf("| %s | %s | %s | %s |\n", title, bound, strings.Join(cells, " | "), judgement)
}

func (r *report) wireLatency(c measuredCase, peers []string) {
	ours, _ := p99(c.rows, theDoor)
	theirs, ok := p99(c.rows, nginxName)
	if !ok {
		ours = 0
	}
	r.wireRow(c.title, fmt.Sprintf("nginx + %.1f ms", mostAdded.Seconds()*1e3), judge(c, float64(ours), float64(theirs+mostAdded)), peers, func(peer string) string {
		if v, ok := p99(c.rows, peer); ok {
			return fmt.Sprintf("%.2f ms", v.Seconds()*1e3)
		}
		return "-"
	})
}

// wireOwnRefusal compares the door's refusal with its own forwarded request.
func (r *report) wireOwnRefusal(done []measuredCase) {
	forward, refusal := caseOf(done, "http1"), caseOf(done, "refuse")
	share := 0.0
	if of := forward.cpu(theDoor); of > 0 {
		share = refusal.cpu(theDoor) / of
	}
	judgement := judge(refusal, share, mostOwnRefusal)
	if forward.doubt(theDoor) != nil {
		judgement = notMeasured
	}
	r.wireRow("a refusal to a forwarded request, both the door's", fmt.Sprint(mostOwnRefusal), judgement, []string{theDoor, "", "", ""}, func(peer string) string {
		if peer == "" {
			return ""
		}
		return fmt.Sprintf("%.2f", share)
	})
}

// caseOf returns the case with a name, an empty one when it is not there.
func caseOf(done []measuredCase, name string) measuredCase {
	for _, c := range done {
		if c.name == name {
			return c
		}
	}
	return measuredCase{}
}

// cpu is the median of a peer's rounds, 0 when it was not there.
func (c measuredCase) cpu(peer string) float64 {
	for _, w := range c.rows {
		if w.name == peer {
			return median(w.all(func(m measured) float64 { return m.cpu }))
		}
	}
	return 0
}

// doubt says why a peer's row shows nothing; nil when it does.
func (c measuredCase) doubt(peer string) error {
	for _, w := range c.rows {
		if w.name == peer {
			return w.doubt(bool(c.refuse))
		}
	}
	return errors.New("it was not there")
}

// The bounds of the wire: CPU to nginx's, a refusal's to that of a forwarded request, and the 99th percentile at a rate that
// nobody has trouble with.
const (
	mostForward    = 1.0
	mostConnect    = 1.1
	mostRefuse     = 1.0
	mostOwnRefusal = 0.5
	mostAdded      = 200 * time.Microsecond
)
