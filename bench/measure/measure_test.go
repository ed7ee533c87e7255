package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const wrkReport = `Running 3s test @ http://127.0.0.1:18100/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.34ms    1.50ms  40.10ms   90.21%
    Req/Sec    27.89k     1.02k   30.01k    70.00%
  Latency Distribution
     50%    2.02ms
     75%    2.70ms
     90%  900.00us
     99%    1.20s
  83245 requests in 3.00s, 101.22MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 77
Requests/sec:  27748.10
Transfer/sec:     33.74MB
`

func TestParseWrk(t *testing.T) {
	got, err := parseWrk(wrkReport)
	want := load{requests: 83245, refused: 77, broken: 10, rate: 27748.10, p50: 2020 * time.Microsecond, p99: 1200 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseWrk("unable to connect to 127.0.0.1:18100"); err == nil {
		t.Error("a report without requests is taken")
	}
}

func TestParseH2load(t *testing.T) {
	got, err := parseH2load(`finished in 3.00s, 25877.00 req/s, 29.01MB/s
requests: 77631 total, 77760 started, 77631 done, 77600 succeeded, 31 failed, 2 errored, 1 timeout
status codes: 77600 2xx, 0 3xx, 20 4xx, 9 5xx
`)
	want := load{requests: 77631, refused: 29, broken: 3, rate: 25877}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseH2load("requests: 0 total, 0 done"); err == nil {
		t.Error("a report without requests is taken")
	}
}

func TestPercentilesLeaveFailuresOut(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("1\t200\t30\n2\t-1\t9999999\n3\t200\t10\n4\t200\t20\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p50, p99, err := percentiles(log); err != nil || p50 != 20*time.Microsecond || p99 != 30*time.Microsecond {
		t.Errorf("got %v, %v, %v", p50, p99, err)
	}
}

func TestParseBenchmark(t *testing.T) {
	const out = "goos: linux\nBenchmarkNewKeyFullTable-2 \t 1 \t 9 ns/op\nBenchmarkNewKey-2 \t 100 \t 99.5 ns/op \t 0 B/op \t 0 allocs/op\nBenchmarkNewKey-2 \t 90 \t 120 ns/op \t 0 B/op \t 2 allocs/op\nBenchmarkTenMillionSources \t 1 \t 5 ns/op \t 64.0 MiB\nPASS\n"
	if got := parseBenchmark(out, "NewKey"); got["ns/op"] != 99.5 || got["allocs/op"] != 2 || len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if got := parseBenchmark(out, "TenMillionSources"); got["MiB"] != 64 {
		t.Errorf("got %v", got)
	}
	if got := parseBenchmark(out, "Missing"); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		check
		holds bool
	}{
		{check{value: 100, bound: 100}, true},
		{check{value: 101, bound: 100}, false},
		{check{value: 499, bound: 500, least: true}, false},
		{check{value: 500, bound: 500, least: true}, true},
		{check{value: 1, zero: true}, false},
		{check{value: 0, zero: true}, true},
	} {
		if c.check.holds() != c.holds {
			t.Errorf("%+v: held is %v", c.check, !c.holds)
		}
	}
}

func TestRatioIsOfTheSameRound(t *testing.T) {
	cpu := func(us ...float64) (rounds []measured) {
		for _, v := range us {
			rounds = append(rounds, measured{cpu: v})
		}
		return rounds
	}
	rows := []row{{theDoor, cpu(10, 40, 90)}, {nginxName, cpu(10, 20, 30)}}
	if got := ratio(rows, theDoor, nginxName); got != 2 {
		t.Errorf("got %v, want the median of 1, 2 and 3", got)
	}
	if got := ratio(rows, theDoor, haproxy); got != 0 {
		t.Errorf("got %v for a peer that was not there", got)
	}
}

func TestTheWireLeavesOutWhoCannotRefuse(t *testing.T) {
	all := ofTheWire(cases())
	if len(all) != len(wireCases) {
		t.Fatalf("%d cases, want %d", len(all), len(wireCases))
	}
	for _, c := range all {
		if with := slices.Contains(c.peers, caddy); with == bool(c.refuse) {
			t.Errorf("%s: Caddy takes part: %v", c.name, with)
		}
	}
}

func TestWhatFailedHoldsNoBound(t *testing.T) {
	served := measuredCase{rows: []row{{theDoor, []measured{{load: load{requests: 100}}}}}}
	failed := measuredCase{rows: []row{{theDoor, []measured{{load: load{requests: 100, refused: 90}}}}}}
	for _, c := range []struct {
		of            measuredCase
		figure, bound float64
		want          string
	}{
		{served, 0.9, 1, "held"}, {served, 1.1, 1, "**missed**"}, {served, 0, 1, notMeasured}, {failed, 0.5, 1, notMeasured}, {measuredCase{}, 0.5, 1, notMeasured},
	} {
		if got := judge(c.of, c.figure, c.bound); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.figure, c.bound, got, c.want)
		}
	}
}
