package stormdoor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stormdoor/flow"
	"stormdoor/internal/gate/listen"
	"stormdoor/internal/loop/observe"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// running is a door that serves on a free loopback port.
type running struct {
	server *Server
	door   *Door
	url    string
	log    *syncBuffer
	stop   func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const quiet = "\nlisten: {http: [\"127.0.0.1:0\"]}\nadmin: {listen: \"off\"}\n"

func start(t testing.TB, text string) *running {
	t.Helper()
	p := parse(t, text+quiet).WithDefaults()
	r := &running{log: &syncBuffer{}}
	lines, err := observe.NewWriter("", r.log, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if r.door, err = New(p, Options{Log: slog.New(slog.NewTextHandler(r.log, nil)), Lines: lines, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	if r.server, err = NewServer(r.door); err != nil {
		t.Fatal(err)
	}
	set, err := listen.Open(Addresses(p), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + set.Listener("127.0.0.1:0").Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.server.Run(ctx, set, func() { close(ready) }) }()
	<-ready
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			r.door.Close()
		})
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		r.stop()
	})
	return r
}

func upstream(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func ok(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "from the origin") }

func get(t testing.TB, url string, fields ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			req.Host = fields[i+1]
		}
		req.Header.Set(fields[i], fields[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestForwardsAndRefusesUnknownHosts(t *testing.T) {
	r := start(t, "sites: [{hosts: [shop.example], origins: ['"+upstream(t, ok)+"']}]")
	if res, body := get(t, r.url+"/x", "Host", "shop.example"); res.StatusCode != 200 || body != "from the origin" {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
	res, body := get(t, r.url+"/x", "Host", "other.example")
	if res.StatusCode != 421 || !strings.Contains(body, "site.unknown") || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("unknown host: status %d, body %q", res.StatusCode, body)
	}
}

func TestDeadOriginIsSaidToTheVisitorAndExplained(t *testing.T) {
	r := start(t, "sites: [{hosts: ['*'], origins: ['http://127.0.0.1:1']}]")
	res, body := get(t, r.url+"/x", "Accept", "text/html")
	if res.StatusCode != 502 || !strings.Contains(body, "not reachable") {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
	id, ok := flow.ParseRequestID(res.Header.Get("Stormdoor-Request-Id"))
	if !ok {
		t.Fatalf("no reference in %v", res.Header)
	}
	// The outcome is recorded when the visitor has its answer; Shutdown waits for that.
	r.stop()
	x, ok := r.door.ExplainRecent(context.Background(), id)
	if !ok || x.Reason != flow.OriginDown || x.Ended.Status != 502 {
		t.Errorf("explained %v: %+v", ok, x)
	}
}

func TestListsRulesAndLimitsDecideInOrder(t *testing.T) {
	r := start(t, `
sites: [{hosts: ['*'], origins: ['`+upstream(t, ok)+`']}]
rules:
  - {name: no-php, when: path.endsWith('.php'), then: refuse}
  - {name: watched, when: path == '/watched', then: refuse, dry_run: true}
limits:
  - {name: few, paths: [/few], rate: 2/m, burst: 2}
`)
	for _, c := range []struct {
		path   string
		status int
		reason string
	}{{"/", 200, ""}, {"/x.php", 403, "rule.match"}, {"/watched", 200, ""}, {"/few", 200, ""}, {"/few", 200, ""}, {"/few", 429, "limit.rate"}} {
		res, _ := get(t, r.url+c.path)
		if res.StatusCode != c.status || res.Header.Get("Stormdoor-Reason") != c.reason {
			t.Errorf("%s: status %d, reason %q", c.path, res.StatusCode, res.Header.Get("Stormdoor-Reason"))
		}
		if c.status == 429 && (res.Header.Get("Retry-After") == "" || !strings.HasPrefix(res.Header.Get("RateLimit-Policy"), `"few";q=2`)) {
			t.Errorf("429 without RateLimit fields: %v", res.Header)
		}
	}
}

func TestAllowListWinsOverEverything(t *testing.T) {
	r := start(t, `
sites: [{hosts: ['*'], origins: ['`+upstream(t, ok)+`']}]
lists:
  - {name: out, action: refuse, addresses: [127.0.0.0/8]}
  - {name: in, action: allow, addresses: [127.0.0.1]}
rules: [{name: all, when: 'true', then: refuse}]
limits: [{name: none, rate: 1/h, burst: 1}]
`)
	for range 5 {
		if res, _ := get(t, r.url); res.StatusCode != 200 {
			t.Fatalf("an allowed client got %d (%s)", res.StatusCode, res.Header.Get("Stormdoor-Reason"))
		}
	}
}

func TestThrottleHoldsBack(t *testing.T) {
	r := start(t, `
sites: [{hosts: ['*'], origins: ['`+upstream(t, ok)+`']}]
limits: [{name: slow, rate: 10/s, burst: 1, over: throttle, max_wait: 10s}]
`)
	begin := time.Now()
	for range 4 {
		if res, _ := get(t, r.url); res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
	}
	if d := time.Since(begin); d < 200*time.Millisecond {
		t.Errorf("4 requests at 10/s took %v", d)
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	d, err := New(parse(t, "sites: [{hosts: ['*'], origins: ['http://127.0.0.1:1']}]\nlimits: [{name: q, rate: 1/m, burst: 1, over: queue, max_queue: 2, max_wait: 10m}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	req := &wire.Request{Method: "GET", Target: "/", Authority: "a"}
	conn := &wire.Conn{Peer: netip.MustParseAddrPort("192.0.2.1:1")}
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan flow.Verdict, 4)
	for range 4 {
		v := d.facts(conn, req, d.now())
		go func() {
			d.judge(ctx, v)
			results <- v.outcome.Verdict
		}()
	}
	got := []flow.Verdict{<-results, <-results} // one passed at once, one found the queue full
	cancel()
	got = append(got, <-results, <-results)
	full := 0
	for _, v := range got {
		if v.Reason == flow.LimitQueueFull && v.Action == flow.Refuse {
			full++
		}
	}
	if full != 1 || d.waiting.Load() != 0 {
		t.Errorf("%d of 4 found a queue of 2 full, %d still counted as waiting: %+v", full, d.waiting.Load(), got)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	one, two := upstream(t, ok), upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from the second") })
	r := start(t, "sites: [{hosts: ['*'], origins: ['"+one+"']}]")
	bad := parse(t, "sites: [{hosts: ['*'], origins: ['"+two+"']}]\nlists: [{name: l, action: refuse, file: /does/not/exist}]"+quiet)
	if err := r.server.Apply(bad); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("err = %v, want the file named", err)
	}
	if _, body := get(t, r.url); body != "from the origin" {
		t.Errorf("after a bad policy: %q", body)
	}
	if err := r.server.Apply(parse(t, "sites: [{hosts: ['*'], origins: ['"+two+"']}]"+quiet)); err != nil {
		t.Fatal(err)
	}
	if _, body := get(t, r.url); body != "from the second" {
		t.Errorf("after a good policy: %q", body)
	}
}

func TestRequestEndsUnderTheDeploymentItBeganWith(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	slow := upstream(t, func(w http.ResponseWriter, _ *http.Request) { close(asked); <-goOn; fmt.Fprint(w, "the first") })
	r := start(t, "sites: [{hosts: ['*'], origins: ['"+slow+"']}]")
	got := make(chan string)
	go func() { _, body := get(t, r.url); got <- body }()
	<-asked
	if err := r.server.Apply(parse(t, "sites: [{hosts: ['*'], origins: ['"+upstream(t, ok)+"']}]"+quiet)); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if body := <-got; body != "the first" {
		t.Errorf("%q", body)
	}
}

// TestAClockThatJumpsHarmsNobody: back or ahead, by minutes or by a hundred years. (The deadlines of connections go by the
// monotonic clock, which does not jump.)
func TestAClockThatJumpsHarmsNobody(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var log syncBuffer
	lines, err := observe.NewWriter("", &log, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(parse(t, strings.Replace(busyPolicy, "rate: 1000000/s, burst: 1000000", "rate: 100/s, burst: 2000", 1)+"log: {access: 1}\n"), Options{Now: func() time.Time { return now }, Lines: lines})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	conn, req := ordinary()
	const year = 365 * 24 * time.Hour
	for _, jump := range []time.Duration{0, -time.Second, -time.Minute, -year, time.Second, year, 3 * year, -5 * year, 100 * year, -100 * year} {
		now = now.Add(jump)
		for i := range 50 {
			v := d.begin(conn, req)
			if !d.judge(t.Context(), v) {
				t.Fatalf("after a jump by %v, request %d: %+v", jump, i, v.outcome.Verdict)
			}
			d.record(v)
		}
	}
	if n := d.faults.Load(); n != 0 || d.inFlight.Load() != 0 {
		t.Errorf("%d failures of the door's own, %d requests in flight", n, d.inFlight.Load())
	}
}

// TestApplyKeepsConnectionsToOrigins: what has not changed is not touched, and what is gone is closed.
func TestApplyKeepsConnectionsToOrigins(t *testing.T) {
	var opened, closed atomic.Int64
	origin := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	gone := make(chan struct{}, 100)
	origin.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
			gone <- struct{}{}
		}
	}
	origin.Start()
	defer origin.Close()
	site := "sites: [{hosts: ['*'], origins: ['" + origin.URL + "']}]\n"
	r := start(t, site)
	for _, more := range []string{"rules: [{name: a, when: path == '/a', then: refuse}]", "limits: []", "on_error: refuse"} {
		get(t, r.url)
		if err := r.server.Apply(parse(t, site+more+quiet)); err != nil {
			t.Fatal(err)
		}
	}
	get(t, r.url)
	if opened.Load() != 1 || closed.Load() != 0 {
		t.Errorf("%d connections were opened and %d closed, want one that stays", opened.Load(), closed.Load())
	}
	if err := r.server.Apply(parse(t, "sites: [{hosts: ['*'], origins: ['"+upstream(t, ok)+"']}]"+quiet)); err != nil {
		t.Fatal(err)
	}
	<-gone
}

func TestNewAddressesAreServedAfterApply(t *testing.T) {
	url := upstream(t, ok)
	r := start(t, "sites: [{hosts: ['*'], origins: ['"+url+"']}]")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	next := parse(t, "sites: [{hosts: ['*'], origins: ['"+url+"']}]\nlisten: {http: ['"+addr+"']}\nadmin: {listen: 'off'}")
	if err := r.server.Apply(next); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, "http://"+addr); res.StatusCode != 200 {
		t.Errorf("the new address answers %d", res.StatusCode)
	}
	// Whoever waits in Accept closes the old socket, which may be a moment later.
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(end) {
			t.Fatal("the old address still takes connections")
		}
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	r := start(t, "sites: [{hosts: ['*'], origins: ['"+upstream(t, func(w http.ResponseWriter, _ *http.Request) { close(asked); <-goOn; fmt.Fprint(w, "done") })+"']}]")
	got := make(chan string)
	go func() { _, body := get(t, r.url); got <- body }()
	<-asked
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	close(goOn)
	if body := <-got; body != "done" {
		t.Errorf("%q", body)
	}
	<-stopped
}

func TestAWebSocketPasses(t *testing.T) {
	r := start(t, "sites: [{hosts: ['*'], origins: ['"+upstream(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
		io.Copy(c, rw)
	})+"']}]")
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	fmt.Fprint(c, "hello")
	got := make([]byte, 10)
	if _, err := io.ReadFull(br, got); err != nil || string(got) != "earlyhello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWrapJudgesForAHandlerOfTheProcess(t *testing.T) {
	p, err := policy.ParseEmbedded("test.yaml", []byte("sites: [{hosts: ['*']}]\nrules: [{name: no, when: path == '/no', then: refuse, status: 404}, {name: away, when: path == '/away', then: hangup}]"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := httptest.NewServer(d.Wrap(http.HandlerFunc(ok)))
	defer s.Close()
	if res, body := get(t, s.URL+"/yes"); res.StatusCode != 200 || body != "from the origin" {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
	if res, _ := get(t, s.URL+"/no"); res.StatusCode != 404 {
		t.Errorf("status %d", res.StatusCode)
	}
	if res, err := http.Get(s.URL + "/away"); err == nil {
		res.Body.Close()
		t.Errorf("hung up on, and got %d", res.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAdminAnswersOnlyToLoopbackNames(t *testing.T) {
	d, err := New(parse(t, "sites: [{hosts: ['*'], origins: ['http://127.0.0.1:1']}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range []struct {
		host, path string
		status     int
	}{{"localhost:2112", "/metrics", 200}, {"127.0.0.1", "/healthz", 200}, {"[::1]:2112", "/status", 200}, {"evil.example", "/metrics", 421},
		{"localhost", "/explain?id=x", 400}, {"localhost", "/explain?id=0000000000000000", 404}} {
		req := httptest.NewRequest("GET", c.path, nil)
		req.Host = c.host
		w := httptest.NewRecorder()
		d.Admin().ServeHTTP(w, req)
		if w.Code != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.host, c.path, w.Code, c.status, w.Body)
		}
		if c.path == "/status" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("/status is not JSON: %s", w.Body)
		}
	}
}

func TestExplainSpendsNothing(t *testing.T) {
	d, err := New(parse(t, "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1']}]\nlimits: [{name: one, rate: 1/h, burst: 1}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 3 {
		x, err := d.Explain(context.Background(), Question{URL: "http://shop.example//a/../b"})
		if err != nil || x.Site != "shop.example" || x.Path.Clean != "/b" || x.Result != "forwarded to the site's origin" || len(x.Steps) != 4 {
			t.Fatalf("%v: %s", err, x)
		}
	}
	if _, err := d.Explain(context.Background(), Question{URL: "shop"}); err == nil {
		t.Error("a URL without scheme was taken")
	}
}
