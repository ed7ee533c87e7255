package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"stormdoor/flow"
)

// batch sends what f writes in one piece.
func (h *h2Tester) batch(f func(fr *http2.Framer)) {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	fr.AllowIllegalWrites = true
	f(fr)
	h.send(func() { h.c.Write(b.Bytes()) })
}

// conn returns the server's side.
func (h *h2Tester) conn() *h2Conn {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	for c := range h.srv.conns {
		return c
	}
	return nil
}

// flood sends what f writes for i = 0, 1, … in pieces, until the server says GOAWAY; it returns how often f was called.
func (h *h2Tester) flood(most, piece int, f func(fr *http2.Framer, i int)) (i int) {
	for i < most && h.away() == "" && !h.closed() {
		h.batch(func(fr *http2.Framer) {
			for range piece {
				f(fr, i)
				i++
			}
		})
	}
	return i
}

func (h *h2Tester) begin(fr *http2.Framer, id uint32, end bool, method string) {
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.block(h2Req(method)...), EndStream: end, EndHeaders: true})
}

func TestH2ServerFloods(t *testing.T) {
	tests := []struct {
		name  string
		piece int
		most  int // events that are put up with
		f     func(h *h2Tester, fr *http2.Framer, i int)
	}{
		{"rapid reset", 1, 400, func(h *h2Tester, fr *http2.Framer, i int) {
			h.begin(fr, uint32(2*i+1), true, "GET")
			fr.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
		}},
		{"rapid reset over the limit", 50, 400, func(h *h2Tester, fr *http2.Framer, i int) {
			h.begin(fr, uint32(2*i+1), true, "GET")
		}},
		{"MadeYouReset by window", 1, 100, func(h *h2Tester, fr *http2.Framer, i int) {
			h.begin(fr, uint32(2*i+1), false, "POST")
			fr.WriteWindowUpdate(uint32(2*i+1), 1<<31-1)
		}},
		{"MadeYouReset by length", 1, 100, func(h *h2Tester, fr *http2.Framer, i int) {
			id := uint32(2*i + 1)
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.block(h2Req("POST", "content-length", "1")...), EndHeaders: true})
			fr.WriteData(id, true, []byte("xx"))
		}},
		{"malformed requests", 1, 100, func(h *h2Tester, fr *http2.Framer, i int) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: h.block(":method", "GET"), EndHeaders: true, EndStream: true})
		}},
		{"settings", 10, 200, func(h *h2Tester, fr *http2.Framer, i int) { fr.WriteSettings() }},
		{"settings acknowledged", 10, 2000, func(h *h2Tester, fr *http2.Framer, i int) { fr.WriteSettingsAck() }},
		{"ping", 10, 1000, func(h *h2Tester, fr *http2.Framer, i int) { fr.WritePing(false, [8]byte{1}) }},
		{"ping acknowledged", 10, 2000, func(h *h2Tester, fr *http2.Framer, i int) { fr.WritePing(true, [8]byte{1}) }},
		{"priority", 10, 2000, func(h *h2Tester, fr *http2.Framer, i int) { fr.WritePriority(uint32(2*i+1), http2.PriorityParam{}) }},
		{"unknown frames", 10, 2000, func(h *h2Tester, fr *http2.Framer, i int) { fr.WriteRawFrame(0x42, 0, 1, nil) }},
		{"windows by one", 10, 2000, func(h *h2Tester, fr *http2.Framer, i int) { fr.WriteWindowUpdate(0, 1) }},
		{"empty data", 10, 600, func(h *h2Tester, fr *http2.Framer, i int) {
			if i == 0 {
				h.begin(fr, 1, false, "POST")
			}
			fr.WriteData(1, false, nil)
		}},
		{"padding", 10, 1200, func(h *h2Tester, fr *http2.Framer, i int) {
			if i == 0 {
				h.begin(fr, 1, false, "POST")
			}
			fr.WriteDataPadded(1, false, []byte("x"), make([]byte, 255))
		}},
		{"continuations", 1, 20, func(h *h2Tester, fr *http2.Framer, i int) {
			if i == 0 {
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block(h2Get()...), EndStream: true})
			}
			fr.WriteContinuation(1, false, h.block("x-a", "b"))
		}},
		{"empty continuations", 1, 20, func(h *h2Tester, fr *http2.Framer, i int) {
			if i == 0 {
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block(h2Get()...), EndStream: true})
			}
			fr.WriteContinuation(1, false, nil)
		}},
		{"table churn", 1, 400, func(h *h2Tester, fr *http2.Framer, i int) {
			block := h.block(h2Get()...)
			for j := range 80 { // each inserts an entry and throws another out
				block = append(block, 0x40|1, 2, byte('a'+j%26), byte('a'+i%26))
			}
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block, EndStream: true, EndHeaders: true})
		}},
		{"references to the table", 1, 2, func(h *h2Tester, fr *http2.Framer, i int) {
			block := h.block(h2Get("x-big", strings.Repeat("a", 3900))...)
			block = append(block, bytes.Repeat([]byte{0xbe}, 10_000)...)
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block, EndStream: true, EndHeaders: true})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var started atomic.Int32
			handle := func(ex Exchange) {
				started.Add(1)
				io.Copy(io.Discard, ex.Body())
				<-ex.Context().Done()
			}
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				n := h.flood(20_000, tt.piece, func(fr *http2.Framer, i int) { tt.f(h, fr, i) })
				if n > tt.most || h.away() != "ENHANCE_YOUR_CALM" {
					t.Errorf("after %d events GOAWAY was %q; at most %d are put up with", n, h.away(), tt.most)
				}
				if started.Load() > 400 {
					t.Errorf("%d handlers were started", started.Load())
				}
			})
		})
	}
}

// Requests that are taken back in the same breath never reach the handler.
func TestH2ServerRapidResetInOnePiece(t *testing.T) {
	var started atomic.Int32
	h2Bubble(t, H2Config{Handle: func(Exchange) { started.Add(1) }}, func(t *testing.T, h *h2Tester) {
		h.flood(5000, 100, func(fr *http2.Framer, i int) {
			h.begin(fr, uint32(2*i+1), true, "GET")
			fr.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
		})
		h.wantAway("ENHANCE_YOUR_CALM")
		if n := started.Load(); n > 10 {
			t.Errorf("%d handlers were started", n)
		}
	})
}

// Bodies that go on after their answer are cut short, and count.
func TestH2ServerBodiesAfterTheirAnswers(t *testing.T) {
	h2Bubble(t, H2Config{Handle: h2Hello}, func(t *testing.T, h *h2Tester) {
		n := h.flood(2000, 1, func(fr *http2.Framer, i int) {
			id := uint32(2*(i/2) + 1)
			if i%2 == 0 {
				h.begin(fr, id, false, "POST")
				return
			}
			fr.WriteData(id, false, make([]byte, 100))
		})
		if h.wantAway("ENHANCE_YOUR_CALM"); n > 1600 {
			t.Errorf("%d bodies were put up with", n/2)
		}
		h.want(1, "200 reset NO_ERROR hello")
	})
}

// A stream's place is free when its handler has returned, not when it is reset.
func TestH2ServerResetsBuyNoWork(t *testing.T) {
	gate := newH2Gate()
	h2Bubble(t, H2Config{MaxStreams: 10, Handle: func(ex Exchange) { gate.handle(ex) }}, func(t *testing.T, h *h2Tester) {
		gate = newH2Gate()
		for i := range 30 {
			id := uint32(2*i + 1)
			h.headers(id, true, h2Get()...)
			time.Sleep(4 * h2GrowEvery) // nothing waits for the client, so it may have all its handlers
			h.send(func() { h.fr.WriteRSTStream(id, http2.ErrCodeCancel) })
		}
		if n := gate.count(); n != 10 {
			t.Errorf("%d handlers run, want 10", n)
		}
		h.want(21, "reset REFUSED_STREAM")
		h.send(func() { close(gate.open) })
		h.headers(101, true, h2Get()...)
		h.want(101, "200 hello")
	})
}

// Large heads of requests under way are bounded for the whole connection.
func TestH2ServerHeldHeads(t *testing.T) {
	gate := newH2Gate()
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { gate.handle(ex) }}, func(t *testing.T, h *h2Tester) {
		gate = newH2Gate()
		for i := range 40 {
			h.headers(uint32(2*i+1), true, h2Get("x-large", strings.Repeat("~", 9000))...)
		}
		c := h.conn()
		c.mu.Lock()
		n, heads, holds := c.active, c.heads, c.holds()
		c.mu.Unlock()
		if n < 8 || n > 14 || heads > h2HeldHeads || holds > h2Allowance {
			t.Errorf("%d requests of 9000 bytes are held in %d bytes, %d in all", n, heads, holds)
		}
		h.want(79, "reset REFUSED_STREAM")
		h.send(func() { close(gate.open) })
		h.headers(101, true, h2Get("x-large", strings.Repeat("~", 9000))...)
		h.want(101, "200 hello")
	})
}

func TestH2ServerUneasyRunsFew(t *testing.T) {
	var gate *h2Gate
	handle := func(ex Exchange) {
		if gate == nil {
			h2Hello(ex)
			return
		}
		gate.handle(ex)
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		for i := range 10 {
			h.headers(uint32(2*i+1), true, h2Get()...)
		}
		gate = newH2Gate()
		for range 60 {
			h.send(func() { h.fr.WriteSettings() }) // 300 points
		}
		for i := range 20 {
			h.headers(uint32(2*i+101), true, h2Get()...)
		}
		if n := gate.count(); n != h2CalmHandlers {
			t.Errorf("%d handlers run, want %d", n, h2CalmHandlers)
		}
		h.send(func() { close(gate.open) })
		h.want(139, "200 hello")
	})
}

func TestH2ServerHotCloses(t *testing.T) {
	for _, hot := range []bool{false, true} {
		var told []bool
		var mu sync.Mutex
		cfg := H2Config{Hot: func() bool { return hot }, Abused: func(_ *Conn, closed bool) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, closed)
		}}
		gate := newH2Gate()
		cfg.Handle = func(ex Exchange) { gate.handle(ex) }
		h2Bubble(t, cfg, func(t *testing.T, h *h2Tester) {
			gate = newH2Gate()
			h.headers(1, true, h2Get()...) // under way: GOAWAY lets it end
			n := 0
			for ; n < 1000 && !h.conn().ended.Load(); n++ {
				h.send(func() { h.fr.WriteSettings() })
			}
			if most := 420; hot && n > 210 || !hot && (n < 390 || n > most) {
				t.Errorf("hot %v: closed after %d settings", hot, n)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(told) != 2 || told[0] || !told[1] {
				t.Errorf("told: %v", told)
			}
			close(gate.open)
		})
	}
}

// Answers that wait for a window hold few handlers, and are given up.
func TestH2ServerWindowStall(t *testing.T) {
	var mu sync.Mutex
	var errs []error
	handle := func(ex Exchange) {
		ex.Respond(200, flow.Header{}, -1)
		_, err := ex.Write(make([]byte, 1<<20))
		mu.Lock()
		errs = append(errs, err)
		mu.Unlock()
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		h.send(func() { h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) })
		for i := range 100 {
			h.headers(uint32(2*i+1), true, h2Get()...)
		}
		c := h.conn()
		c.mu.Lock()
		if c.out != nil || c.active != 100 || c.running != h2FirstHandlers || c.holds() > h2Allowance {
			t.Errorf("held: %d, output %d, heads %d, streams %d, handlers %d", c.holds(), c.unsent(), c.heads, c.active, c.running)
		}
		c.mu.Unlock()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(errs) != h2FirstHandlers || !errors.Is(errs[0], os.ErrDeadlineExceeded) && !errors.Is(errs[0], errH2Closed) {
			t.Errorf("%d writes ended, the first with %v", len(errs), errs)
		}
		h.wantAway("ENHANCE_YOUR_CALM")
	})
}

func TestH2ServerSlowBodies(t *testing.T) {
	slow := func(h *h2Tester, step time.Duration, n int) {
		for range 30 {
			time.Sleep(step)
			if h.answer(1) != "" {
				return
			}
			h.data(1, false, strings.Repeat("x", n))
		}
		h.data(1, true, "")
	}
	tests := []struct {
		name  string
		extra []string
		bytes int
		ok    bool
	}{
		{"too slow", nil, 200, false},
		{"too slow with its length", []string{"content-length", "6000"}, 200, false},
		{"fast enough", nil, 300, true},
		{"gRPC may be silent", []string{"content-type", "application/grpc+proto"}, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			handle := func(ex Exchange) {
				if _, err = io.Copy(io.Discard, ex.Body()); err == nil {
					h2Hello(ex)
				}
			}
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				h.headers(1, false, h2Req("POST", tt.extra...)...)
				slow(h, time.Second, tt.bytes)
				if want := "200 hello"; tt.ok {
					h.want(1, want)
				} else if h.want(1, "reset CANCEL"); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error: %v", err)
				}
			})
		})
	}
}

// A reader that takes a little at a time, but steadily, is served to the end.
func TestH2ServerSteadyReader(t *testing.T) {
	body := strings.Repeat("x", 65535+60_000)
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { h2Say(ex, body) }}, func(t *testing.T, h *h2Tester) {
		h.headers(1, true, h2Get()...)
		for range 20 {
			time.Sleep(9 * time.Second)
			h.send(func() {
				h.fr.WriteWindowUpdate(0, 3000)
				h.fr.WriteWindowUpdate(1, 3000)
			})
		}
		h.want(1, "200 "+body)
	})
}

// A client that does not read: neither its streams nor the connection last, and what is unsent stays bounded.
func TestH2ServerDeafClient(t *testing.T) {
	for _, what := range []string{"pings", "answers", "refusals"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newH2Tester(t, H2Config{Handle: func(ex Exchange) { h2Say(ex, strings.Repeat("x", 60_000)) }, Budget: 100_000})
				defer h.close()
				io.WriteString(h.c, http2.ClientPreface)
				h.fr.WriteSettings()
				began := time.Now()
				h.c.SetWriteDeadline(began.Add(h2Forever))
				most := 0
				for i := range 20_000 {
					var err error
					switch what {
					case "pings":
						err = h.fr.WritePing(false, [8]byte{})
					case "answers":
						if i == 50 {
							goto wait
						}
						err = h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: h.block(h2Get()...), EndStream: true, EndHeaders: true})
					case "refusals":
						err = h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: h.block(":method", "CONNECT", ":authority", "a"), EndStream: true, EndHeaders: true})
					}
					if err != nil {
						break
					}
					if c := h.conn(); c != nil {
						c.mu.Lock()
						most = max(most, c.unsent())
						c.mu.Unlock()
					}
				}
			wait:
				<-h.done
				if took := time.Since(began); took > 3*time.Minute || most > 64<<10 {
					t.Errorf("held %d bytes, and the connection for %v", most, took)
				}
			})
		})
	}
}

// What good clients do is put up with.
func TestH2ServerGoodClients(t *testing.T) {
	body := strings.Repeat("x", 60_000)
	tests := []struct {
		name string
		play func(h *h2Tester)
	}{
		{"a browser leaves a page", func(h *h2Tester) {
			for round := range 3 {
				base := uint32(200 * round)
				for i := range uint32(100) {
					h.rawHeaders(base+2*i+1, true, h2Get()...)
				}
				for i := range uint32(100) {
					h.send(func() { h.fr.WriteRSTStream(base+2*i+1, http2.ErrCodeCancel) })
				}
				time.Sleep(10 * time.Second)
			}
		}},
		{"acknowledging each kilobyte, with a PING", func(h *h2Tester) {
			for i := range uint32(100) {
				h.headers(2*i+1, true, h2Get()...)
				for range 15 {
					h.fr.WriteWindowUpdate(0, 4000)
					h.fr.WriteWindowUpdate(2*i+1, 4000)
					h.send(func() { h.fr.WritePing(false, [8]byte{}) })
				}
			}
		}},
		{"priorities", func(h *h2Tester) {
			for i := range uint32(300) {
				h.fr.WritePriority(2*i+1, http2.PriorityParam{Weight: 5})
				h.rawHeaders(2*i+1, true, h2Get()...)
				h.fr.WriteRawFrame(0x10, 0, 0, append(binary.BigEndian.AppendUint32(nil, 2*i+1), "u=1"...))
				h.send(func() { h.fr.WriteWindowUpdate(0, 60_000) })
			}
		}},
		{"a new path each time", func(h *h2Tester) {
			for i := range uint32(500) {
				h.headers(2*i+1, true, ":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"+strings.Repeat("y", int(i%100)))
				h.send(func() { h.fr.WriteWindowUpdate(0, 60_000) })
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h2Bubble(t, H2Config{Handle: func(ex Exchange) { h2Say(ex, body) }}, func(t *testing.T, h *h2Tester) {
				tt.play(h)
				if h.wantAway(""); h.closed() {
					t.Error("the connection was closed")
				}
			})
		})
	}
}

func TestH2Budget(t *testing.T) {
	start := time.Unix(1000, 0)
	b := h2BudgetOf(100)
	for i, want := range []h2Mood{h2Calm, h2Uneasy, h2Uneasy, h2Warned, h2Warned, h2Spent, h2Hostile} {
		if i > 0 {
			b.spend(start, []int64{0, 26, 25, 25, 24, 10, 100}[i]*h2CostPoint)
		}
		if got := b.mood(); got != want {
			t.Errorf("step %d: mood %d, want %d", i, got, want)
		}
	}
	if b.spend(start.Add(time.Second), 0); b.used != 205*h2CostPoint {
		t.Errorf("after a second %d points are left, want 205", b.used/h2CostPoint)
	}
	if b.spend(start.Add(h2Forever), 0); b.used != 0 {
		t.Errorf("after an hour %d points are left", b.used/h2CostPoint)
	}
}
