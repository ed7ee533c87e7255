package origin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
)

func short(c *Config) {
	c.Timeouts = policy.Timeouts{Connect: policy.Duration(300 * time.Millisecond), Response: policy.Duration(150 * time.Millisecond), Idle: policy.Duration(300 * time.Millisecond)}
}

func TestRealOriginsThatMisbehave(t *testing.T) {
	closedPort := func() string {
		l, _ := net.Listen("tcp", "127.0.0.1:0")
		defer l.Close()
		return "http://" + l.Addr().String()
	}
	says := func(s string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) { readHead(r); io.WriteString(c, s) }
	}
	for _, tt := range []struct {
		name   string
		url    string
		reason flow.Reason
		status int // what the visitor got, 0 when the answer broke off
	}{
		{"down", closedPort(), flow.OriginDown, 503},
		{"hangs", rawOrigin(t, func(c net.Conn, r *bufio.Reader) { readHead(r); r.ReadByte() }), flow.OriginTimeout, 504},
		{"closes at once", rawOrigin(t, func(net.Conn, *bufio.Reader) {}), flow.OriginBroken, 502},
		{"resets", rawOrigin(t, func(c net.Conn, r *bufio.Reader) { readHead(r); c.(*net.TCPConn).SetLinger(0) }), flow.OriginBroken, 502},
		{"garbage", rawOrigin(t, says("SSH-2.0-OpenSSH_9.6\r\n\r\n")), flow.OriginBroken, 502},
		{"two lengths", rawOrigin(t, says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")), flow.OriginBroken, 502},
		{"half a head", rawOrigin(t, says("HTTP/1.1 200 OK\r\nContent-Le")), flow.OriginBroken, 502},
		{"a switch that nobody asked for", rawOrigin(t, says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")), flow.OriginBroken, 502},
		{"half a body", rawOrigin(t, says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")), flow.OriginBroken, 0},
		{"half a chunked body", rawOrigin(t, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")), flow.OriginBroken, 0},
		{"stalls in the body", rawOrigin(t, func(c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			r.ReadByte()
		}), flow.OriginTimeout, 0},
		{"more than announced", rawOrigin(t, says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfull and HTTP/1.1 200 OK\r\n\r\n")), "", 200},
		{"until the end", rawOrigin(t, says("HTTP/1.0 200 OK\r\n\r\nfull")), "", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := openDoor(t, short, tt.url)
			resp, err := d.Client().Get(d.URL)
			var body []byte
			if err == nil {
				body, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			o := d.last(1)
			if o.End != tt.reason {
				t.Fatalf("%q, want %q (%s)", o.End, tt.reason, o.Err)
			}
			switch {
			case tt.status == 0 && err == nil:
				t.Errorf("the visitor takes %q for the whole", body)
			case tt.status != 0 && (err != nil || resp.StatusCode != tt.status):
				t.Errorf("the visitor got %v, %v", resp, err)
			case tt.status == 200 && string(body) != "full":
				t.Errorf("body %q", body)
			}
			if s := d.pool.Status()[0]; s.InFlight != 0 {
				t.Errorf("%d in flight", s.InFlight)
			}
		})
	}
}

func TestRealStreamingBothWays(t *testing.T) {
	size := 3 << 20
	data := make([]byte, size)
	rand.Read(data)
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, _ := io.Copy(sum, r.Body)
		w.Header().Set("X-Sum", fmt.Sprintf("%d %x", n, sum.Sum(nil)))
		w.Write(data)
	})
	d := openDoor(t, nil, o.URL)
	for _, body := range []io.Reader{bytes.NewReader(data), struct{ io.Reader }{bytes.NewReader(data)}} { // announced, chunked
		resp, err := d.Client().Post(d.URL, "", body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
		if want := fmt.Sprintf("%d %x", size, sha256.Sum256(data)); resp.Header.Get("X-Sum") != want {
			t.Errorf("the origin got %s", resp.Header.Get("X-Sum"))
		}
		if o := d.last(1); o.BytesIn != int64(size) || o.BytesOut != int64(size) || o.End != "" {
			t.Errorf("%+v", o)
		}
	}
}

func TestRealEventStream(t *testing.T) {
	more, left := make(chan string), make(chan struct{})
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for s := range more {
			io.WriteString(w, s)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		close(left)
	})
	d := openDoor(t, nil, o.URL)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", d.URL, nil)
	resp, err := d.Client().Do(req) // returns before the first event: the head does not wait
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, s := range []string{"data: 1\n\n", "data: 2\n\n"} {
		more <- s
		if n, _ := io.ReadFull(resp.Body, buf[:len(s)]); string(buf[:n]) != s {
			t.Fatalf("event %q", buf[:n])
		}
	}
	close(more)
	cancel() // the visitor leaves: the origin must hear of it
	<-left
	if o := d.last(1); o.End != flow.ClientGone || o.Status != 200 {
		t.Errorf("%q, %d (%s)", o.End, o.Status, o.Err)
	}
}

func TestRealEarlyAnswer(t *testing.T) {
	url := rawOrigin(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		io.Copy(io.Discard, r)
	})
	d := openDoor(t, nil, url)
	r, w := io.Pipe()
	defer w.Close()
	go io.WriteString(w, "a beginning")
	resp, err := d.Client().Post(d.URL, "", r)
	if err != nil || resp.StatusCode != 403 {
		t.Fatal(resp, err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if o := d.last(1); string(body) != "no" || o.End != "" {
		t.Errorf("%q, %q (%s)", body, o.End, o.Err)
	}
}

func TestRealTrailersAndInterim(t *testing.T) {
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Del("Link")
		io.Copy(w, r.Body)
		w.(http.Flusher).Flush() // only a chunked answer has trailers
		w.Header().Set(http.TrailerPrefix+"X-Got", r.Trailer.Get("X-Sum"))
	})
	d := openDoor(t, nil, o.URL)
	var hints []int
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		hints = append(hints, code)
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, "POST", d.URL, io.MultiReader(strings.NewReader("body")))
	req.Trailer = http.Header{"X-Sum": {"42"}}
	req.Header.Set("TE", "trailers")
	resp, err := d.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "body" || resp.Trailer.Get("X-Got") != "42" || fmt.Sprint(hints) != "[103]" {
		t.Errorf("body %q, trailer %v, hints %v", body, resp.Trailer, hints)
	}
}

func TestRealWebSocket(t *testing.T) {
	url := rawOrigin(t, func(c net.Conn, r *bufio.Reader) {
		head := readHead(r)
		if !strings.Contains(head, "\r\nUpgrade: websocket\r\n") || !strings.Contains(head, "\r\nConnection: Upgrade\r\n") {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhi")
		io.Copy(c, r) // until the visitor's half close
		io.WriteString(c, " bye")
	})
	d := openDoor(t, nil, url)
	c, err := net.Dial("tcp", d.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n\r\n")
	r := bufio.NewReader(c)
	if head := readHead(r); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Sec-Websocket-Accept: x") && !strings.Contains(head, "Sec-WebSocket-Accept: x") {
		t.Fatal(head)
	}
	io.WriteString(c, " echo")
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(r); string(got) != "hi echo bye" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if o := d.last(1); o.End != "" || !o.Upgraded || o.BytesIn != 5 || o.BytesOut != 11 {
		t.Errorf("%+v", o)
	}
}

func TestRealTLSUnixAndHTTP2(t *testing.T) {
	hello := func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.Host) }
	ca := func(s *httptest.Server) string {
		name := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	get := func(o policy.Origin) (string, flow.Outcome) {
		d := openDoor(t, func(c *Config) { c.Origins = []policy.Origin{o} })
		req, _ := http.NewRequest("GET", d.URL, nil)
		req.Host = "shop.example"
		resp, err := d.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b), d.last(1)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	address := strings.TrimPrefix(secure.URL, "https://")
	if got, o := get(policy.Origin{URL: "https://" + address, CA: ca(secure)}); got != "HTTP/1.1 shop.example" {
		t.Errorf("https: %q, %s", got, o.Err)
	}
	if got, o := get(policy.Origin{URL: "h2://" + address, CA: ca(secure), ServerName: "example.com"}); got != "HTTP/2.0 shop.example" {
		t.Errorf("h2: %q, %s", got, o.Err)
	}
	if _, o := get(policy.Origin{URL: "https://" + address}); o.End != flow.OriginDown || !strings.Contains(o.Err, "certificate") {
		t.Errorf("an unknown authority: %q, %s", o.End, o.Err)
	}
	if _, o := get(policy.Origin{URL: "https://" + address, CA: ca(secure), ServerName: "other.example"}); o.End != flow.OriginDown {
		t.Errorf("another name: %q, %s", o.End, o.Err)
	}
	socket := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	plain := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(hello)}}
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	defer plain.Close()
	if got, o := get(policy.Origin{URL: "unix:" + socket}); got != "HTTP/1.1 shop.example" {
		t.Errorf("unix: %q, %s", got, o.Err)
	}
	if got, o := get(policy.Origin{URL: "unix+h2c:" + socket}); got != "HTTP/2.0 shop.example" {
		t.Errorf("unix+h2c: %q, %s", got, o.Err)
	}
}

// TestRealRestart sends requests through a restart of the origin: connections that it kept are closed under the door.
func TestRealRestart(t *testing.T) {
	s := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	d := openDoor(t, nil, s.URL)
	for i := range 50 {
		if i%10 == 5 {
			s.CloseClientConnections()
		}
		resp, err := d.Client().Get(d.URL)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if o := d.last(1); resp.StatusCode != 200 {
			t.Fatalf("request %d: %d, %s", i, resp.StatusCode, o.Err)
		}
	}
}

// TestRealLoop is the museum's case: the origin is the door's own listener.
func TestRealLoop(t *testing.T) {
	var log syncLog
	var d *door
	front := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) { d.Config.Handler.ServeHTTP(w, r) })
	d = openDoor(t, func(c *Config) { c.Log = log.logger() }, front.URL)
	for range 20 {
		resp, err := d.Client().Get(front.URL)
		if err != nil || resp.StatusCode != 508 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
		d.last(2) // the request and itself again, and no more
	}
	if len(d.done) != 0 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%d more forwards; log:\n%s", len(d.done), log.String())
	}
}

func TestRealHealthChecks(t *testing.T) {
	var mu sync.Mutex
	sick, asked := true, make(chan struct{}, 1000)
	o := serveOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Host != "shop.example" || r.URL.Path != "/healthz" {
			t.Errorf("asked for %s%s", r.Host, r.URL)
		}
		if sick {
			w.WriteHeader(500)
		}
		asked <- struct{}{}
	})
	d := openDoor(t, func(c *Config) {
		c.Hosts = []string{"shop.example"}
		c.Health = &policy.Health{Path: "/healthz", Every: policy.Duration(5 * time.Millisecond)}
	}, o.URL)
	stop := runs(d.pool)
	defer stop()
	for range checkAfter + 1 {
		<-asked
	}
	if d.pool.Status()[0].Up {
		t.Error("the check fails and the origin is up")
	}
	mu.Lock()
	sick = false
	mu.Unlock()
	for len(asked) > 0 {
		<-asked
	}
	for range 3 {
		<-asked
	}
	if s := d.pool.Status()[0]; !s.Up {
		t.Errorf("%+v", s)
	}
}

func BenchmarkRealForward(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	answer := []byte("HTTP/1.1 200 OK\r\nServer: app\r\nDate: Tue, 24 Nov 2026 00:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for buf := make([]byte, 8192); ; {
					if _, err := c.Read(buf); err != nil {
						return
					}
					c.Write(answer)
				}
			}()
		}
	}()
	p, err := New(Config{Site: "s", Token: testToken, PreserveHost: true, Origins: []policy.Origin{{URL: "http://" + l.Addr().String()}}})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	ex, o := stillExchange{visitor("GET", "/", "User-Agent: x", "Accept: */*")}, *facts()
	o.Facts.Client = netip.MustParseAddr("192.0.2.7")
	b.ReportAllocs()
	for b.Loop() {
		if r := p.Forward(ex, &o); r != "" {
			b.Fatal(r, o.Err)
		}
	}
}
