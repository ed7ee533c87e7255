package stormdoor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"stormdoor/policy"
)

const guarded = `
sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1']}]
waf: {mode: block}
`

// panics is a body that makes its reader fail in the middle.
type panics struct{}

func (panics) Read([]byte) (int, error) { panic("a body that breaks the stage") }

// reaches sends a request with a body of ten bytes through a door with a firewall, and tells whether it came to the handler behind.
func reaches(t *testing.T, body io.Reader) (status int, reached bool) {
	d, err := New(parse(t, guarded), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r := httptest.NewRequest("POST", "http://shop.example/comment", io.NopCloser(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.ContentLength = 10
	w := httptest.NewRecorder()
	d.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).ServeHTTP(w, r)
	return w.Code, reached
}

// A stage that fails in the middle of a body has lost a part of it. What is left must never reach an origin as the whole.
func TestInspectionThatFailsLosesNoRequestSilently(t *testing.T) {
	if status, reached := reaches(t, panics{}); status != http.StatusServiceUnavailable || reached {
		t.Errorf("status %d, reached the handler: %v", status, reached)
	}
}

// A visitor who fails to send a body that is to be inspected is told so at once: nobody behind the door gets a part of it.
func TestABodyThatFailsReachesNobody(t *testing.T) {
	body := io.MultiReader(strings.NewReader("text="), iotest.ErrReader(os.ErrDeadlineExceeded))
	if status, reached := reaches(t, body); status != http.StatusRequestTimeout || reached {
		t.Errorf("status %d, reached the handler: %v", status, reached)
	}
}

// The body that was read to be inspected reaches the handler whole, and a hostile one does not reach it at all.
func TestBodiesPassTheFirewallWhole(t *testing.T) {
	d, err := New(parse(t, guarded), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := ""
	h := d.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = string(b)
	}))
	ask := func(body string) int {
		r := httptest.NewRequest("POST", "http://shop.example/comment", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("User-Agent", "Mozilla/5.0")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	text := "text=" + strings.Repeat("a+sturdy+door+", 20_000) // longer than what is inspected
	if status := ask(text); status != 200 || got != text {
		t.Errorf("status %d, %d of %d bytes", status, len(got), len(text))
	}
	got = ""
	if status := ask("id=1%27%20UNION%20SELECT%20password%20FROM%20users--"); status != http.StatusForbidden || got != "" {
		t.Errorf("an injection: status %d, the handler read %q", status, got)
	}
	m := httptest.NewRecorder()
	d.Metrics().Handler().ServeHTTP(m, httptest.NewRequest("GET", "/metrics", nil))
	if want := `stormdoor_waf_matches_total{route="",rule="942100",site="shop.example"} 1`; !strings.Contains(m.Body.String(), want) {
		t.Errorf("the metrics do not say %s", want)
	}
	if n := d.heldBodies.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}

// Who asks for another protocol beside a body is judged by the body, whatever the protocol, and a WebSocket still passes.
func TestAWishForAnotherProtocolHidesNoBody(t *testing.T) {
	reached := make(chan string, 4)
	r := start(t, "waf: {mode: block}\nsites: [{hosts: ['*'], origins: ['"+upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" {
			b, _ := io.ReadAll(r.Body)
			reached <- string(b)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	})+"']}]")
	const attack = "id=1%27%20UNION%20SELECT%20password%20FROM%20users--"
	form := func(method, connection, upgrade string) string {
		return method + " /ws HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nConnection: " + connection +
			"\r\nUpgrade: " + upgrade + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
			strconv.Itoa(len(attack)) + "\r\n\r\n" + attack
	}
	for _, c := range []struct {
		name, raw string
		want      int
	}{
		{"unknown protocol", form("POST", "Upgrade", "x"), http.StatusForbidden},
		{"WebSocket", form("POST", "Upgrade", "websocket"), http.StatusForbidden},
		{"HTTP/2", form("POST", "Upgrade", "h2c"), http.StatusForbidden},
		{"a field that no connection names", form("POST", "close", "websocket"), http.StatusForbidden},
		{"GET with a body", form("GET", "Upgrade", "websocket"), http.StatusForbidden},
		{"GET without", "GET /ws HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", http.StatusSwitchingProtocols},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, c.raw)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != c.want {
			t.Errorf("%s: %v %v, want %d", c.name, res, err, c.want)
		}
		conn.Close()
	}
	select {
	case body := <-reached:
		t.Errorf("the origin has got %q", body)
	default:
	}
}

// eventually waits for something that is done beside the path.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has not happened in 20 seconds")
		}
	}
}

// A rule set on trial refuses nobody; the log and the metrics say whom it would.
func TestAShadowIsHeardAndNotFelt(t *testing.T) {
	p := parse(t, guarded)
	p.WAF.Threshold, p.WAF.Shadow = 100, &policy.WAFShadow{Threshold: 5, Processor: 100}
	said := new(syncBuffer)
	d, err := New(p, Options{Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	h := d.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	for n := range 10 {
		r := httptest.NewRequest("GET", "http://shop.example/item?id=1%27%20UNION%20SELECT%20password%20FROM%20users--"+strconv.Itoa(n), nil)
		r.Header.Set("User-Agent", "Mozilla/5.0")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Fatalf("status %d", w.Code)
		}
	}
	metrics := func() string {
		m := httptest.NewRecorder()
		d.Metrics().Handler().ServeHTTP(m, httptest.NewRequest("GET", "/metrics", nil))
		return m.Body.String()
	}
	eventually(t, func() bool {
		return strings.Contains(metrics(), `stormdoor_waf_shadow_total{outcome="would_refuse"} 10`)
	})
	if got := metrics(); !strings.Contains(got, `stormdoor_waf_shadow_matches_total{route="",rule="942100",site="shop.example"} 10`) {
		t.Error("the hits of the rules on trial are not told")
	}
	eventually(t, func() bool { x := d.Shadow().Differences; return len(x) == 1 && x[0].Times == 10 })
	x := d.Shadow().Differences[0]
	if x.Outcome != "would_refuse" || x.Rule != "942100" || x.Path != "/item" || x.Method != "GET" || x.ID == "" || !strings.Contains(x.Rules, "942100 in ARGS:id") {
		t.Errorf("%+v", x)
	}
	if got := d.Shadow().String(); !strings.HasPrefix(got, "10 requests judged in the shadow, 0 left out: it would refuse 10 that pass, and let 0 pass that are refused\n") || !strings.Contains(got, "GET /item") {
		t.Errorf("%s", got)
	}
	eventually(t, func() bool {
		return strings.Count(said.String(), "the shadow would refuse a request that passes") == shadowLines
	})
	if got := said.String(); !strings.Contains(got, "942100 in ARGS:id") || !strings.Contains(got, "path=/item") || !strings.Contains(got, `more="are counted, not logged"`) {
		t.Errorf("the log: %s", got)
	}
}

// An exclusion ends on its day without a reload, and the door says so once on each day before and after.
func TestTheEndOfAnExclusionIsSaidDaily(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var said strings.Builder
	p := parse(t, guarded)
	p.WAF.Exclude = []policy.WAFExclusion{{Rule: 942100, Until: "2026-11-26"}}
	d, err := New(p, Options{Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range []struct {
		hours int
		want  string
	}{{0, "ends after 2026-11-26"}, {1, ""}, {24, "ends after 2026-11-26"}, {24, "has ended on 2026-11-26"}, {1, ""}} {
		if c.hours > 0 {
			said.Reset()
		}
		now = now.Add(time.Duration(c.hours) * time.Hour)
		d.remindOfExclusions()
		if n := strings.Count(said.String(), "exclusion"); c.want == "" && n > 0 || c.want != "" && !strings.Contains(said.String(), c.want) {
			t.Errorf("at %v: want %q: %s", now, c.want, said.String())
		}
	}
}
