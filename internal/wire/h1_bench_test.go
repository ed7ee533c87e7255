package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
)

const benchGet = "GET /a/page?x=1 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Connection: keep-alive\r\nCookie: session=0123456789abcdef\r\n\r\n"

func BenchmarkH1ParseHead(b *testing.B) {
	var r h1Request
	b.ReportAllocs()
	for b.Loop() {
		if err := r.parse(benchGet, "http", 100); err != nil {
			b.Fatal(err)
		}
	}
}

// benchClient asks over one connection, without any parsing of its own.
func benchClient(b *testing.B, addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 64<<10)
	ask := func() int {
		if _, err := io.WriteString(c, benchGet); err != nil {
			b.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	size := ask()
	b.ReportAllocs()
	for b.Loop() {
		for n := ask(); n < size; { // the answer came in pieces
			k, err := c.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			n += k
		}
	}
}

func BenchmarkH1ServerGet(b *testing.B) {
	var h flow.Header
	h.Add("Content-Type", "text/plain")
	body := []byte(strings.Repeat("x", 1024))
	_, addr := h1Serve(b, ServerConfig{Handle: func(ex Exchange) {
		_ = ex.Respond(200, h, int64(len(body)))
		_, _ = ex.Write(body)
		_ = ex.End(flow.Header{})
	}})
	benchClient(b, addr)
}

// Server and upstream together, with the exchange's context watched.
func BenchmarkH1Forward(b *testing.B) {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	origin := newScript(b, func(c net.Conn, _ *bufio.Reader) {
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
	_, addr := h1Serve(b, ServerConfig{Handle: func(ex Exchange) {
		res, err := u.RoundTrip(ex.Context(), ex.Request(), nil, nil, Hooks{})
		if err != nil {
			b.Error(err)
			return
		}
		_ = ex.Respond(res.Status, res.Header, res.Length)
		var buf [2048]byte
		for err == nil {
			var n int
			n, err = res.Body.Read(buf[:])
			_, _ = ex.Write(buf[:n])
		}
		_ = ex.End(flow.Header{})
	}})
	benchClient(b, addr)
}

// The same with net/http's server, for comparison.
func BenchmarkNetHTTPServerGet(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(strings.Repeat("x", 1024))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	defer func() { s.Close(); <-done }()
	benchClient(b, l.Addr().String())
}

// What an idle connection costs after its first request, both ends' goroutines and buffers excluded on the client's side.
func BenchmarkH1IdleConnections(b *testing.B) {
	const n = 2000
	_, addr := h1Serve(b, ServerConfig{Handle: h1Echo})
	for b.Loop() {
		before := memoryInUse()
		conns := make([]net.Conn, n)
		buf := make([]byte, 4096)
		for i := range conns {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			conns[i] = c
			_, _ = io.WriteString(c, benchGet)
			_, _ = c.Read(buf)
		}
		time.Sleep(h1Brief * 5 / 4)
		b.ReportMetric(float64(memoryInUse()-before)/n, "B/conn")
		for _, c := range conns {
			c.Close()
		}
	}
}

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
