package drill

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"
)

// Every weapon that speaks HTTP/1.1 sends what net/http reads as a request for the drill's shop.
func TestFloodsAreRequests(t *testing.T) {
	b := &bot{lot: rand.New(rand.NewPCG(1, 2))}
	for _, next := range []func(*bot, []byte) []byte{onePage, anyPage, bustCache, expensive, guessPassword, sweepExploits, scrape, mimicBrowser} {
		for range 50 {
			raw := next(b, nil)
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != max(0, r.ContentLength) || r.Host != shopHost {
				t.Fatalf("%q: body of %d bytes, %v, host %q", raw, n, err, r.Host)
			}
		}
	}
}

// What a bot was answered does not hold the handshake: a bot that is thrown out and comes again makes many of them, and
// the scorecard would call that amplification.
func TestHandshakesAreNoAnswers(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	defer srv.Close()
	b := &bot{spec: &StormSpec{TLS: true, secure: srv.Listener.Addr().String()}, stats: new(counters)}
	c, err := b.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := b.stats.moved.Load(); n < 500 {
		t.Errorf("a handshake moved %d bytes", n)
	}
	asked := []byte("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
	if _, err := c.Write(asked); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if in, out := b.stats.in.Load(), b.stats.out.Load(); err != nil || in != int64(len(answer)) || out != int64(len(asked)) || in == 0 {
		t.Errorf("asked %d bytes and was answered %d, counted %d and %d (%v)", len(asked), len(answer), out, in, err)
	}
}

// BenchmarkFlood is what one hostile request over a kept connection costs the generator: cpu-us/op is its processor time
// with that of the stub that answers, so that a core gives at least 1e6/cpu-us requests a second.
func BenchmarkFlood(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := listenLoopback(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go stub(c)
		}
	}()
	s := &Storm{ctx: ctx}
	before := cpu(b)
	b.ResetTimer()
	err = s.Start(StormOrder{Spec: StormSpec{Weapon: "flood", Bots: 64}, Clear: l.Addr().String(), Length: time.Minute}, nil)
	if err != nil {
		b.Fatal(err)
	}
	for s.stats.refused.Load() < int64(b.N) {
		time.Sleep(time.Millisecond)
	}
	n := s.stats.refused.Load()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(n), "cpu-us/op")
	_ = s.Stop(Nothing{}, nil)
}

// stub answers every read with a refusal.
func stub(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 1024)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write([]byte("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")); err != nil {
			return
		}
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
