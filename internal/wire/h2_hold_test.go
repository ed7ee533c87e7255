package wire

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"stormdoor/flow"
)

// h2Much is more than any window; it is not written to.
var h2Much = make([]byte, 200_000)

// h2Takes is a handler that reads some of its body, answers at length, and waits wherever the client makes it wait.
func h2Takes(ex Exchange) {
	var some [100]byte
	ex.Body().Read(some[:])
	ex.Respond(200, flow.Header{}, -1)
	if _, err := ex.Write(h2Much); err != nil {
		return
	}
	ex.End(flow.Header{})
}

// held returns what the connection holds and how many handlers run.
func (h *h2Tester) held() (bytes, running int) {
	c := h.conn()
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds(), c.running
}

// A client that makes the server hold what it can, and takes nothing, gets no more than the allowance, whichever way.
func TestH2ServerHeldMemoryIsBounded(t *testing.T) {
	large := strings.Repeat("~", 5000)
	tests := []struct {
		name string
		step func(h *h2Tester, id uint32)
	}{
		{"window stall", func(h *h2Tester, id uint32) { h.rawHeaders(id, true, h2Get()...) }},
		{"ordinary heads", func(h *h2Tester, id uint32) {
			h.rawHeaders(id, true, h2Get("user-agent", large[:120], "cookie", fmt.Sprint(id, large[:300]), "accept", "*/*", "referer", large[:80])...)
		}},
		{"large heads", func(h *h2Tester, id uint32) { h.rawHeaders(id, true, h2Get("x-large", large)...) }},
		{"references to the table", func(h *h2Tester, id uint32) {
			block := h.block(h2Get("x-big", large[:3900])...)
			h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true})
		}},
		{"bodies", func(h *h2Tester, id uint32) {
			h.rawHeaders(id, false, h2Req("POST")...)
			h.fr.WriteData(id, false, make([]byte, 1100))
		}},
		{"a header section that does not end", func(h *h2Tester, id uint32) {
			if id < 100 {
				h.rawHeaders(id, true, h2Get("x-large", large[:700])...)
				return
			}
			if id == 101 {
				h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.block(h2Get()...), EndStream: true})
			}
			h.fr.WriteContinuation(101, false, make([]byte, 8000))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h2Bubble(t, H2Config{Handle: h2Takes}, func(t *testing.T, h *h2Tester) {
				h.send(func() { h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) })
				most := 0
				for i := range uint32(150) {
					h.send(func() { tt.step(h, 2*i+1) })
					bytes, _ := h.held()
					most = max(most, bytes)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				bytes, running := h.held()
				if most = max(most, bytes); most > h2Allowance {
					t.Errorf("held %d bytes, the allowance is %d", most, h2Allowance)
				}
				if running > h2FirstHandlers {
					t.Errorf("%d handlers run for a client that takes nothing", running)
				}
				t.Logf("at most %d KiB", most>>10)
			})
		})
	}
}

// Whatever order a hostile client chooses, it holds no more. A failure names the seed.
func TestH2ServerHeldMemoryUnderChaos(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		h2Bubble(t, H2Config{Handle: h2Takes, Budget: 1 << 20}, func(t *testing.T, h *h2Tester) {
			h.send(func() { h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) })
			open, next, left := []uint32{}, uint32(1), 60_000
			for range 300 {
				h.send(func() {
					switch r.IntN(4) {
					case 0, 1:
						end := r.IntN(2) == 0
						h.rawHeaders(next, end, h2Req("POST", "x", strings.Repeat("~", r.IntN(3000)))...)
						if !end {
							open = append(open, next)
						}
						next += 2
					case 2:
						if n := r.IntN(3000); len(open) > 0 && n < left {
							left -= n
							h.fr.WriteData(open[r.IntN(len(open))], false, make([]byte, n))
						}
					case 3:
						time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
					}
				})
				// Handlers that have begun because bodies were in the way have been paid for in bytes.
				if bytes, running := h.held(); bytes > h2Allowance+max(0, running-h2FirstHandlers)*h2HandlerCost {
					t.Fatalf("seed %d: held %d bytes with %d handlers", seed, bytes, running)
				}
			}
		})
	}
}

// The account is true: what the runtime says that hostile connections take is no more than what they are charged for.
func TestH2ServerAccountIsTrue(t *testing.T) {
	const conns = 50
	srv := NewH2Server(H2Config{Handle: h2Takes})
	var serving sync.WaitGroup
	clients := make([]net.Conn, conns)
	before := h2LiveBytes()
	for i := range clients {
		server, client := net.Pipe()
		clients[i] = client
		serving.Go(func() { srv.ServeConn(context.Background(), server) })
		go io.Copy(io.Discard, client)
		fr := http2.NewFramer(client, nil)
		h := &h2Tester{}
		h.enc = hpack.NewEncoder(&h.hb)
		io.WriteString(client, http2.ClientPreface)
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for s := range uint32(100) {
			h.begin(fr, 2*s+1, true, "GET")
		}
	}
	charged := 0
	srv.mu.Lock()
	for c := range srv.conns {
		c.mu.Lock()
		charged += c.holds()
		c.mu.Unlock()
	}
	srv.mu.Unlock()
	took := h2LiveBytes() - before
	t.Logf("each connection is charged for %d KiB and takes %d KiB", charged/conns>>10, took/conns>>10)
	if took > charged {
		t.Errorf("%d connections take %d bytes and are charged for %d", conns, took, charged)
	}
	srv.Close()
	for _, c := range clients {
		c.Close()
	}
	serving.Wait()
}

// h2LiveBytes is what heap and stacks hold, garbage apart.
func h2LiveBytes() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// Requests beyond the first wait a moment at most, when the origin is slow and the client is not; answers that are taken
// make room at once.
func TestH2ServerHandlersGrow(t *testing.T) {
	gate := newH2Gate()
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { gate.handle(ex) }}, func(t *testing.T, h *h2Tester) {
		gate = newH2Gate()
		for i := range uint32(100) {
			h.rawHeaders(2*i+1, true, h2Get()...)
		}
		synctest.Wait()
		if n := gate.count(); n != h2FirstHandlers {
			t.Errorf("%d handlers run at first, want %d", n, h2FirstHandlers)
		}
		time.Sleep(6*h2GrowEvery + time.Millisecond)
		synctest.Wait()
		if n := gate.count(); n != 100 {
			t.Errorf("%d of 100 handlers run after %v", n, 6*h2GrowEvery)
		}
		h.send(func() { close(gate.open) })
		h.want(199, "200 hello")
		if s := h.frames(http2.FrameSettings, 0); len(s) < 2 {
			t.Error("the client was not told that it may have more streams")
		}
	})
}

// Clients that ask a slow origin for much and take none of it are lent no more handlers together than the door can bear, and
// what they were lent comes back: all of it with their connections, and with each answer that a good client takes.
func TestH2ServerLendsABoundedNumberOfHandlers(t *testing.T) {
	const conns = 40
	gate, slow := newH2Gate(), newH2Gate()
	handle := func(ex Exchange) {
		at := gate
		if ex.Request().Header.Get("x-good") != "" {
			at = slow
		}
		at.mu.Lock()
		at.n++
		at.mu.Unlock()
		<-at.open
		h2Takes(ex)
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		gate, slow = newH2Gate(), newH2Gate()
		hostile := []*h2Tester{h}
		for range conns - 1 {
			hostile = append(hostile, h.another())
		}
		for _, h := range hostile {
			h.send(func() { h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) })
			for i := range uint32(100) {
				h.rawHeaders(2*i+1, true, h2Get()...)
			}
		}
		time.Sleep(20 * h2GrowEvery)
		synctest.Wait()
		if n, most := gate.count(), h2LentMost+conns*h2FirstHandlers; n > most || n < h2LentMost {
			t.Errorf("%d handlers run for %d clients that have taken nothing, want about %d", n, conns, most)
		}
		good := h.another()
		for id := uint32(1); id <= 99; id += 2 {
			good.rawHeaders(id, true, h2Get("x-good", "1")...)
		}
		time.Sleep(10 * h2GrowEvery)
		synctest.Wait()
		if n := slow.count(); n != h2FirstHandlers {
			t.Errorf("%d handlers run for a client who comes now, want %d", n, h2FirstHandlers)
		}
		close(gate.open)
		for _, h := range hostile {
			h.close()
		}
		time.Sleep(h2DeniedFor + 6*h2GrowEvery)
		synctest.Wait()
		if n := slow.count(); n != 50 {
			t.Errorf("%d of 50 handlers run for the good client when the others are gone", n)
		}
		close(slow.open)
		good.send(func() { good.fr.WriteWindowUpdate(0, 1<<30) })
		for id := uint32(1); id <= 99; id += 2 {
			good.send(func() { good.fr.WriteWindowUpdate(id, 1<<20) })
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := h.srv.lent.Load(); n != 0 {
			t.Errorf("%d handlers are still on loan when nobody uses one", n)
		}
		good.close()
	})
}

// Where nothing moves for a moment, no more handlers than at first stay behind.
func TestH2ServerStuckHandlersGo(t *testing.T) {
	gate := newH2Gate()
	handle := func(ex Exchange) {
		<-gate.open
		h2Takes(ex)
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		gate = newH2Gate()
		for i := range uint32(50) {
			h.rawHeaders(2*i+1, true, h2Get()...)
		}
		time.Sleep(time.Second)
		if _, running := h.held(); running != 50 {
			t.Fatalf("%d handlers run", running)
		}
		h.send(func() { close(gate.open) })
		time.Sleep(h2StuckFor + 10*time.Millisecond)
		synctest.Wait()
		if bytes, running := h.held(); running > h2FirstHandlers || bytes > h2Allowance {
			t.Errorf("%d handlers hold %d bytes for a client that takes nothing", running, bytes)
		}
	})
}

// Whose request is answered before it has ended keeps its place until the client ends it, or until the door has waited long
// enough: an origin that answers heads at once is no way to ask a hundred things with two.
func TestH2ServerAnsweredRequestsKeepTheirPlace(t *testing.T) {
	gate := newH2Gate()
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { gate.handle(ex) }}, func(t *testing.T, h *h2Tester) {
		gate = newH2Gate()
		close(gate.open)
		for i := range uint32(50) {
			h.rawHeaders(2*i+1, false, h2Req("POST")...)
		}
		for i, want := range []int{2, 4, 6} {
			synctest.Wait()
			if n := gate.count(); n != want {
				t.Errorf("%d requests were served after %v, want %d", n, time.Duration(i)*h2AwaitEnd, want)
			}
			time.Sleep(h2AwaitEnd)
		}
		h.want(1, "200 reset NO_ERROR hello")
		for i := range uint32(44) {
			h.fr.WriteData(2*(i+6)+1, true, []byte("x"))
		}
		time.Sleep(h2AwaitEnd) // the two that have begun meanwhile
		synctest.Wait()
		if n := gate.count(); n != 50 {
			t.Errorf("%d of 50 requests were served when they had ended", n)
		}
		h.want(99, "200 hello")
	})
}

func TestH2BodyPieces(t *testing.T) {
	c := &h2Conn{srv: NewH2Server(H2Config{})}
	for want, size := range map[int]int{1: 256, 256: 256, 257: 512, 513: 1 << 10, 1 << 10: 1 << 10, 1100: 1 << 10, 5000: 4 << 10, 16384: 16 << 10, 60_000: 16 << 10} {
		k := c.chunk(want)
		if cap(k.b) != size || c.bodies != size {
			t.Errorf("a piece for %d bytes has %d and is counted as %d, want %d", want, cap(k.b), c.bodies, size)
		}
		if c.recycle(k); c.bodies != 0 {
			t.Errorf("%d bytes are left of a piece that was given back", c.bodies)
		}
	}
}
