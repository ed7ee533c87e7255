package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"stormdoor/flow"
)

func TestH2ServerAnswers(t *testing.T) {
	tests := []struct {
		name   string
		method string
		handle func(Exchange)
		want   string
	}{
		{"body of known length", "GET", h2Hello, "200 hello"},
		{"body of unknown length", "GET", func(ex Exchange) {
			ex.Respond(203, flow.Header{}, -1)
			io.WriteString(ex, "a")
			ex.Flush()
			io.WriteString(ex, "b")
			ex.End(flow.Header{})
		}, "203 ab"},
		{"no body", "GET", func(ex Exchange) { ex.Respond(204, flow.Header{}, -1); ex.End(flow.Header{}) }, "204"},
		{"HEAD is not sent a body", "HEAD", func(ex Exchange) {
			ex.Respond(200, flow.Header{}, 5)
			io.WriteString(ex, "hello")
			ex.End(flow.Header{})
		}, "200"},
		{"interim answers", "GET", func(ex Exchange) {
			ex.Inform(103, flow.Header{})
			h2Hello(ex)
		}, "103 200 hello"},
		{"trailers", "GET", func(ex Exchange) {
			var h flow.Header
			h.Add("X-Sum", "1")
			ex.Respond(200, flow.Header{}, -1)
			io.WriteString(ex, "x")
			ex.End(h)
		}, "200 trailers x"},
		{"return without an answer", "GET", func(Exchange) {}, "reset INTERNAL_ERROR"},
		{"return in the middle", "GET", func(ex Exchange) {
			ex.Respond(200, flow.Header{}, -1)
			io.WriteString(ex, "part")
		}, "200 reset INTERNAL_ERROR part"},
		{"abort", "GET", func(ex Exchange) {
			ex.Respond(200, flow.Header{}, 10)
			io.WriteString(ex, "part")
			ex.Abort()
		}, "200 reset INTERNAL_ERROR part"},
		{"shorter than announced", "GET", func(ex Exchange) {
			ex.Respond(200, flow.Header{}, 10)
			io.WriteString(ex, "part")
			ex.End(flow.Header{})
		}, "200 reset INTERNAL_ERROR part"},
		{"longer than announced", "GET", func(ex Exchange) {
			ex.Respond(200, flow.Header{}, 3)
			if _, err := io.WriteString(ex, "part"); err == nil {
				panic("a body that is too long was taken")
			}
		}, "200 reset INTERNAL_ERROR"},
		{"second answer", "GET", func(ex Exchange) {
			h2Hello(ex)
			if ex.Respond(500, flow.Header{}, 0) == nil || ex.Inform(103, flow.Header{}) == nil || ex.End(flow.Header{}) == nil {
				panic("an answer began twice")
			}
		}, "200 hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h2Bubble(t, H2Config{Handle: tt.handle}, func(t *testing.T, h *h2Tester) {
				h.headers(1, true, h2Req(tt.method)...)
				h.want(1, tt.want)
			})
		})
	}
}

func TestH2ServerAnswerFields(t *testing.T) {
	handle := func(ex Exchange) {
		h := flow.NewHeader(4)
		h.Add("Set-Cookie", "secret")
		h.Add("X-Once", ex.Request().Target)
		h.Add("Connection", "close")
		h.Add("X-Always", strings.Repeat("v", 100))
		ex.Respond(404, h, 0)
		ex.End(flow.Header{})
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		for i := range 200 {
			if i == 100 { // the table shrinks and grows while it is in use
				h.send(func() {
					h.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
					h.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 4096})
				})
			}
			id := uint32(2*i + 1)
			path := "/" + strconv.Itoa(i%7)
			h.headers(id, true, ":method", "GET", ":scheme", "http", ":authority", "a", ":path", path)
			got := h.frames(http2.FrameHeaders, id)
			if len(got) != 1 {
				t.Fatalf("answer %d did not come: GOAWAY %s", i, h.away())
			}
			f := got[0].fields
			if f[":status"] != "404" || f["set-cookie"] != "secret" || f["x-once"] != path || len(f["x-always"]) != 100 ||
				f["content-length"] != "0" || len(f) != 5 {
				t.Fatalf("answer %d: %v", i, f)
			}
		}
	})
}

func TestH2ServerLongHead(t *testing.T) {
	handle := func(ex Exchange) {
		var h flow.Header
		for range 5 {
			h.Add("X-Long", strings.Repeat("~", 10_000))
		}
		ex.Respond(200, h, 0)
		ex.End(flow.Header{})
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		h.headers(1, true, h2Get()...)
		h.want(1, "200")
	})
}

func TestH2ServerBodies(t *testing.T) {
	tests := []struct {
		name  string
		send  func(h *h2Tester)
		extra []string
		want  string
	}{
		{"whole", func(h *h2Tester) { h.data(1, true, "abc") }, nil, "200 abc"},
		{"with its length", func(h *h2Tester) { h.data(1, false, "ab"); h.data(1, true, "c") }, []string{"content-length", "3"}, "200 abc"},
		{"padded", func(h *h2Tester) { h.send(func() { h.fr.WriteDataPadded(1, true, []byte("abc"), make([]byte, 200)) }) }, nil, "200 abc"},
		{"empty", func(h *h2Tester) { h.data(1, true, "") }, nil, "200"},
		{"trailers", func(h *h2Tester) { h.data(1, false, "abc"); h.headers(1, true, "x-t", "1", "host", "evil") }, nil, "200 trailers abc"},
		{"longer than announced", func(h *h2Tester) { h.data(1, false, "abcd") }, []string{"content-length", "3"}, "reset PROTOCOL_ERROR"},
		{"shorter than announced", func(h *h2Tester) { h.data(1, true, "ab") }, []string{"content-length", "3"}, "reset PROTOCOL_ERROR"},
		{"shorter, with trailers", func(h *h2Tester) { h.headers(1, true, "x-t", "1") }, []string{"content-length", "3"}, "reset PROTOCOL_ERROR"},
		{"trailers without an end", func(h *h2Tester) { h.headers(1, false, "x-t", "1") }, nil, "reset PROTOCOL_ERROR"},
		{"pseudo-header field in trailers", func(h *h2Tester) { h.headers(1, true, ":path", "/") }, nil, "reset PROTOCOL_ERROR"},
		{"expect", func(h *h2Tester) { h.data(1, true, "abc") }, []string{"expect", "100-continue"}, "100 200 abc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h2Bubble(t, H2Config{Handle: h2Echo}, func(t *testing.T, h *h2Tester) {
				h.headers(1, false, h2Req("POST", tt.extra...)...)
				tt.send(h)
				h.want(1, tt.want)
				h.headers(3, true, h2Get()...)
				h.want(3, "200")
				if tr := h.frames(http2.FrameHeaders, 1); tt.name == "trailers" && (len(tr) != 2 || len(tr[1].fields) != 1 || tr[1].fields["x-t"] != "1") {
					t.Errorf("trailers: %v", tr)
				}
			})
		})
	}
}

// An answer that comes before the request is whole ends with RST_STREAM(NO_ERROR), and what was under way costs the
// connection no window.
func TestH2ServerUnreadBody(t *testing.T) {
	h2Bubble(t, H2Config{}, func(t *testing.T, h *h2Tester) {
		for i := range 20 {
			id := uint32(2*i + 1)
			h.headers(id, false, h2Req("POST")...)
			h.data(id, false, strings.Repeat("x", 8000))
			h.want(id, "200 reset NO_ERROR hello")
		}
		h.wantAway("")
		back := uint32(0)
		for _, u := range h.frames(http2.FrameWindowUpdate, 0) {
			back += u.n
		}
		if back < 100_000 {
			t.Errorf("of 160000 bytes that nobody read only %d were given back", back)
		}
	})
}

// A client that ends its request a moment after the answer to it is not reset.
func TestH2ServerLateEnd(t *testing.T) {
	gate := newH2Gate()
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { gate.handle(ex) }}, func(t *testing.T, h *h2Tester) {
		gate = newH2Gate()
		close(gate.open)
		h.headers(1, false, h2Req("POST")...)
		h.headers(3, false, h2Req("POST")...)
		h.headers(5, false, h2Req("POST")...)
		time.Sleep(h2AwaitEnd / 2)
		h.data(1, true, "late")
		h.headers(3, true, "x-late", "too")
		time.Sleep(h2AwaitEnd)
		synctest.Wait()
		h.want(1, "200 hello")
		h.want(3, "200 hello")
		h.want(5, "200 reset NO_ERROR hello")
		c := h.conn()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.active != 0 || c.heads != 0 || c.recv+c.credit != c.recvSize {
			t.Errorf("left behind: %d streams, %d bytes of heads, a window of %d+%d", c.active, c.heads, c.recv, c.credit)
		}
	})
}

func TestH2ServerBodyAfterReturn(t *testing.T) {
	var body io.Reader
	read := make(chan error, 1)
	handle := func(ex Exchange) {
		if body == nil {
			body = ex.Body()
			go func() {
				_, err := io.Copy(io.Discard, body)
				read <- err
			}()
		}
		h2Hello(ex)
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		read = make(chan error, 1)
		h.headers(1, false, h2Req("POST")...)
		if err := <-read; !errors.Is(err, errH2Over) {
			t.Errorf("a read that waited: %v", err)
		}
		if _, err := body.Read(make([]byte, 1)); !errors.Is(err, errH2Over) {
			t.Errorf("a read afterwards: %v", err)
		}
	})
}

func TestH2ServerContext(t *testing.T) {
	tests := []struct {
		name string
		end  func(h *h2Tester)
	}{
		{"reset", func(h *h2Tester) { h.send(func() { h.fr.WriteRSTStream(1, http2.ErrCodeCancel) }) }},
		{"connection lost", func(h *h2Tester) { h.send(func() { h.c.Close() }) }},
		{"server closed", func(h *h2Tester) { h.send(h.srv.Close) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var err, respond error
			handle := func(ex Exchange) {
				ctx := ex.Context()
				<-ctx.Done()
				err, respond = ctx.Err(), ex.Respond(200, flow.Header{}, 0)
			}
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				h.headers(1, true, h2Get()...)
				tt.end(h)
				if err == nil || respond == nil {
					t.Errorf("context: %v, answer: %v", err, respond)
				}
			})
		})
	}
	var ctx context.Context
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { ctx = ex.Context(); h2Hello(ex) }}, func(t *testing.T, h *h2Tester) {
		h.headers(1, true, h2Get()...)
		if ctx.Err() == nil {
			t.Error("the context outlives the exchange")
		}
	})
}

func TestH2ServerDeadlines(t *testing.T) {
	var read, write error
	handle := func(ex Exchange) {
		ex.SetReadDeadline(time.Now().Add(time.Second))
		_, read = ex.Body().Read(make([]byte, 10))
		ex.Respond(200, flow.Header{}, -1)
		ex.SetWriteDeadline(time.Now().Add(time.Second))
		_, write = ex.Write(make([]byte, 100_000))
	}
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		h.headers(1, false, h2Req("POST")...)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !errors.Is(read, os.ErrDeadlineExceeded) || !errors.Is(write, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v, write: %v", read, write)
		}
	})
}

func TestH2ServerUpgrade(t *testing.T) {
	connect := []string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/chat"}
	tests := []struct {
		name   string
		handle func(Exchange)
		act    func(h *h2Tester)
		want   string
	}{
		{"both ways", func(ex Exchange) {
			st, err := ex.Upgrade(flow.Header{})
			if err != nil {
				panic(err)
			}
			defer st.Close()
			io.Copy(st, st)
			st.CloseWrite()
		}, func(h *h2Tester) { h.data(1, false, "ping"); h.data(1, true, "pong") }, "200 pingpong"},
		{"closed by us", func(ex Exchange) {
			st, _ := ex.Upgrade(flow.Header{})
			io.WriteString(st, "bye")
			st.Close()
		}, func(*h2Tester) {}, "200 reset CANCEL bye"},
		{"refused", func(ex Exchange) { h2Hello(ex) }, func(*h2Tester) {}, "200 reset NO_ERROR hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got Request
			handle := func(ex Exchange) { got = *ex.Request(); tt.handle(ex) }
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				h.headers(1, false, connect...)
				tt.act(h)
				time.Sleep(h2AwaitEnd)
				synctest.Wait()
				h.want(1, tt.want)
				if got.Upgrade != "websocket" || got.Target != "/chat" {
					t.Errorf("request: %+v", got)
				}
			})
		})
	}
}

func TestH2ServerShutdown(t *testing.T) {
	gate := newH2Gate()
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { gate.handle(ex) }}, func(t *testing.T, h *h2Tester) {
		gate = newH2Gate()
		h.headers(1, true, h2Get()...)
		ended := make(chan error, 1)
		go func() { ended <- h.srv.Shutdown(context.Background()) }()
		synctest.Wait()
		h.headers(3, true, h2Get()...) // crossed the first GOAWAY: still served
		var ping [8]byte
		copy(ping[:], h2RetirePing)
		h.send(func() { h.fr.WritePing(true, ping) })
		h.headers(5, true, h2Get()...)
		if g := h.frames(http2.FrameGoAway, 0); len(g) != 2 || g[0].n != 1<<31-1 || g[1].n != 3 {
			t.Errorf("GOAWAY: %+v", g)
		}
		close(gate.open)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		synctest.Wait() // the client may not have read it all
		h.want(1, "200 hello")
		h.want(3, "200 hello")
		h.want(5, "")
	})
}

func TestH2ServerCloseAfter(t *testing.T) {
	handle := func(ex Exchange) { ex.CloseAfter(); h2Hello(ex) }
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		h.headers(1, true, h2Get()...)
		h.want(1, "200 hello")
		h.wantAway("NO_ERROR")
		<-h.done
	})
}

func TestH2ServerTimeouts(t *testing.T) {
	t.Run("preface", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newH2Tester(t, H2Config{})
			defer h.close()
			go h.listen()
			io.WriteString(h.c, http2.ClientPreface[:10])
			began := time.Now()
			<-h.done
			if took := time.Since(began); took > 11*time.Second {
				t.Errorf("a preface was waited for %v", took)
			}
		})
	})
	tests := []struct {
		name string
		send func(h *h2Tester)
		most time.Duration
	}{
		{"idle", func(*h2Tester) {}, 76 * time.Second},
		{"header section", func(h *h2Tester) {
			h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block(h2Get()...), EndStream: true})
		}, 11 * time.Second},
		{"part of a frame", func(h *h2Tester) { h.c.Write([]byte{0, 0, 8, 6, 0, 0}) }, 11 * time.Second},
		{"silence during a request", func(h *h2Tester) { h.rawHeaders(1, true, h2Get()...) }, 90 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			handle := func(ex Exchange) { <-ex.Context().Done() }
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				tt.send(h)
				began := time.Now()
				<-h.done
				if took := time.Since(began); took > tt.most || took < tt.most-16*time.Second {
					t.Errorf("took %v, at most %v", took, tt.most)
				}
			})
		})
	}
}

// A client that answers PINGs keeps a request that takes long.
func TestH2ServerLongRequest(t *testing.T) {
	handle := func(ex Exchange) { time.Sleep(10 * time.Minute); h2Hello(ex) }
	h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
		h.headers(1, true, h2Get()...)
		for range 60 {
			time.Sleep(10 * time.Second)
			for _, p := range h.frames(http2.FramePing, 0) {
				_ = p
				h.send(func() { h.fr.WritePing(true, [8]byte{}) })
			}
		}
		synctest.Wait()
		h.want(1, "200 hello")
	})
}
