package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"stormdoor/flow"
)

func TestMemoryStepAt(t *testing.T) {
	for _, tt := range []struct {
		before MemoryStep
		held   int64
		want   MemoryStep
	}{
		{MemoryCalm, 84, MemoryCalm},
		{MemoryCalm, 85, MemoryTight},
		{MemoryCalm, 94, MemoryTight},
		{MemoryCalm, 95, MemoryFull},
		{MemoryFull, 90, MemoryFull},
		{MemoryFull, 89, MemoryTight},
		{MemoryFull, 79, MemoryCalm},
		{MemoryTight, 80, MemoryTight},
		{MemoryTight, 79, MemoryCalm},
		{MemoryTight, 95, MemoryFull},
	} {
		if got := memoryStepAt(tt.before, tt.held<<20, 100<<20); got != tt.want {
			t.Errorf("from %v with %d %%: %v, want %v", tt.before, tt.held, got, tt.want)
		}
	}
}

func TestMemoryShrunk(t *testing.T) {
	for percent, want := range map[int64]time.Duration{0: 80, 85: 80, 90: 45, 95: 10, 200: 10} {
		if got := memoryShrunk(80*time.Second, percent<<20, 100<<20); got.Round(time.Second) != want*time.Second {
			t.Errorf("at %d %% a wait of 80 s may last %v, want %ds", percent, got, want)
		}
	}
}

// At the top, idle connections make room for new ones.
func TestMemoryFullClosesIdle(t *testing.T) {
	inMemoryBubble(t, 100*h1ConnCost, h1Hello, func(b *memoryBubble) {
		first := b.open(memoryGet, false)
		for range 89 {
			b.open(memoryGet, false)
		}
		time.Sleep(time.Second)
		last := b.open(memoryGet, false)
		for range 6 {
			b.open(memoryGet, false)
		}
		if !b.m.Full() {
			t.Fatalf("not full: %+v", b.m.Stats())
		}
		time.Sleep(2 * memoryLookClose)
		synctest.Wait()
		if s := b.m.Stats(); b.m.Full() || s.Reset < 7 || s.Reset > 12 || first.open() && s.Reset > 20 || !last.open() {
			t.Errorf("the last is there: %v, the first: %v, %+v", last.open(), first.open(), s)
		}
	})
}

// memoryBubble is a door with one account over both servers, on pipes.
type memoryBubble struct {
	m    *Memory
	h1   *Server
	h2   *H2Server
	told []MemoryStep
}

// inMemoryBubble runs f beside an account with the budget, whose Run runs.
func inMemoryBubble(t *testing.T, budget int64, handle func(Exchange), f func(b *memoryBubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &memoryBubble{}
		b.m = NewMemory(budget, func(s MemoryStats) { b.told = append(b.told, s.Step) })
		b.h1 = NewServer(ServerConfig{Handle: handle, Memory: b.m, KeepAlive: 80 * time.Second, MinRate: -1})
		b.h2 = NewH2Server(H2Config{Handle: handle, Memory: b.m, KeepAlive: 80 * time.Second})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- b.m.Run(ctx) }()
		f(b)
		b.h1.Close()
		b.h2.Close()
		stop()
		<-done
	})
}

// open opens a connection that sends text, and reads whatever comes unless deaf.
func (b *memoryBubble) open(text string, deaf bool) *memoryClient {
	server, client := net.Pipe()
	c := &memoryClient{Conn: client, gone: make(chan struct{})}
	go b.h1.ServeConn(server)
	if text != "" {
		io.WriteString(client, text)
	}
	if !deaf {
		go func() {
			defer close(c.gone)
			io.Copy(io.Discard, client)
		}()
	}
	synctest.Wait()
	return c
}

type memoryClient struct {
	net.Conn
	gone chan struct{} // closed when the server has closed the connection
}

func (c *memoryClient) open() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

const memoryGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func h1Hello(ex Exchange) {
	ex.Respond(200, flow.Header{}, 5)
	io.WriteString(ex, "hello")
	ex.End(flow.Header{})
}

// Idle connections last as long as they may in calm times, and less long from 85 % on.
func TestMemoryTightShrinksTimers(t *testing.T) {
	for _, tt := range []struct {
		conns int
		lasts time.Duration
	}{{40, 80 * time.Second}, {90, 45 * time.Second}} {
		inMemoryBubble(t, 100*h1ConnCost, h1Hello, func(b *memoryBubble) {
			first := b.open(memoryGet, false)
			for range tt.conns - 1 {
				b.open(memoryGet, false)
			}
			time.Sleep(tt.lasts - 2*time.Second)
			if synctest.Wait(); !first.open() {
				t.Errorf("with %d connections of 100 the first has ended before %v", tt.conns, tt.lasts-2*time.Second)
			}
			time.Sleep(4 * time.Second)
			if synctest.Wait(); first.open() {
				t.Errorf("with %d connections of 100 the first is still there after %v: %+v", tt.conns, tt.lasts+2*time.Second, b.m.Stats())
			}
		})
	}
}

// From 95 % on nobody comes in, and those that make the door hold most while they wait go first; who is being served stays.
func TestMemoryFullResetsTheHeaviestStalled(t *testing.T) {
	gate := make(chan struct{})
	handle := func(ex Exchange) {
		switch ex.Request().Target {
		case "/slow": // the origin's fault
			<-gate
			h1Hello(ex)
		default:
			ex.Respond(200, flow.Header{}, -1)
			ex.Write(h2Much)
			ex.Abort()
		}
	}
	inMemoryBubble(t, 1<<20, handle, func(b *memoryBubble) {
		gate = make(chan struct{})
		good := b.open("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", true)
		light := b.open(memoryGet, true)
		heavy := newMemoryH2(b)
		if b.m.Full() {
			t.Fatalf("full at the beginning: %+v", b.m.Stats())
		}
		for range 18 {
			b.open(memoryGet, true)
		}
		time.Sleep(400 * time.Millisecond) // nobody has waited for long enough yet
		synctest.Wait()
		if b.m.look(time.Now()); !b.m.Full() || b.m.Step() != MemoryFull {
			t.Fatalf("not full: %+v", b.m.Stats())
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		b.m.look(time.Now())
		synctest.Wait()
		if !heavy.ended() {
			t.Error("the heaviest that waits was not reset")
		}
		if n, err := light.Read(make([]byte, 10)); n == 0 {
			t.Errorf("a light one was reset though the heaviest was enough: %v", err)
		}
		if b.m.look(time.Now()); b.m.Full() || b.m.Stats().Reset != 1 {
			t.Errorf("after the reset: %+v", b.m.Stats())
		}
		close(gate)
		if line, err := bufio.NewReader(good).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
			t.Errorf("who was being served got %q, %v", line, err)
		}
		if len(b.told) < 2 || b.told[0] != MemoryFull {
			t.Errorf("told: %v", b.told)
		}
	})
}

// newMemoryH2 returns an HTTP/2 client that asks for much and takes nothing.
func newMemoryH2(b *memoryBubble) *h2Tester {
	server, client := net.Pipe()
	h := &h2Tester{srv: b.h2, c: client, done: make(chan struct{})}
	h.fr, h.enc = http2.NewFramer(client, client), hpack.NewEncoder(&h.hb)
	go func() {
		defer close(h.done)
		b.h2.ServeConn(context.Background(), server)
	}()
	go io.Copy(io.Discard, client)
	io.WriteString(client, http2.ClientPreface)
	h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	for i := range uint32(50) {
		h.begin(h.fr, 2*i+1, true, "GET")
	}
	synctest.Wait()
	return h
}

func (h *h2Tester) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}
