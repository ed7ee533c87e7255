package reactor

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// While a loop has something to do without end, whoever waits for the network is served as if it gave its processor back: the
// runtime's monitor alone would look after them once in 10 ms. Counted in work of the loop, not in time, so that a slow machine
// changes nothing.
func TestABusyLoopForgetsNobody(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds, work = 100, 20 * time.Microsecond
	var steps atomic.Int64
	var over atomic.Bool
	dial(t, serve(t, 1, func(c *Conn) {
		defer c.Close()
		for !over.Load() {
			for until := time.Now().Add(work); time.Now().Before(until); {
			}
			steps.Add(1)
			c.Task().spend(share)
		}
	}))
	defer over.Store(true)
	other := dial(t, serve(t, 1, echo))
	for steps.Load() == 0 {
		runtime.Gosched()
	}
	before := steps.Load()
	pingPong(t, other, rounds)
	if n := steps.Load() - before; n > rounds*100 {
		t.Errorf("%d round trips took %d steps of a busy loop, %v each", rounds, n, work)
	}
}

func pingPong(t *testing.T, c net.Conn, rounds int) {
	t.Helper()
	buf := make([]byte, 4)
	for range rounds {
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
}
