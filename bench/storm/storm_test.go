package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCrowdReadsAnswersRight: clients ask the origin itself, and what they count is what it did.
func TestCrowdReadsAnswersRight(t *testing.T) {
	o, err := startOrigin(time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer o.stop()
	var all tally
	c := newCrowd(t.Context(), o.address)
	for i := range 20 {
		c.join(client{source: address(16, i), every: time.Millisecond, path: "/", fields: browser, once: 5, tally: &all})
	}
	c.all.Wait()
	c.end()
	done, most, busy := o.report(time.Second)
	if all.asked.Load() != 100 || all.served.Load() != 100 || done != 100 || most < 1 || all.quantile(.5) < time.Millisecond || busy < 0.0125 {
		t.Errorf("asked %d, served %d, the origin did %d, at most %d at once, p50 %v", all.asked.Load(), all.served.Load(), done, most, all.quantile(.5))
	}
}

// TestOriginApart: the test program is started again as an origin, asked once, and forgets what it has told.
func TestOriginApart(t *testing.T) {
	o, err := startApart(time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer o.stop()
	var all tally
	c := newCrowd(t.Context(), o.address)
	c.join(client{source: address(16, 0), every: time.Millisecond, path: "/", fields: browser, once: 5, tally: &all})
	c.all.Wait()
	c.end()
	for _, want := range []int64{5, 0} {
		if done, _, _, err := o.report(time.Second); done != want || err != nil {
			t.Errorf("it did %d, want %d (%v)", done, want, err)
		}
	}
}

func TestMain(m *testing.M) {
	if service := os.Getenv(originEnv); service != "" {
		if err := beOrigin(service); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAnswersAreToldApart(t *testing.T) {
	var v tally
	for status, took := range map[int]time.Duration{200: time.Millisecond, 503: 0, 429: 0, 0: 0} {
		v.note(status, took)
	}
	v.note(200, 2*soon)
	got := row("peer", &v, &tally{}, 50, 100, 0.625, 7)
	for _, want := range []string{"20.0 % of 5", "50.0 %", "62.5 %", "| 7 |", "1 5xx, 1 4xx, 1 late, 1 none"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}

func TestAddressesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := range 62_500 {
		seen[address(64, i).String()] = true
	}
	if len(seen) != 62_500 || seen["127.64.0.0"] || seen["127.64.0.255"] {
		t.Errorf("%d addresses", len(seen))
	}
}
