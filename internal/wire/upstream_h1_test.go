package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stormdoor/flow"
)

// script is an origin of which every byte is written by the test.
type script struct {
	net.Listener
	conns atomic.Int64
}

// newScript serves each connection with f, which gets the reader of what the client sends.
func newScript(t testing.TB, f func(c net.Conn, br *bufio.Reader)) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{Listener: l}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				f(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

// answering reads requests and answers each with the next of the texts; after the last it closes.
func answering(texts ...string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, br *bufio.Reader) {
		for _, text := range texts {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, text)
		}
	}
}

func upstreamTo(t testing.TB, l net.Listener, change ...func(*UpstreamConfig)) Upstream {
	cfg := UpstreamConfig{Network: "tcp", Address: l.Addr().String()}
	for _, f := range change {
		f(&cfg)
	}
	u := NewUpstream(cfg)
	t.Cleanup(u.Close)
	return u
}

func getRequest(target string) *Request {
	return &Request{Proto: flow.HTTP11, Method: "GET", Target: target, Scheme: "http", Authority: "a.test"}
}

func faultOf(err error) Fault {
	var u *UpstreamError
	if errors.As(err, &u) {
		return u.Fault
	}
	return 0
}

func roundTrip(u Upstream, r *Request) (*Response, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	res, err := u.RoundTrip(ctx, r, nil, nil, Hooks{})
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

func TestAnswersRead(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, method, answer string
		status               int
		length               int64
		body                 string
		reused               bool
	}{
		{"sized", "GET", ok + "Content-Length: 5\r\n\r\nhello", 200, 5, "hello", true},
		{"empty", "GET", ok + "Content-Length: 0\r\n\r\n", 200, 0, "", true},
		{"chunked", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00\r\n\r\n", 200, -1, "hello", true},
		{"chunked upper case, extension", "GET", ok + "transfer-encoding: Chunked\r\n\r\nA;x=\"y z\"\r\n0123456789\r\n0\r\n\r\n", 200, -1, "0123456789", true},
		{"until the end", "GET", ok + "\r\nhello", 200, -1, "hello", false},
		{"until the end 1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", 200, -1, "hello", false},
		{"1.0 sized", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, "hello", false},
		{"1.0 kept", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", 200, 5, "hello", true},
		{"close", "GET", ok + "Connection: x, Close\r\nContent-Length: 5\r\n\r\nhello", 200, 5, "hello", false},
		{"head", "HEAD", ok + "Content-Length: 500\r\n\r\n", 200, 500, "", true},
		{"head chunked", "HEAD", ok + "Transfer-Encoding: chunked\r\n\r\n", 200, -1, "", true},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, -1, "", true},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, 7, "", true},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, 2, "ok", true},
		{"odd status", "GET", "HTTP/1.1 999 Hm\r\nContent-Length: 2\r\n\r\nok", 999, 2, "ok", true},
		{"LF alone", "GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, 2, "ok", true},
		{"LF in the last value", "GET", "HTTP/1.1 204 No Content\r\nX: a\n\r\n", 204, -1, "", true},
		{"more than announced", "GET", ok + "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200, 2, "ok", false},
		{"more after chunks", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200, -1, "ok", false},
		{"more after head", "HEAD", ok + "Content-Length: 2\r\n\r\nok", 200, 2, "", false},
		{"more after 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", 304, 2, "", false},
		{"interim", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok", 200, 2, "ok", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
				answering(tt.answer)(c, br)
				if !strings.HasPrefix(tt.name, "until") {
					_, _ = br.ReadByte() // keep it open
				}
			})
			u := upstreamTo(t, origin)
			r := getRequest("/")
			r.Method = tt.method
			res, body, err := roundTrip(u, r)
			if err != nil {
				t.Fatal(err)
			}
			if res.Status != tt.status || res.Length != tt.length || string(body) != tt.body {
				t.Errorf("got %d, length %d, %q", res.Status, res.Length, body)
			}
			if idle := u.(*h1Upstream).idle.n == 1; idle != tt.reused {
				t.Errorf("connection kept: %v", idle)
			}
		})
	}
}

func TestAnswersRefused(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := map[string]string{
		"not HTTP":               "hello, this is not HTTP\r\n\r\n",
		"not HTTP, one line":     "hello, this is not HTTP\r\n",
		"empty line first":       "\r\n" + ok + "\r\n",
		"status letters":         "HTTP/1.1 abc OK\r\n\r\n",
		"status of 4 digits":     "HTTP/1.1 2000 OK\r\n\r\n",
		"status 099":             "HTTP/1.1 099 OK\r\n\r\n",
		"version 2":              "HTTP/2 200 OK\r\n\r\n",
		"version 1.2":            "HTTP/1.2 200 OK\r\n\r\n",
		"lower case":             "http/1.1 200 OK\r\n\r\n",
		"two spaces":             "HTTP/1.1  200 OK\r\n\r\n",
		"control in reason":      "HTTP/1.1 200 O\x00K\r\n\r\n",
		"two lengths":            ok + "Content-Length: 5\r\nContent-Length: 9\r\n\r\nhello",
		"two equal lengths":      ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"list of lengths":        ok + "Content-Length: 5, 5\r\n\r\nhello",
		"negative length":        ok + "Content-Length: -5\r\n\r\nhello",
		"length with plus":       ok + "Content-Length: +5\r\n\r\nhello",
		"length too large":       ok + "Content-Length: 99999999999999999999\r\n\r\nhello",
		"unknown coding":         ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"two codings":            ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"both framings":          ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"split by LF":            ok + "Location: /a\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
		"split by LF, body":      ok + "X: a\n\n<script>\r\nContent-Length: 0\r\n\r\n",
		"LF behind the status":   "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"CRLF among LFs":         "HTTP/1.1 200 OK\nX: a\r\nContent-Length: 0\n\n",
		"coding in 1.0":          "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"fold":                   ok + "X: a\r\n b\r\n\r\n",
		"space before colon":     ok + "Content-Length : 5\r\n\r\nhello",
		"name with space":        ok + "Content Length: 5\r\n\r\nhello",
		"no colon":               ok + "Content-Length\r\n\r\n",
		"empty name":             ok + ": x\r\n\r\n",
		"NUL":                    ok + "X: a\x00b\r\n\r\n",
		"CR in value":            ok + "X: a\rb\r\n\r\n",
		"head too large":         ok + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 70) + "\r\n",
		"one line too large":     ok + "X: " + strings.Repeat("a", 70000),
		"too many fields":        ok + strings.Repeat("X: 1\r\n", upMaxFields+1) + "\r\n",
		"101 not asked for":      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"too many interim heads": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", upMaxInforms+1) + ok + "\r\n",
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			u := upstreamTo(t, newScript(t, func(c net.Conn, br *bufio.Reader) {
				answering(answer)(c, br)
				_, _ = br.ReadByte()
			}))
			_, _, err := roundTrip(u, getRequest("/"))
			if faultOf(err) != FaultGarbage {
				t.Errorf("got %v", err)
			}
			if n := u.(*h1Upstream).idle.n; n != 0 {
				t.Errorf("%d connections kept", n)
			}
		})
	}
}

func TestBodiesBrokenOff(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := []struct {
		name, answer, body string
		cut                bool // the connection closes early, rather than the body being malformed
	}{
		{"sized", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "hello", true},
		{"in chunk", chunked + "10\r\nhello", "hello", true},
		{"behind chunk", chunked + "5\r\nhello\r\n", "hello", true},
		{"no last line", chunked + "5\r\nhello\r\n0\r\n", "hello", true},
		{"in trailer", chunked + "5\r\nhello\r\n0\r\nX: y\r\n", "hello", true},
		{"bad size", chunked + "5\r\nhello\r\nzz\r\n", "hello", false},
		{"empty size", chunked + "5\r\nhello\r\n\r\n0\r\n\r\n", "hello", false},
		{"0x", chunked + "5\r\nhello\r\n0x1\r\na\r\n0\r\n\r\n", "hello", false},
		{"negative", chunked + "-5\r\nhello\r\n0\r\n\r\n", "", false},
		{"17 digits", chunked + "00000000000000005\r\nhello\r\n0\r\n\r\n", "", false},
		{"overflow", chunked + "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "", false},
		{"space behind size", chunked + "5 \r\nhello\r\n0\r\n\r\n", "", false},
		{"LF alone", chunked + "5\nhello\r\n0\r\n\r\n", "", false},
		{"LF alone behind data", chunked + "5\r\nhello\n0\r\n\r\n", "hello", false},
		{"data too long", chunked + "5\r\nhelloo\r\n0\r\n\r\n", "hello", false},
		{"odd extension", chunked + "5;\r\nhello\r\n0\r\n\r\n", "", false},
		{"open quote", chunked + "5;a=\"b\r\nhello\r\n0\r\n\r\n", "", false},
		{"CR in extension", chunked + "5;a\rb\r\nhello\r\n0\r\n\r\n", "", false},
		{"long extension", chunked + "5;" + strings.Repeat("a", 300) + "\r\nhello\r\n0\r\n\r\n", "", false},
		{"framing trailer", chunked + "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "hello", false},
		{"folded trailer", chunked + "5\r\nhello\r\n0\r\nX: 5\r\n y\r\n\r\n", "hello", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := upstreamTo(t, newScript(t, answering(tt.answer)))
			_, body, err := roundTrip(u, getRequest("/"))
			var malformed *MalformedError
			if tt.cut && !errors.Is(err, io.ErrUnexpectedEOF) || !tt.cut && !errors.As(err, &malformed) {
				t.Errorf("got %v", err)
			}
			if string(body) != tt.body {
				t.Errorf("body %q", body)
			}
		})
	}
}

func TestTinyChunksAreRefused(t *testing.T) {
	u := upstreamTo(t, newScript(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+
		strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\na\r\n", 1000)+"0\r\n\r\n")))
	if _, _, err := roundTrip(u, getRequest("/")); !errors.Is(err, errChunkWaste) {
		t.Errorf("got %v", err)
	}
}

func TestRequestAsWritten(t *testing.T) {
	const done = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	got := make(chan string, 1)
	origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
		var raw bytes.Buffer
		r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(br, &raw)))
		if err != nil {
			got <- err.Error()
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		got <- raw.String()
		_, _ = io.WriteString(c, done)
	})
	h := flow.NewHeader(4)
	h.Add("Host", "not.this")
	h.Add("x-First", "1")
	h.Add("Connection", "keep-alive")
	h.Add("Content-Length", "77")
	h.Add("Transfer-Encoding", "gzip")
	h.Add("X-SECOND", "")
	trailer := func() flow.Header {
		h := flow.NewHeader(2)
		h.Add("X-Sum", "42")
		h.Add("Host", "evil")
		return h
	}
	onlyReader := struct{ io.Reader }{strings.NewReader("hello")}
	tests := []struct {
		name string
		r    Request
		body io.Reader
		want string
	}{
		{"get", Request{Method: "GET", Target: "/a?b", Authority: "h:1", Header: h}, nil,
			"GET /a?b HTTP/1.1\r\nHost: h:1\r\nx-First: 1\r\nX-SECOND: \r\n\r\n"},
		{"empty post", Request{Method: "POST", Target: "/", Authority: "h"}, nil,
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
		{"small post", Request{Method: "POST", Target: "/", Authority: "h", Length: 5}, strings.NewReader("hello"),
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"},
		{"pumped post", Request{Method: "POST", Target: "/", Authority: "h", Length: 5}, onlyReader,
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"},
		{"chunked", Request{Method: "PUT", Target: "/", Authority: "h", Length: -1}, strings.NewReader("hello hello hello"),
			"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11\r\nhello hello hello\r\n0\r\nX-Sum: 42\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := upstreamTo(t, origin)
			res, err := u.RoundTrip(context.Background(), &tt.r, tt.body, trailer, Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if s := <-got; s != tt.want {
				t.Errorf("sent %q", s)
			}
		})
	}
}

func TestUnsendableRequests(t *testing.T) {
	origin := newScript(t, func(net.Conn, *bufio.Reader) { t.Error("a connection was opened") })
	header := func(name, value string) (h flow.Header) { h.Add(name, value); return h }
	for _, r := range []Request{
		{Method: "GET\r\nX: y", Target: "/", Authority: "h"},
		{Method: "", Target: "/", Authority: "h"},
		{Method: "GET", Target: "/ HTTP/1.1\r\nX: y", Authority: "h"},
		{Method: "GET", Target: "", Authority: "h"},
		{Method: "GET", Target: "/\x00", Authority: "h"},
		{Method: "GET", Target: "/", Authority: "h\r\nX: y"},
		{Method: "GET", Target: "/", Authority: "h", Header: header("X\r\n", "y")},
		{Method: "GET", Target: "/", Authority: "h", Header: header("X:", "y")},
		{Method: "GET", Target: "/", Authority: "h", Header: header("X", "y\nz")},
		{Method: "GET", Target: "/", Authority: "h", Header: header("X", "y\x00")},
		{Method: "GET", Target: "/", Authority: "h", Upgrade: "x\r\nY: z"},
		{Method: "POST", Target: "/", Authority: "h", Length: 5},
	} {
		for _, http2 := range []bool{false, true} {
			if http2 && r.Upgrade != "" {
				continue
			}
			u := upstreamTo(t, origin, func(c *UpstreamConfig) { c.HTTP2 = http2 })
			_, err := u.RoundTrip(context.Background(), &r, nil, nil, Hooks{})
			if faultOf(err) != FaultBody {
				t.Errorf("%+v: %v", r, err)
			}
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path)
		}
	})
	u := upstreamTo(t, origin)
	for i := range 20 {
		target := fmt.Sprintf("/%d", i)
		r, body := getRequest(target), io.Reader(nil)
		if i%2 == 1 {
			r.Method, r.Length, body = "POST", 3, struct{ io.Reader }{strings.NewReader("abc")}
		}
		res, err := u.RoundTrip(context.Background(), r, body, nil, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != target {
			t.Fatalf("%d: %q %v", i, b, err)
		}
	}
	if n := origin.conns.Load(); n > 1 {
		t.Errorf("%d connections for 20 requests", n)
	}
}

func TestStaleConnections(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	t.Run("closed while idle is noticed", func(t *testing.T) {
		closed := make(chan bool, 9)
		origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
			answering(ok)(c, br)
			c.Close()
			closed <- true
		})
		u := upstreamTo(t, origin)
		for range 5 {
			if _, _, err := roundTrip(u, getRequest("/")); err != nil {
				t.Fatal(err)
			}
			<-closed
		}
	})
	t.Run("bytes while idle", func(t *testing.T) {
		late := make(chan bool, 9)
		origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
			answering(ok)(c, br)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			late <- true
			_, _ = br.ReadByte()
		})
		u := upstreamTo(t, origin)
		for range 3 {
			_, body, err := roundTrip(u, getRequest("/"))
			if err != nil || string(body) != "ok" {
				t.Fatalf("%q %v", body, err)
			}
			<-late
		}
	})
	t.Run("closed on reuse", func(t *testing.T) {
		origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
			answering(ok, "")(c, br)
		})
		u := upstreamTo(t, origin)
		if _, _, err := roundTrip(u, getRequest("/")); err != nil {
			t.Fatal(err)
		}
		_, _, err := roundTrip(u, getRequest("/"))
		if faultOf(err) != FaultStale {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("fresh and closed", func(t *testing.T) {
		u := upstreamTo(t, newScript(t, answering("")))
		if _, _, err := roundTrip(u, getRequest("/")); faultOf(err) != FaultClosed {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		l, _ := net.Listen("tcp", "127.0.0.1:0")
		l.Close()
		_, _, err := roundTrip(upstreamTo(t, l), getRequest("/"))
		var ue *UpstreamError
		if !errors.As(err, &ue) || ue.Fault != FaultDial || !ue.Unseen {
			t.Fatalf("got %v", err)
		}
	})
}

func TestEarlyAnswer(t *testing.T) {
	origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = br.ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nstop")
		_, _ = io.Copy(io.Discard, br)
	})
	u := upstreamTo(t, origin)
	pr, pw := io.Pipe()
	defer pw.Close()
	r := &Request{Method: "POST", Target: "/", Authority: "h", Length: -1}
	res, err := u.RoundTrip(context.Background(), r, pr, nil, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); res.Status != 413 || string(b) != "stop" || err != nil {
		t.Errorf("got %d %q %v", res.Status, b, err)
	}
	if n := u.(*h1Upstream).idle.n; n != 0 {
		t.Error("a connection with half a request was kept")
	}
}

func TestBodyThatFails(t *testing.T) {
	for _, length := range []int64{-1, 100} {
		u := upstreamTo(t, newScript(t, func(_ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) }))
		body := io.MultiReader(strings.NewReader("hello"), iotestErr{errors.New("visitor left")})
		r := &Request{Method: "POST", Target: "/", Authority: "h", Length: length}
		if _, err := u.RoundTrip(context.Background(), r, body, nil, Hooks{}); faultOf(err) != FaultBody || !strings.Contains(err.Error(), "visitor left") {
			t.Errorf("length %d: %v", length, err)
		}
	}
	u := upstreamTo(t, newScript(t, func(_ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) }))
	r := &Request{Method: "POST", Target: "/", Authority: "h", Length: 9}
	if _, err := u.RoundTrip(context.Background(), r, struct{ io.Reader }{strings.NewReader("short")}, nil, Hooks{}); faultOf(err) != FaultBody {
		t.Errorf("short body: %v", err)
	}
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }

func TestCancel(t *testing.T) {
	got := make(chan bool, 1)
	origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		}
		got <- true
		_, err = br.ReadByte()
		got <- err != nil
	})
	u := upstreamTo(t, origin)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-got; cancel() }()
	if _, err := u.RoundTrip(ctx, getRequest("/"), nil, nil, Hooks{}); faultOf(err) != FaultCanceled {
		t.Fatalf("got %v", err)
	}
	<-got // the origin has seen the end
	ctx, cancel = context.WithCancel(context.Background())
	res, err := u.RoundTrip(ctx, getRequest("/body"), nil, nil, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-got; cancel() }()
	if b, err := io.ReadAll(res.Body); string(b) != "half" || faultOf(err) != FaultCanceled {
		t.Fatalf("got %q %v", b, err)
	}
	<-got
	if _, err := u.RoundTrip(ctx, getRequest("/"), nil, nil, Hooks{}); faultOf(err) != FaultCanceled {
		t.Fatalf("got %v", err)
	}
}

func TestTimeouts(t *testing.T) {
	origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err == nil && r.URL.Path == "/body" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		}
		_, _ = br.ReadByte()
	})
	u := upstreamTo(t, origin, func(c *UpstreamConfig) { c.ResponseTimeout, c.IdleTimeout = 30*time.Millisecond, 30*time.Millisecond })
	_, _, err := roundTrip(u, getRequest("/"))
	if faultOf(err) != FaultTimeout {
		t.Errorf("head: %v", err)
	}
	_, body, err := roundTrip(u, getRequest("/body"))
	if faultOf(err) != FaultTimeout || !errors.Is(err, os.ErrDeadlineExceeded) || string(body) != "half" {
		t.Errorf("body: %q %v", body, err)
	}
}

func TestInformsAndTrailers(t *testing.T) {
	u := upstreamTo(t, newScript(t, answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\nSet-Cookie: no\r\n\r\n")))
	var seen []string
	wrote := 0
	res, err := u.RoundTrip(context.Background(), getRequest("/"), nil, nil, Hooks{
		Inform: func(status int, h flow.Header) { seen = append(seen, fmt.Sprint(status, h.Get("link"))) },
		Wrote:  func() { wrote++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); string(b) != "ok" || err != nil {
		t.Fatalf("%q %v", b, err)
	}
	if fmt.Sprint(seen) != "[100 103 </a>]" && fmt.Sprint(seen) != "[100 103</a>]" || wrote != 1 {
		t.Errorf("informed %q, wrote %d", seen, wrote)
	}
	if h := res.Trailer(); h.Len() != 1 || h.Get("x-sum") != "42" {
		t.Errorf("trailer %v", h)
	}
}

func TestUpgradedConnection(t *testing.T) {
	head := make(chan string, 1)
	u := upstreamTo(t, newScript(t, func(c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		head <- r.Header.Get("Connection") + " " + r.Header.Get("Upgrade")
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nearly")
		_, _ = io.Copy(c, br)
	}))
	r := getRequest("/")
	r.Upgrade = "websocket"
	res, err := u.RoundTrip(context.Background(), r, nil, nil, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	if s := <-head; s != "Upgrade websocket" {
		t.Errorf("sent %q", s)
	}
	_, _ = io.WriteString(res.Stream, " late")
	if err := res.Stream.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Stream); string(b) != "early late" || err != nil {
		t.Errorf("got %q %v", b, err)
	}
	res.Stream.Close()
}

func TestTLSUpstream(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Proto, " ", r.TLS.NegotiatedProtocol)
		}))
		s.EnableHTTP2 = h2
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		u := upstreamTo(t, s.Listener, func(c *UpstreamConfig) {
			c.TLS, c.HTTP2 = &tls.Config{RootCAs: roots, ServerName: "example.com"}, h2
		})
		want := "HTTP/1.1 http/1.1"
		if h2 {
			want = "HTTP/2.0 h2"
		}
		for range 3 {
			if _, b, err := roundTrip(u, getRequest("/")); err != nil || string(b) != want {
				t.Errorf("h2 %v: %q %v", h2, b, err)
			}
		}
		if u, ok := u.(*h1Upstream); ok && u.idle.n != 1 {
			t.Errorf("%d connections kept", u.idle.n)
		}
		wrong := upstreamTo(t, s.Listener, func(c *UpstreamConfig) { c.TLS, c.HTTP2 = &tls.Config{}, h2 })
		if _, _, err := roundTrip(wrong, getRequest("/")); faultOf(err) != FaultDial {
			t.Errorf("untrusted certificate: %v", err)
		}
		wrong.Close()
		u.Close()
		s.Close()
	}
}

func TestIdleConnectionsExpire(t *testing.T) {
	gone := make(chan bool, 3)
	u := upstreamTo(t, newScript(t, func(c net.Conn, br *bufio.Reader) {
		answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c, br)
		_, err := br.ReadByte()
		gone <- err != nil
	}), func(c *UpstreamConfig) { c.KeepIdle = 20 * time.Millisecond })
	if _, _, err := roundTrip(u, getRequest("/")); err != nil {
		t.Fatal(err)
	}
	if !<-gone {
		t.Error("the origin saw no end")
	}
}

func BenchmarkUpstreamGet(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	origin := newScript(b, func(c net.Conn, br *bufio.Reader) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	u := upstreamTo(b, origin)
	r := getRequest("/")
	r.Header.Add("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0")
	r.Header.Add("Accept", "*/*")
	buf := make([]byte, 32<<10)
	b.ReportAllocs()
	for b.Loop() {
		res, err := u.RoundTrip(context.Background(), r, nil, nil, Hooks{})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = res.Body.Read(buf)
		}
	}
}
