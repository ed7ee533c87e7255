package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/reactor"
)

// h1Serve serves on loopback until the test ends, and returns the address.
func h1Serve(t testing.TB, cfg ServerConfig) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(cfg)
	done := make(chan error, 1)
	group, stop := eventLoops(t)
	if l, err = group.Listener(l); err != nil {
		t.Fatal(err)
	}
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		<-s.empty
		stop()
	})
	return s, l.Addr().String()
}

// loops is whether servers of clear text run on event loops, as they do in the door; without, each connection has a goroutine
// of its own, as elsewhere. The tests are the same.
var loops = flag.Bool("loops", true, "serve on event loops")

// eventLoops runs an event loop until stop, or none.
func eventLoops(t testing.TB) (group *reactor.Group, stop func()) {
	t.Helper()
	group, err := reactor.New(1)
	if !*loops || errors.Is(err, errors.ErrUnsupported) {
		return nil, func() {}
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- group.Run(ctx) }()
	return group, func() {
		cancel()
		<-done
	}
}

// talk sends raw and returns everything that comes back until the end of the connection.
func talk(t testing.TB, addr, raw string) string {
	t.Helper()
	c := dialTest(t, addr)
	_, _ = io.WriteString(c, raw)
	_ = c.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(c)
	return string(b)
}

func dialTest(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// h1Echo answers with what it has understood.
func h1Echo(ex Exchange) {
	r := ex.Request()
	body, err := io.ReadAll(ex.Body())
	var malformed *MalformedError
	if errors.As(err, &malformed) {
		ex.CloseAfter()
		_ = ex.Respond(malformed.Status, flow.Header{}, 0)
		_ = ex.End(flow.Header{})
		return
	}
	text := fmt.Sprintf("%s %s %s %s %q %v", r.Proto, r.Method, r.Target, r.Authority, body, err)
	if err := ex.Respond(200, flow.Header{}, int64(len(text))); err != nil {
		panic(err)
	}
	_, _ = io.WriteString(ex, text)
	_ = ex.End(flow.Header{})
}

type h1Vector struct {
	status    int
	name, raw string
}

func h1Vectors(t testing.TB) (all []h1Vector) {
	b, err := os.ReadFile("testdata/h1_requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			t.Fatalf("%q", line)
		}
		status, err := strconv.Atoi(f[0])
		raw, err2 := strconv.Unquote(f[2])
		if err != nil || err2 != nil {
			t.Fatalf("%q: %v %v", line, err, err2)
		}
		all = append(all, h1Vector{status, f[1], raw})
	}
	return all
}

// Each request is followed by another: it must be served when the first was, and never otherwise.
func TestH1Vectors(t *testing.T) {
	_, addr := h1Serve(t, ServerConfig{Handle: h1Echo})
	const next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, v := range h1Vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			br := bufio.NewReader(strings.NewReader(talk(t, addr, v.raw+next)))
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != v.status {
				t.Fatalf("answered %d %s", res.StatusCode, body)
			}
			rest, _ := io.ReadAll(br)
			if served := strings.Contains(string(rest), "/next"); served != (v.status == 200) {
				t.Errorf("behind it: %q", rest)
			}
			if v.status != 200 && !res.Close {
				t.Error("no Connection: close")
			}
		})
	}
}

func TestH1WhatIsUnderstood(t *testing.T) {
	seen := make(chan string, 9)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		r := ex.Request()
		b, _ := io.ReadAll(ex.Body())
		var names []string
		for f := range r.Header.All() {
			names = append(names, f.Name+"="+f.Value)
		}
		sum := ex.Trailer()
		seen <- fmt.Sprintf("%s %s %s %s %s %d %q up=%q tr=%v %s sum=%s", r.Proto, r.Method, r.Target, r.Scheme, r.Authority, r.Length, b,
			r.Upgrade, r.Trailers, strings.Join(names, "|"), sum.Get("x-sum"))
		_ = ex.Respond(204, flow.Header{}, -1)
		_ = ex.End(flow.Header{})
	}})
	tests := map[string]string{
		"GET /a?b HTTP/1.1\r\nhost: A.b\r\nX-b: 1\r\nTE: trailers\r\nx-B:  2 \r\n\r\n":                                           `HTTP/1.1 GET /a?b http A.b 0 "" up="" tr=true host=A.b|X-b=1|TE=trailers|x-B=2 sum=`,
		"GET http://h:1/x HTTP/1.1\r\nHost: H:1\r\n\r\n":                                                                         `HTTP/1.1 GET /x http h:1 0 "" up="" tr=false Host=H:1 sum=`,
		"OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n":                                                                           `HTTP/1.1 OPTIONS * http h 0 "" up="" tr=false Host=h sum=`,
		"GET http://h HTTP/1.0\r\n\r\n":                                                                                          `HTTP/1.0 GET / http h 0 "" up="" tr=false  sum=`,
		"GET / HTTP/1.0\r\nTE: trailers\r\n\r\n":                                                                                 `HTTP/1.0 GET / http  0 "" up="" tr=false TE=trailers sum=`,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, UPGRADE\r\nUpgrade: h2c, WebSocket, x/1\r\n\r\n":                   `HTTP/1.1 GET / http h 0 "" up="websocket" tr=false Host=h|Connection=keep-alive, UPGRADE|Upgrade=h2c, WebSocket, x/1 sum=`,
		"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nX-Sum: 7\r\nDate: x\r\n\r\n": `HTTP/1.1 PUT / http h -1 "abc" up="" tr=false Host=h|Transfer-Encoding=chunked sum=7`,
	}
	for raw, want := range tests {
		talk(t, addr, raw)
		if got := <-seen; got != want {
			t.Errorf("%q\n got %s\nwant %s", raw, got, want)
		}
	}
}

func TestH1Limits(t *testing.T) {
	var mu sync.Mutex
	var said []*MalformedError
	_, addr := h1Serve(t, ServerConfig{Handle: h1Echo, MaxHeadBytes: 8 << 10, MaxFields: 10, Unread: func(_ *Conn, _ flow.Proto, err *MalformedError) (h flow.Header) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, err)
		return h
	}})
	const get = "GET / HTTP/1.1\r\nHost: a\r\n"
	tests := map[string]string{
		get + "X: " + strings.Repeat("x", 8000) + "\r\n\r\n": "200",
		get + "X: " + strings.Repeat("x", 9000) + "\r\n\r\n": "431",
		get + "X: " + strings.Repeat("x", 100000):            "431",
		get + strings.Repeat("X: y\r\n", 9) + "\r\n":         "200",
		get + strings.Repeat("X: y\r\n", 10) + "\r\n":        "431",
		"GET /" + strings.Repeat("x", 9000):                  "414",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: y\r\n", 12) + "\r\n":                   "431",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + strings.Repeat("x", 9000) + "\r\n\r\n":                 "431",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("e", 200)+"\r\na\r\n", 200): "400",
	}
	for raw, want := range tests {
		if got := talk(t, addr, raw); !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("%.40q of %d bytes: %.60q", raw, len(raw), got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(said) != 4 { // the three of bodies are the handler's
		t.Errorf("told: %v", said)
	}
}

// The first line is judged before the rest is there.
func TestH1GarbageIsNotWaitedFor(t *testing.T) {
	_, addr := h1Serve(t, ServerConfig{Handle: h1Echo})
	for _, raw := range []string{"hello\r\n", "GET / HTTP/1.1\n", "\x16\x03\x01\x02\x00\x01\x00\n"} {
		c := dialTest(t, addr)
		_, _ = io.WriteString(c, raw)
		if line, _ := bufio.NewReader(c).ReadString('\n'); line != "HTTP/1.1 400 Bad Request\r\n" {
			t.Errorf("%q: %q", raw, line)
		}
	}
}

// Who begins HTTP/2 wrongly gets no answer in HTTP/1.1.
func TestH1BrokenPreface(t *testing.T) {
	_, addr := h1Serve(t, ServerConfig{Handle: h1Echo})
	if got := talk(t, addr, "INVALID CONNECTION PREFACE\r\n\r\n"); got != "" {
		t.Errorf("answered %q", got)
	}
}

func TestH1AnswersAsWritten(t *testing.T) {
	type step func(ex Exchange)
	write := func(s string) step { return func(ex Exchange) { _, _ = io.WriteString(ex, s) } }
	header := func(kv ...string) (h flow.Header) {
		h.Add("Date", "D")
		for i := 0; i < len(kv); i += 2 {
			h.Add(kv[i], kv[i+1])
		}
		return h
	}
	big := strings.Repeat("x", 10000)
	const get, old, trailers = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"
	tests := []struct {
		name, request string
		status        int
		h             flow.Header
		length        int64
		steps         []step
		trailer       flow.Header
		want          string
	}{
		{"sized", get, 200, header("X-y", "1", "x-Y", "2"), 5, []step{write("he"), write("llo")}, header(),
			"HTTP/1.1 200 OK\r\nDate: D\r\nX-y: 1\r\nx-Y: 2\r\nContent-Length: 5\r\n\r\nhello"},
		{"empty", get, 404, header(), 0, nil, header(), "HTTP/1.1 404 Not Found\r\nDate: D\r\nContent-Length: 0\r\n\r\n"},
		{"chunked", get, 200, header(), -1, []step{write("hello "), write("you")}, header("X-Sum", "1"),
			"HTTP/1.1 200 OK\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n3\r\nyou\r\n0\r\n\r\n"},
		{"trailer", trailers, 200, header(), -1, []step{write("hello")}, header("X-Sum", "1", "Content-Length", "9"),
			"HTTP/1.1 200 OK\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{"big", get, 200, header(), 10000, []step{write(big)}, header(), "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 10000\r\n\r\n" + big},
		{"big chunk", get, 200, header(), -1, []step{write("a"), write(big), write("b")}, header(),
			"HTTP/1.1 200 OK\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2710\r\n" + big + "\r\n1\r\nb\r\n0\r\n\r\n"},
		{"1.0 sized", old, 200, header(), 2, []step{write("ok")}, header(), "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
		{"1.0 unknown", old, 200, header(), -1, []step{write("ok")}, header(), "HTTP/1.1 200 OK\r\nDate: D\r\nConnection: close\r\n\r\nok"},
		{"1.0 kept", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200, header(), 2, []step{write("ok")}, header(),
			"HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"},
		{"close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, header(), 2, []step{write("ok")}, header(),
			"HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
		{"close after", get, 200, header(), 2, []step{write("ok")}, header(), "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
		{"head", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, header(), 500, []step{write("no")}, header(), "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 500\r\n\r\n"},
		{"head unknown", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, header(), -1, nil, header(), "HTTP/1.1 200 OK\r\nDate: D\r\n\r\n"},
		{"204", get, 204, header(), 7, []step{write("no")}, header(), "HTTP/1.1 204 No Content\r\nDate: D\r\n\r\n"},
		{"304", get, 304, header(), 7, nil, header(), "HTTP/1.1 304 Not Modified\r\nDate: D\r\nContent-Length: 7\r\n\r\n"},
		{"odd status", get, 599, header(), 0, nil, header(), "HTTP/1.1 599 \r\nDate: D\r\nContent-Length: 0\r\n\r\n"},
		{"connection fields left out", get, 200, header("Connection", "x", "Content-Length", "9", "transfer-encoding", "gzip", "Keep-Alive", "y", "Upgrade", "z"), 0, nil, header(),
			"HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\n\r\n"},
		{"interim", get, 200, header(), 0, []step{}, header(), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\n\r\n"},
		{"interim 1.0", old, 200, header(), 0, []step{}, header(), "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
				if strings.HasPrefix(tt.name, "interim") {
					var h flow.Header
					h.Add("Link", "</a>")
					if err := ex.Inform(103, h); err != nil {
						t.Error(err)
					}
				}
				if tt.name == "close after" {
					ex.CloseAfter()
				}
				if err := ex.Respond(tt.status, tt.h, tt.length); err != nil {
					t.Error(err)
				}
				for _, s := range tt.steps {
					s(ex)
				}
				if err := ex.End(tt.trailer); err != nil {
					t.Error(err)
				}
			}})
			if got := talk(t, addr, tt.request); got != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestH1Date(t *testing.T) {
	_, addr := h1Serve(t, ServerConfig{Handle: h1Echo})
	res, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if d, err := http.ParseTime(res.Header.Get("Date")); err != nil || time.Since(d).Abs() > time.Minute {
		t.Errorf("Date %v %v", d, err)
	}
}

// An answer that is not complete must not look complete.
func TestH1BrokenAnswers(t *testing.T) {
	tests := map[string]func(ex Exchange){
		"nothing":     func(Exchange) {},
		"abort first": func(ex Exchange) { ex.Abort() },
		"panic":       func(Exchange) { panic("no") },
		"abort": func(ex Exchange) {
			_ = ex.Respond(200, flow.Header{}, -1)
			_, _ = io.WriteString(ex, "half")
			_ = ex.Flush()
			ex.Abort()
		},
		"panic later": func(ex Exchange) { _ = ex.Respond(200, flow.Header{}, -1); _ = ex.Flush(); panic("no") },
		"no end":      func(ex Exchange) { _ = ex.Respond(200, flow.Header{}, -1); _, _ = io.WriteString(ex, "half") },
		"no end of 2": func(ex Exchange) { _ = ex.Respond(200, flow.Header{}, 2); _, _ = io.WriteString(ex, "o") },
		"shorter": func(ex Exchange) {
			_ = ex.Respond(200, flow.Header{}, 9)
			_, _ = io.WriteString(ex, "half")
			_ = ex.End(flow.Header{})
		},
		"abort of a 1.0": func(ex Exchange) {
			_ = ex.Respond(200, flow.Header{}, -1)
			_, _ = io.WriteString(ex, "half")
			_ = ex.Flush()
			ex.Abort()
		},
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			_, addr := h1Serve(t, ServerConfig{Handle: f})
			c := dialTest(t, addr)
			version := "HTTP/1.1"
			if strings.HasSuffix(name, "1.0") {
				version = "HTTP/1.0"
			}
			fmt.Fprintf(c, "GET / %s\r\nHost: a\r\n\r\n", version)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				_, err = io.ReadAll(res.Body)
			}
			if err == nil {
				t.Error("the client saw a complete answer")
			}
		})
	}
}

// Of an answer that breaks off, the visitor has what came before, and a break that it can tell.
func TestH1ABrokenAnswerIsGivenAsFarAsItCame(t *testing.T) {
	const much = 200 << 10
	for name, length := range map[string]int64{"in chunks": -1, "of a length": much + 1} {
		_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
			_ = ex.Respond(200, flow.Header{}, length)
			_, _ = ex.Write(bytes.Repeat([]byte("x"), much))
			ex.Abort()
		}})
		c := dialTest(t, addr)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(name, err)
		}
		if body, err := io.ReadAll(res.Body); len(body) != much || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %d of %d bytes, %v", name, len(body), much, err)
		}
	}
}

func TestH1MisuseIsAnError(t *testing.T) {
	done := make(chan []error, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		var bad flow.Header
		bad.Add("X", "a\r\nY: b")
		_, e1 := ex.Write([]byte("x"))
		_, e2 := ex.Upgrade(flow.Header{})
		errs := []error{e1, e2, ex.Flush(), ex.End(flow.Header{}), ex.Respond(101, flow.Header{}, 0), ex.Respond(1000, flow.Header{}, 0),
			ex.Respond(200, bad, 0), ex.Inform(101, flow.Header{}), ex.Inform(200, flow.Header{}), ex.Inform(103, bad)}
		if err := ex.Respond(200, flow.Header{}, 2); err != nil {
			t.Error(err)
		}
		_, e3 := ex.Write([]byte("too long"))
		errs = append(errs, ex.Respond(200, flow.Header{}, 0), e3, ex.Inform(103, flow.Header{}))
		_, _ = ex.Write([]byte("ok"))
		_ = ex.End(flow.Header{})
		_, e4 := ex.Write([]byte("more"))
		done <- append(errs, e4, ex.End(flow.Header{}))
	}})
	got := talk(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	for i, err := range <-done {
		if err == nil {
			t.Errorf("misuse %d went through", i)
		}
	}
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Errorf("answered %q", got)
	}
}

func TestH1Expect(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	read := func(ex Exchange) { h1Echo(ex) }
	refuse := func(ex Exchange) {
		_ = ex.Respond(403, flow.Header{}, 0)
		_ = ex.End(flow.Header{})
	}
	t.Run("read", func(t *testing.T) {
		_, addr := h1Serve(t, ServerConfig{Handle: read})
		c := dialTest(t, addr)
		br := bufio.NewReader(c)
		_, _ = io.WriteString(c, post)
		if line, _ := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q", line)
		}
		_, _ = br.ReadString('\n')
		_, _ = io.WriteString(c, "hello"+"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		for _, want := range []string{`"hello"`, "/next"} {
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), want) {
				t.Errorf("%s", b)
			}
		}
	})
	t.Run("not read", func(t *testing.T) {
		_, addr := h1Serve(t, ServerConfig{Handle: refuse})
		if got := talk(t, addr, post); !strings.HasPrefix(got, "HTTP/1.1 403 Forbidden\r\n") || !strings.Contains(got, "Connection: close\r\n") {
			t.Errorf("%q", got)
		}
	})
	t.Run("1.0", func(t *testing.T) {
		_, addr := h1Serve(t, ServerConfig{Handle: read})
		if got := talk(t, addr, strings.Replace(post, "1.1", "1.0", 1)+"hello"); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("%q", got)
		}
	})
}

// A client that is still sending must be able to read why it is refused.
func TestH1EarlyRefusal(t *testing.T) {
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		_ = ex.Respond(413, flow.Header{}, 4)
		_, _ = io.WriteString(ex, "stop")
		_ = ex.End(flow.Header{})
	}})
	for _, framing := range []string{"Content-Length: 8000000", "Transfer-Encoding: chunked"} {
		c := dialTest(t, addr)
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n", framing)
		if strings.HasPrefix(framing, "T") {
			fmt.Fprintf(c, "%x\r\n", 8000000)
		}
		if n, err := c.Write(make([]byte, 6_000_000)); err != nil {
			t.Errorf("%s: after %d bytes: %v", framing, n, err)
		}
		b, err := io.ReadAll(c)
		if !strings.HasPrefix(string(b), "HTTP/1.1 413") || !strings.HasSuffix(string(b), "stop") || err != nil {
			t.Errorf("%s: %q %v", framing, b, err)
		}
	}
}

// A small rest of a body is read away, so that the connection goes on.
func TestH1SmallRestIsDrained(t *testing.T) {
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		_ = ex.Respond(200, flow.Header{}, 2)
		_, _ = io.WriteString(ex, "ok")
		_ = ex.End(flow.Header{})
	}})
	got := talk(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"+
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"+
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"+
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if n := strings.Count(got, "HTTP/1.1 200 OK"); n != 3 {
		t.Errorf("%d answers: %q", n, got)
	}
}

// Somebody else may read a body when its exchange is over: the next request's bytes are not for him.
func TestH1BodyOutlivesItsExchange(t *testing.T) {
	type result struct {
		n   int
		err error
	}
	results := make(chan result, 2)
	var kept io.Reader
	reading := make(chan bool)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		if ex.Request().Target == "/first" {
			kept = ex.Body()
			go func() {
				reading <- true
				n, err := kept.Read(make([]byte, 10))
				results <- result{n, err}
			}()
			<-reading
			time.Sleep(5 * time.Millisecond) // the reader blocks now, or soon: both must do
		}
		_ = ex.Respond(200, flow.Header{}, 0)
		_ = ex.End(flow.Header{})
	}})
	c := dialTest(t, addr)
	br := bufio.NewReader(c)
	_, _ = io.WriteString(c, "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
		t.Fatal(err)
	}
	if r := <-results; r.n != 0 || r.err == nil {
		t.Errorf("the reader got %d, %v", r.n, r.err)
	}
	_, _ = io.WriteString(c, "hello"+"POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworld")
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
		t.Fatal(err)
	}
	if n, err := kept.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("later it got %d, %v", n, err)
	}
}

func TestH1ContextEnds(t *testing.T) {
	ends := make(chan error, 1)
	begun := make(chan bool, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		ctx := ex.Context()
		if ex.Request().Target == "/quick" {
			done := ctx.Done() // before another goroutine has a use for it
			go func() { <-done; ends <- ctx.Err() }()
			h1Echo(ex)
			return
		}
		h := ex.Request().Target
		if h == "/body" {
			_, _ = io.ReadAll(ex.Body())
		}
		begun <- true
		if h == "/child" {
			child, cancel := context.WithTimeout(context.WithValue(ctx, "k", 1), time.Minute)
			defer cancel()
			ctx = child
		}
		<-ctx.Done()
		ends <- ctx.Err()
	}})
	for _, target := range []string{"/", "/body", "/child"} {
		c := dialTest(t, addr)
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", target)
		if target != "/body" { // without a body there is nothing to wait for
			c.Close()
			c = dialTest(t, addr)
			<-begun
			<-ends
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target)
		}
		<-begun
		c.Close()
		if err := <-ends; err != context.Canceled {
			t.Errorf("%s: %v", target, err)
		}
	}
	talk(t, addr, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := <-ends; err != context.Canceled {
		t.Errorf("at the end of the exchange: %v", err)
	}
}

// The look-out must not eat the next request.
func TestH1LookOutLosesNothing(t *testing.T) {
	waiting, release := make(chan bool), make(chan bool)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		if ex.Request().Target == "/wait" {
			ex.Context().Done()
			waiting <- true
			<-release
		}
		h1Echo(ex)
	}})
	c := dialTest(t, addr)
	br := bufio.NewReader(c)
	for _, early := range []bool{true, false, true} {
		_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
		<-waiting
		if early {
			_, _ = io.WriteString(c, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		time.Sleep(h1LookOut + 50*time.Millisecond) // long enough for it to read
		release <- true
		if !early {
			_, _ = io.WriteString(c, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		for _, want := range []string{"/wait", "/next"} {
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), want) {
				t.Errorf("%s", b)
			}
		}
	}
}

func TestH1Upgrade(t *testing.T) {
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		var h flow.Header
		h.Add("X", "y")
		s, err := ex.Upgrade(h)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(s, s)
		_ = s.CloseWrite()
		_ = s.Close()
	}})
	got := talk(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: Echo\r\n\r\nearly and late")
	if want := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX: y\r\n\r\nearly and late"; got != want {
		t.Errorf("%q", got)
	}
}

func TestH1HandsOverHTTP2(t *testing.T) {
	got := make(chan string, 1)
	h2 := func(c net.Conn) {
		b := make([]byte, len(h1SeenPreface)+4)
		_, err := io.ReadFull(c, b)
		got <- fmt.Sprint(string(b[:3]), " ", string(b[len(h1SeenPreface):]), " ", err)
		c.Close()
	}
	_, addr := h1Serve(t, ServerConfig{Handle: h1Echo, H2: h2})
	c := dialTest(t, addr)
	for _, part := range []string{"PRI *", " HTTP/2.0\r\n\r\nSM\r", "\n\r\nmore"} {
		_, _ = io.WriteString(c, part)
		time.Sleep(2 * time.Millisecond) // apart, most of the time; it must not matter
	}
	if s := <-got; s != "PRI more <nil>" {
		t.Error(s)
	}

	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	defer ts.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	infos := make(chan Conn, 1)
	s := NewServer(ServerConfig{H2: h2, Handle: func(ex Exchange) { infos <- *ex.Conn(); h1Echo(ex) }})
	done := make(chan error)
	go func() {
		done <- s.Serve(tls.NewListener(l, &tls.Config{Certificates: ts.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}))
	}()
	dial := func(proto string) *tls.Conn {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{proto}, ServerName: "Example.com"})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c2 := dial("h2")
	_, _ = io.WriteString(c2, h1SeenPreface+"more")
	if s := <-got; s != "PRI more <nil>" {
		t.Error(s)
	}
	c2.Close()
	c1 := dial("http/1.1")
	_, _ = io.WriteString(c1, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(c1), nil); err != nil || res.StatusCode != 200 {
		t.Error(err)
	}
	if i := <-infos; !i.TLS || i.ServerName != "example.com" || !i.Peer.IsValid() || !i.Local.IsValid() {
		t.Errorf("%+v", i)
	}
	c1.Close()
	s.Close()
	<-done
	<-s.empty
}

func TestH1Shutdown(t *testing.T) {
	waiting, release := make(chan bool), make(chan bool)
	s, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		if ex.Request().Target == "/wait" {
			ex.Context().Done() // before it blocks
			waiting <- true
			<-release
		}
		h1Echo(ex)
	}})
	idle, busy := dialTest(t, addr), dialTest(t, addr)
	_, _ = io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	idleReader := bufio.NewReader(idle)
	res, err := http.ReadResponse(idleReader, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(res.Body)
	_, _ = io.WriteString(busy, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	<-waiting
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	if _, err := idleReader.ReadByte(); err == nil {
		t.Error("the idle connection said something")
	}
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("Shutdown: %v", err)
	}
	go func() { done <- s.Shutdown(context.Background()) }()
	release <- true
	res, err = http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil || !res.Close || res.StatusCode != 200 {
		t.Errorf("the busy connection: %v %v", res, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("still accepting")
	}
}

// Who asks on an idle connection at the moment of the shutdown gets an answer, and is told that it is the last one.
func TestH1ShutdownAnswersWhoIsAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		s := NewServer(ServerConfig{Handle: h1Echo})
		served, stopped := make(chan bool), make(chan error, 1)
		go func() { s.ServeConn(ours); close(served) }()
		r := bufio.NewReader(theirs)
		ask := func() (*http.Response, error) {
			if _, err := io.WriteString(theirs, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				return nil, err
			}
			res, err := http.ReadResponse(r, nil)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
			}
			return res, err
		}
		if res, err := ask(); err != nil || res.Close {
			t.Fatalf("before the shutdown: %v, %v", res, err)
		}
		synctest.Wait()
		begun := time.Now()
		go func() { stopped <- s.Shutdown(context.Background()) }()
		synctest.Wait()
		if res, err := ask(); err != nil || !res.Close || res.StatusCode != 200 {
			t.Errorf("during the shutdown: %v, %v", res, err)
		}
		if _, err := r.ReadByte(); err == nil {
			t.Error("the connection goes on")
		}
		<-served
		if err := <-stopped; err != nil || time.Since(begun) > h1Farewell {
			t.Errorf("Shutdown: %v after %v", err, time.Since(begun))
		}
	})
}

func TestH1PanicIsLogged(t *testing.T) {
	said := make(chan error, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(Exchange) { panic("oh") }, Log: func(_ *Conn, err error) { said <- err }})
	talk(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := <-said; !strings.Contains(err.Error(), "oh") || !strings.Contains(err.Error(), "h1_server_test.go") {
		t.Error(err)
	}
	talk(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // it goes on
	<-said
}

// piped serves one end of a pipe in a bubble, where time passes when everybody waits.
func piped(t *testing.T, cfg ServerConfig, f func(c net.Conn)) {
	synctest.Test(t, func(*testing.T) {
		ours, theirs := net.Pipe()
		s := NewServer(cfg)
		done := make(chan bool)
		go func() { s.ServeConn(ours); close(done) }()
		f(theirs)
		theirs.Close()
		<-done
		time.Sleep(time.Hour) // whoever sleeps finds the connection closed
	})
}

func TestH1Timeouts(t *testing.T) {
	cfg := ServerConfig{Handle: h1Echo, HeadTimeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	get := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	readAnswer := func(t *testing.T, br *bufio.Reader) {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(res.Body)
	}
	near := func(t *testing.T, start time.Time, want time.Duration) {
		if d := time.Since(start); d < want || d > want+want/4+time.Second {
			t.Errorf("closed after %v, want %v", d, want)
		}
	}
	t.Run("nothing said", func(t *testing.T) {
		piped(t, cfg, func(c net.Conn) {
			start := time.Now()
			if b, _ := io.ReadAll(c); len(b) > 0 {
				t.Errorf("%q", b)
			}
			near(t, start, 10*time.Second)
		})
	})
	t.Run("a byte a second", func(t *testing.T) {
		piped(t, cfg, func(c net.Conn) {
			start := time.Now()
			go func() {
				for i := range get {
					if _, err := c.Write([]byte{get[i]}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			if line, _ := bufio.NewReader(c).ReadString('\n'); line != "HTTP/1.1 408 Request Timeout\r\n" {
				t.Errorf("%q", line)
			}
			near(t, start, 10*time.Second)
		})
	})
	t.Run("a second head a byte a second", func(t *testing.T) {
		piped(t, cfg, func(c net.Conn) {
			br := bufio.NewReader(c)
			go io.WriteString(c, get)
			readAnswer(t, br)
			time.Sleep(20 * time.Second)
			start := time.Now()
			go func() {
				for i := range get {
					if _, err := c.Write([]byte{get[i]}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			if line, _ := br.ReadString('\n'); line != "HTTP/1.1 408 Request Timeout\r\n" {
				t.Errorf("%q", line)
			}
			near(t, start, 10*time.Second)
		})
	})
	t.Run("keep-alive", func(t *testing.T) {
		piped(t, cfg, func(c net.Conn) {
			br := bufio.NewReader(c)
			for range 3 {
				go io.WriteString(c, get)
				readAnswer(t, br)
				time.Sleep(29 * time.Second)
			}
			start := time.Now()
			if b, _ := io.ReadAll(br); len(b) > 0 {
				t.Errorf("%q", b)
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("closed %v late", d)
			}
		})
	})
}

func TestH1MinimalRate(t *testing.T) {
	read := make(chan error, 1)
	cfg := ServerConfig{MinRate: 1000, Handle: func(ex Exchange) {
		if ex.Request().Method == "POST" {
			_, err := io.Copy(io.Discard, ex.Body())
			read <- err
			return
		}
		_ = ex.Respond(200, flow.Header{}, -1)
		for range 100 {
			if _, err := ex.Write(bytes.Repeat([]byte("x"), 5000)); err != nil {
				read <- err
				return
			}
			if ex.Request().Target == "/pauses" {
				_ = ex.Flush()
				time.Sleep(time.Minute)
			}
		}
		read <- ex.End(flow.Header{})
	}}
	tests := []struct {
		name string
		rate int // bytes every second that the client sends or takes
		slow bool
	}{{"POST", 500, true}, {"POST", 2000, false}, {"GET", 500, true}, {"GET", 2000, false}, {"GET /pauses", 1 << 20, false}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.name, " ", tt.rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read = make(chan error, 1)
				ours, theirs := net.Pipe()
				done := make(chan bool)
				go func() { NewServer(cfg).ServeConn(ours); close(done) }()
				method, target, _ := strings.Cut(tt.name+" /", " ")
				target, _, _ = strings.Cut(target, " ")
				fmt.Fprintf(theirs, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", method, target, map[string]int{"POST": 100000}[method])
				go func() {
					buf := make([]byte, tt.rate)
					for {
						var err error
						if method == "POST" {
							_, err = theirs.Write(buf)
						} else {
							_, err = io.ReadFull(theirs, buf)
						}
						if err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				err := <-read
				if errors.Is(err, ErrSlow) != tt.slow || errors.Is(err, os.ErrDeadlineExceeded) != tt.slow || err != nil && !tt.slow {
					t.Errorf("got %v", err)
				}
				theirs.Close()
				<-done
				time.Sleep(time.Hour)
			})
		})
	}
}

func TestH1CallersDeadlines(t *testing.T) {
	errs := make(chan error, 3)
	cfg := ServerConfig{Handle: func(ex Exchange) {
		_ = ex.SetReadDeadline(time.Now().Add(time.Second))
		_, err := io.ReadAll(ex.Body())
		errs <- err
		_ = ex.SetReadDeadline(time.Time{})
		_, err = io.ReadAll(ex.Body())
		errs <- err
		_ = ex.SetWriteDeadline(time.Now().Add(time.Second))
		_ = ex.Respond(200, flow.Header{}, 100000)
		_, err = ex.Write(make([]byte, 100000))
		errs <- err
	}}
	synctest.Test(t, func(t *testing.T) {
		errs = make(chan error, 3)
		ours, theirs := net.Pipe()
		done := make(chan bool)
		go func() { NewServer(cfg).ServeConn(ours); close(done) }()
		_, _ = io.WriteString(theirs, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
		start := time.Now()
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		_, _ = io.WriteString(theirs, "cd")
		if err := <-errs; err != nil {
			t.Errorf("read on: %v", err)
		}
		start = time.Now()
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("write: %v after %v", err, time.Since(start))
		}
		theirs.Close()
		<-done
		time.Sleep(time.Hour) // whoever sleeps finds the connection closed
	})
}
