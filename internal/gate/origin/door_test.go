package origin

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// door is a pool behind a net/http server on loopback, in front of the origins at the URLs.
type door struct {
	*httptest.Server
	pool *Pool
	mu   sync.Mutex
	ends []flow.Outcome // with End set to what Forward returned
	done chan struct{}
}

func openDoor(t testing.TB, change func(*Config), urls ...string) *door {
	t.Helper()
	c := Config{Site: "shop", PreserveHost: true, Token: testToken}
	for _, u := range urls {
		c.Origins = append(c.Origins, policy.Origin{URL: u})
	}
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{pool: p, done: make(chan struct{}, 10000)}
	d.Server = httptest.NewUnstartedServer(wire.StdHandler(d.serve))
	d.Config.ErrorLog = nil
	d.Start()
	t.Cleanup(func() { d.Client().CloseIdleConnections(); d.Server.Close(); p.Close() })
	return d
}

func (d *door) serve(ex wire.Exchange) {
	peer := ex.Conn().Peer.Addr()
	o := flow.Outcome{Facts: flow.Facts{Client: peer, Peer: peer}}
	o.End = d.pool.Forward(ex, &o)
	if o.End != "" && o.Status == 0 {
		status := map[flow.Reason]int{flow.OriginTimeout: 504, flow.RequestTooLarge: 413, flow.RequestLoop: 508, flow.OriginDown: 503}[o.End]
		if status == 0 {
			status = 502
		}
		_ = ex.Respond(status, flow.Header{}, 0)
		_ = ex.End(flow.Header{})
	}
	d.mu.Lock()
	d.ends = append(d.ends, o)
	d.mu.Unlock()
	d.done <- struct{}{}
}

// last waits until n forwards have ended and returns the last one.
func (d *door) last(n int) flow.Outcome {
	for range n {
		<-d.done
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ends[len(d.ends)-1]
}

func serveOrigin(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// rawOrigin accepts connections and leaves each to serve.
func rawOrigin(t testing.TB, serve func(net.Conn, *bufio.Reader)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return "http://" + l.Addr().String()
}

// readHead reads a request up to the blank line and returns it.
func readHead(r *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}
