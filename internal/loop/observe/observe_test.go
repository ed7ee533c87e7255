package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"stormdoor/flow"
	"stormdoor/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a place for log lines that can be full or stuck.
type disk struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	full bool
}

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return 0, errors.New("no space left on device")
	}
	return d.buf.Write(p)
}

func (d *disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.buf.String()
}

func outcome(at time.Time, v flow.Verdict) *flow.Outcome {
	h := flow.NewHeader(2)
	h.Add("User-Agent", "a \"b\"\n\x1b[31m")
	h.Add("Authorization", "Basic secret")
	return &flow.Outcome{
		Facts: flow.Facts{Arrived: at, Site: "shop", Method: "GET", Host: "shop.example", Path: flow.Path{Raw: "/a\xff\u202e"}, Client: netip.MustParseAddr("192.0.2.1"),
			Peer: netip.MustParseAddr("192.0.2.1"), Header: h, ID: flow.RequestID{1}},
		Verdict: v, Status: 200, Took: time.Millisecond,
	}
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func recorder(t *testing.T, log policy.Log, d io.Writer) (*Recorder, func()) {
	t.Helper()
	w, err := NewWriter("", d, int64(log.MaxRate), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMetrics("test")
	m.Bind([]string{"shop"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	return NewRecorder(log, w, false, m, NewRecent(8), nil), func() { cancel(); <-done }
}

func TestLineIsJSONWhateverAVisitorSends(t *testing.T) {
	var d disk
	r, stop := recorder(t, policy.Log{Access: 1, FirstRefusals: 5}, &d)
	r.Record(outcome(start, flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate, Rule: "x"}))
	stop()
	var line map[string]any
	if err := json.Unmarshal([]byte(d.String()), &line); err != nil {
		t.Fatalf("%v in %q", err, d.String())
	}
	for k, want := range map[string]any{"site": "shop", "client": "192.0.2.1", "action": "refuse", "reason": "limit.rate", "rule": "x", "user_agent": "a \"b\"\n\x1b[31m", "path": "/a\ufffd\ufffd"} {
		if line[k] != want {
			t.Errorf("%s = %q, want %q", k, line[k], want)
		}
	}
	if strings.ContainsAny(d.String(), "\x1b\u202e") || strings.Contains(d.String(), "secret") {
		t.Errorf("line %q can act on a terminal or tells a secret", d.String())
	}
}

func TestConsoleLineCannotActOnATerminal(t *testing.T) {
	o := outcome(start, flow.Verdict{})
	o.Err = "bad \x1b]0;x\x07"
	if line := appendConsole(nil, o); bytes.ContainsAny(line[:len(line)-1], "\x1b\x07\n") {
		t.Errorf("%q", line)
	}
}

func TestFirstRefusalsThenACount(t *testing.T) {
	var d disk
	r, stop := recorder(t, policy.Log{FirstRefusals: 3}, &d)
	for i := range 1000 {
		r.Record(outcome(start.Add(time.Duration(i)*time.Millisecond), flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate, Rule: "x"}))
	}
	r.Flush(start.Add(time.Minute))
	stop()
	lines := strings.Split(strings.TrimSpace(d.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[3], `"counted":997`) {
		t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
	}
}

func TestCausesAreBounded(t *testing.T) {
	r, stop := recorder(t, policy.Log{FirstRefusals: 1}, io.Discard)
	defer stop()
	for i := range 10_000 {
		r.Record(outcome(start, flow.Verdict{Action: flow.Refuse, Reason: flow.RuleMatch, Rule: string(rune(i))}))
	}
	if len(r.causes) > maxCauses+1 {
		t.Errorf("%d causes are remembered", len(r.causes))
	}
}

func TestSampling(t *testing.T) {
	var d disk
	r, stop := recorder(t, policy.Log{Access: 0.25}, &d)
	for range 400 {
		r.Record(outcome(start, flow.Verdict{}))
	}
	stop()
	if n := strings.Count(d.String(), "\n"); n != 100 {
		t.Errorf("%d of 400 logged at a share of 0.25", n)
	}
}

func TestFullDiskLosesLinesAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{full: true}
		w, err := NewWriter("", d, 0, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		for range 10 {
			w.Write([]byte("x\n"))
		}
		time.Sleep(3 * time.Second) // virtual
		d.mu.Lock()
		d.full = false
		d.mu.Unlock()
		time.Sleep(2 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := d.String(); w.Lost() != 10 || !strings.Contains(s, `"lines":10`) || !strings.Contains(s, "no space left") {
			t.Errorf("lost %d, said %q", w.Lost(), s)
		}
	})
}

func TestWriterNeverBlocks(t *testing.T) {
	w, err := NewWriter("", io.Discard, 0, time.Now) // nobody runs it
	if err != nil {
		t.Fatal(err)
	}
	for range queueLines + 50 {
		w.Write([]byte("x\n"))
	}
	if w.Lost() != 50 {
		t.Errorf("lost %d, want 50", w.Lost())
	}
}

func TestCeilingInBytesPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		r, stop := recorder(t, policy.Log{Access: 1, MaxRate: 2000}, &d)
		for range 500 {
			r.Record(outcome(start, flow.Verdict{}))
		}
		synctest.Wait()
		if n := len(d.String()); n > 2000 || n < 1000 {
			t.Errorf("%d bytes in the first second at a ceiling of 2000", n)
		}
		time.Sleep(time.Second)
		stop()
		if !strings.Contains(d.String(), "over log.max_rate") {
			t.Errorf("the loss is not said: %s", d.String())
		}
	})
}

// What the door says of itself is said also while requests want more of the log than its ceiling or its queue.
func TestRequestsLeaveRoomForTheDoorsOwnLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		w, err := NewWriter("", &d, 2000, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		request, own := []byte(strings.Repeat("r", 99)+"\n"), []byte("an origin is left out\n")
		for range 2 * queueLines { // nobody takes them yet
			w.WriteRequest(request)
		}
		w.Write(own)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		for range 5 {
			time.Sleep(time.Second)
			for range 50 {
				w.WriteRequest(request)
			}
			synctest.Wait()
			w.Write(own)
			synctest.Wait()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		said, requests := strings.Count(d.String(), string(own)), strings.Count(d.String(), string(request))
		if said != 6 {
			t.Errorf("the door's own line was written %d times of 6", said)
		}
		if most := 6 * 2000 / len(request); requests > most || requests < most/2 {
			t.Errorf("%d lines of requests in 6 s at a ceiling for %d", requests, most)
		}
	})
}

func TestReopenAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "door.log")
	w, err := NewWriter(path, nil, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := w.Reopen(); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("new\n"))
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "new\n" {
		t.Errorf("new file: %q, %v", b, err)
	}
	if _, err := NewWriter(filepath.Join(path, "below"), nil, 0, time.Now); err == nil || !strings.Contains(err.Error(), "log.file") {
		t.Errorf("err = %v, want the field named", err)
	}
}

func TestRecentFindsByReferenceAndKeepsNoSecret(t *testing.T) {
	r := NewRecent(4)
	for i := range 6 {
		o := outcome(start, flow.Verdict{Action: flow.Refuse, Reason: flow.RuleMatch})
		o.Facts.ID = flow.RequestID{byte(i + 1)}
		r.keep(o)
	}
	if _, ok := r.Find(flow.RequestID{1}); ok {
		t.Error("the ring is larger than its size")
	}
	o, ok := r.Find(flow.RequestID{6})
	if !ok || o.Facts.Header.Get("Authorization") == "Basic secret" || o.Facts.Header.Get("User-Agent") == "" {
		t.Errorf("found %v, header %+v", ok, o.Facts.Header)
	}
	for range 1000 {
		r.keep(outcome(start.Add(time.Millisecond), flow.Verdict{}))
	}
	if r.next > recentPerSecond {
		t.Errorf("%d kept in one second", r.next)
	}
}

func TestMetricsHaveBoundedLabels(t *testing.T) {
	r, stop := recorder(t, policy.Log{}, io.Discard)
	defer stop()
	o := outcome(start, flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate})
	o.Status, o.Attempts, o.End, o.BytesOut, o.OriginTime = 429, 3, flow.OriginDown, 7, time.Second
	r.Record(o)
	o.Facts.Site = "not in the policy"
	r.Record(o)
	w := httptest.NewRecorder()
	r.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`stormdoor_requests_total{class="4xx",site="shop"} 1`, `stormdoor_requests_total{class="4xx",site=""} 1`,
		`stormdoor_verdicts_total{action="refuse",reason="limit.rate",site="shop"} 1`, `stormdoor_ended_total{reason="origin.down",site="shop"} 1`,
		`stormdoor_origin_retries_total{site="shop"} 2`, `stormdoor_body_bytes_total{direction="out",site="shop"} 7`, `version="test"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(w.Body.String(), "not in the policy") {
		t.Error("a site that is not in the policy became a label")
	}
}

func BenchmarkRecordPassed(b *testing.B) {
	m := NewMetrics("test")
	m.Bind([]string{"shop"})
	w, _ := NewWriter("", io.Discard, 0, time.Now)
	r := NewRecorder(policy.Log{}, w, false, m, NewRecent(8), nil)
	o := outcome(start, flow.Verdict{})
	b.ReportAllocs()
	for b.Loop() {
		r.Record(o)
	}
}
