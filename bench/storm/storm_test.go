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
	did, got := o.report(), all.report()
	if got.Asked != 100 || got.Served != 100 || did.Done != 100 || did.Most < 1 || got.P50 < time.Millisecond || did.Busy < 100*time.Millisecond {
		t.Errorf("asked %+v, the origin did %+v", got, did)
	}
}

// TestPartsCountByThemselves: this program is started again as an origin and as its visitors, who tell what they have counted.
func TestPartsCountByThemselves(t *testing.T) {
	o, err := startPart("origin", "1ms")
	if err != nil {
		t.Fatal(err)
	}
	defer o.stop()
	var did work
	if err := o.report(&did); err != nil {
		t.Fatal(err)
	}
	v, err := startPart("visitors", "flood", "1", did.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer v.stop()
	var sum, all int64
	for got := (counts{}); sum < 50; sum += got.Served { // a hundred visitors ask once a second
		if err := v.report(&got); err != nil {
			t.Fatal(err)
		}
	}
	v.stop()
	for did.Done = 1; did.Done > 0; all += did.Done {
		if err := o.report(&did); err != nil {
			t.Fatal(err)
		}
	}
	if all < sum {
		t.Errorf("the origin did %d of the %d that visitors have got", all, sum)
	}
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		if err := play(role); err != nil {
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
	got := row("peer", v.report(), counts{}, 50, 100, 0.625, 7)
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
