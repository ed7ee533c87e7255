package wire

import (
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

func TestH2ServerRequests(t *testing.T) {
	pseudo := func(kv ...string) []string { return kv }
	tests := []struct {
		name   string
		fields []string
		want   string // the request as the handler sees it, or the answer of the server
	}{
		{"plain", h2Get("accept", "x"), "GET http a.example / len=0 [accept=x]"},
		{"host alone", pseudo(":method", "GET", ":scheme", "http", ":path", "/", "host", "b"), "GET http b / len=0"},
		{"host as authority", h2Get("host", "A.example"), "GET http a.example / len=0"},
		{"cookie crumbs", h2Get("cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "c"), "GET http a.example / len=0 [cookie=a=1; b=2; c] [x=y]"},
		{"asterisk", pseudo(":method", "OPTIONS", ":scheme", "http", ":authority", "a", ":path", "*"), "OPTIONS http a * len=0"},
		{"scheme is the connection's", pseudo(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"), "GET http a / len=0"},
		{"te trailers", h2Get("te", "trailers"), "GET http a.example / len=0 [te=trailers]"},
		{"odd but legal target", pseudo(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "//x|y%zz?\"'"), "GET http a //x|y%zz?\"' len=0"},

		{"host differs", h2Get("host", "b"), "reset PROTOCOL_ERROR"},
		{"two hosts", h2Get("host", "a.example", "host", "a.example"), "reset PROTOCOL_ERROR"},
		{"no authority", pseudo(":method", "GET", ":scheme", "http", ":path", "/"), "400"},
		{"user information", pseudo(":method", "GET", ":scheme", "http", ":authority", "u@a", ":path", "/"), "400"},
		{"absolute target", pseudo(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "http://a/"), "400"},
		{"blank in the target", pseudo(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/ HTTP/1.1"), "400"},
		{"line break in the target", pseudo(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/\r\nx: y"), "400"},
		{"asterisk for GET", pseudo(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "*"), "400"},
		{"empty path", pseudo(":method", "GET", ":scheme", "http", ":authority", "a", ":path", ""), "reset PROTOCOL_ERROR"},
		{"no path", pseudo(":method", "GET", ":scheme", "http", ":authority", "a"), "reset PROTOCOL_ERROR"},
		{"no scheme", pseudo(":method", "GET", ":authority", "a", ":path", "/"), "reset PROTOCOL_ERROR"},
		{"other scheme", pseudo(":method", "GET", ":scheme", "file", ":authority", "a", ":path", "/"), "reset PROTOCOL_ERROR"},
		{"no method", pseudo(":scheme", "http", ":authority", "a", ":path", "/"), "reset PROTOCOL_ERROR"},
		{"method is no token", pseudo(":method", "GET /x", ":scheme", "http", ":authority", "a", ":path", "/"), "reset PROTOCOL_ERROR"},
		{"pseudo-header field twice", h2Get(":path", "/x"), "reset PROTOCOL_ERROR"},
		{"pseudo-header field behind others", pseudo(":method", "GET", ":scheme", "http", "x", "y", ":path", "/"), "reset PROTOCOL_ERROR"},
		{"unknown pseudo-header field", h2Get(":foo", "x"), "reset PROTOCOL_ERROR"},
		{"pseudo-header field of answers", h2Get(":status", "200"), "reset PROTOCOL_ERROR"},
		{"upper case", h2Get("X-A", "b"), "reset PROTOCOL_ERROR"},
		{"name with a colon", h2Get("x: y", "b"), "reset PROTOCOL_ERROR"},
		{"name with a line break", h2Get("x\r\ny", "b"), "reset PROTOCOL_ERROR"},
		{"empty name", h2Get("", "b"), "reset PROTOCOL_ERROR"},
		{"line break in a value", h2Get("x", "a\r\nb: c"), "reset PROTOCOL_ERROR"},
		{"NUL in a value", h2Get("x", "a\x00b"), "reset PROTOCOL_ERROR"},
		{"DEL in a value", h2Get("x", "a\x7fb"), "reset PROTOCOL_ERROR"},
		{"blank before a value", h2Get("x", " a"), "reset PROTOCOL_ERROR"},
		{"tab behind a value", h2Get("x", "a\t"), "reset PROTOCOL_ERROR"},
		{"connection", h2Get("connection", "close"), "reset PROTOCOL_ERROR"},
		{"keep-alive", h2Get("keep-alive", "1"), "reset PROTOCOL_ERROR"},
		{"proxy-connection", h2Get("proxy-connection", "x"), "reset PROTOCOL_ERROR"},
		{"transfer-encoding", h2Get("transfer-encoding", "chunked"), "reset PROTOCOL_ERROR"},
		{"upgrade", h2Get("upgrade", "h2c"), "reset PROTOCOL_ERROR"},
		{"te with more", h2Get("te", "trailers, gzip"), "reset PROTOCOL_ERROR"},
		{"length without a body", h2Get("content-length", "3"), "reset PROTOCOL_ERROR"},
		{"length twice", h2Get("content-length", "0", "content-length", "0"), "reset PROTOCOL_ERROR"},
		{"length with a sign", h2Get("content-length", "+0"), "reset PROTOCOL_ERROR"},
		{"CONNECT", pseudo(":method", "CONNECT", ":authority", "a:443"), "405"},
		{"CONNECT with a path", pseudo(":method", "CONNECT", ":authority", "a:443", ":path", "/"), "reset PROTOCOL_ERROR"},
		{"protocol without CONNECT", h2Get(":protocol", "websocket"), "reset PROTOCOL_ERROR"},
		{"other protocol", append([]string{":protocol", "connect-udp"}, h2Req("CONNECT")...), "501"},
		{"too many fields", h2Get(strings.Split(strings.Repeat("x,y,", 100)+"x,y", ",")...), "431"},
		{"too large", h2Get("x", strings.Repeat("~", 33_000)), "431"},
		{"too large by its count", h2Get("x", strings.Repeat("~", 16_000), "y", strings.Repeat("~", 16_700)), "431"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			handle := func(ex Exchange) { got = strings.Clone(h2Show(ex.Request())); h2Hello(ex) }
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				block := h.block(tt.fields...)
				h.send(func() { h.write(1, block) })
				if got == "" {
					got = h.answer(1)
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				h.headers(3, true, h2Get()...)
				h.want(3, "200 hello") // the header table is still right
			})
		})
	}
}

// write sends a header section in as many frames as it takes.
func (h *h2Tester) write(id uint32, block []byte) {
	n := min(len(block), 16384)
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:n], EndStream: true, EndHeaders: n == len(block)})
	for block = block[n:]; len(block) > 0; block = block[n:] {
		n = min(len(block), 16384)
		h.fr.WriteContinuation(id, n == len(block), block[:n])
	}
}

func TestH2ServerConnectionErrors(t *testing.T) {
	get := func(h *h2Tester, id uint32) { h.rawHeaders(id, true, h2Get()...) }
	tests := []struct {
		name string
		send func(h *h2Tester)
		want string
	}{
		{"DATA on stream 0", func(h *h2Tester) { h.fr.WriteData(0, true, nil) }, "PROTOCOL_ERROR"},
		{"DATA on an idle stream", func(h *h2Tester) { h.fr.WriteData(1, true, nil) }, "PROTOCOL_ERROR"},
		{"DATA on a closed stream", func(h *h2Tester) { h.send(func() { get(h, 1) }); h.fr.WriteData(1, true, nil) }, "STREAM_CLOSED"},
		{"HEADERS on a closed stream", func(h *h2Tester) { h.send(func() { get(h, 1) }); get(h, 1) }, "STREAM_CLOSED"},
		{"HEADERS with a lower number", func(h *h2Tester) { get(h, 5); get(h, 3) }, "PROTOCOL_ERROR"},
		{"HEADERS with an even number", func(h *h2Tester) { get(h, 2) }, "PROTOCOL_ERROR"},
		{"HEADERS with a wrong index", func(h *h2Tester) { h.write(1, []byte{0xff, 0x80, 0x01}) }, "COMPRESSION_ERROR"},
		{"HEADERS cut off", func(h *h2Tester) { h.write(1, []byte{0x40, 5, 'a'}) }, "COMPRESSION_ERROR"},
		{"a late resize", func(h *h2Tester) { h.write(1, append(h.block(h2Get()...), 0x20)) }, "COMPRESSION_ERROR"},
		{"a large resize", func(h *h2Tester) { h.write(1, []byte{0x3f, 0xe2, 0x1f}) }, "COMPRESSION_ERROR"},
		{"broken Huffman code", func(h *h2Tester) { h.write(1, []byte{0x40, 0x81, 0xff, 0x81, 0xff}) }, "COMPRESSION_ERROR"},
		{"too much padding", func(h *h2Tester) { h.fr.WriteRawFrame(http2.FrameHeaders, 0xc, 1, []byte{9, 0}) }, "PROTOCOL_ERROR"},
		{"a frame inside a header section", func(h *h2Tester) {
			h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block(h2Get()...)})
			h.fr.WriteData(1, true, nil)
		}, "PROTOCOL_ERROR"},
		{"CONTINUATION alone", func(h *h2Tester) { h.fr.WriteContinuation(1, true, nil) }, "PROTOCOL_ERROR"},
		{"CONTINUATION of another stream", func(h *h2Tester) {
			h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block(h2Get()...)})
			h.fr.WriteContinuation(3, true, nil)
		}, "PROTOCOL_ERROR"},
		{"a header section over all limits", func(h *h2Tester) {
			h.write(1, h.block(h2Get("x", strings.Repeat("~", 100_000))...))
		}, "ENHANCE_YOUR_CALM"},
		{"PUSH_PROMISE", func(h *h2Tester) { h.fr.WriteRawFrame(http2.FramePushPromise, 4, 1, make([]byte, 8)) }, "PROTOCOL_ERROR"},
		{"RST_STREAM on an idle stream", func(h *h2Tester) { h.fr.WriteRSTStream(1, 0) }, "PROTOCOL_ERROR"},
		{"RST_STREAM too short", func(h *h2Tester) { h.fr.WriteRawFrame(http2.FrameRSTStream, 0, 1, []byte{1}) }, "FRAME_SIZE_ERROR"},
		{"PRIORITY on itself", func(h *h2Tester) { h.fr.WritePriority(1, http2.PriorityParam{StreamDep: 1}) }, "PROTOCOL_ERROR"},
		{"SETTINGS on a stream", func(h *h2Tester) { h.fr.WriteRawFrame(http2.FrameSettings, 0, 1, nil) }, "PROTOCOL_ERROR"},
		{"SETTINGS cut off", func(h *h2Tester) { h.fr.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{1}) }, "FRAME_SIZE_ERROR"},
		{"SETTINGS with a window too large", func(h *h2Tester) {
			h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}, "FLOW_CONTROL_ERROR"},
		{"SETTINGS with small frames", func(h *h2Tester) {
			h.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 100})
		}, "PROTOCOL_ERROR"},
		{"PING on a stream", func(h *h2Tester) { h.fr.WriteRawFrame(http2.FramePing, 0, 1, make([]byte, 8)) }, "PROTOCOL_ERROR"},
		{"PING too short", func(h *h2Tester) { h.fr.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7)) }, "FRAME_SIZE_ERROR"},
		{"WINDOW_UPDATE by nothing", func(h *h2Tester) { h.fr.WriteWindowUpdate(0, 0) }, "PROTOCOL_ERROR"},
		{"WINDOW_UPDATE over the top", func(h *h2Tester) { h.fr.WriteWindowUpdate(0, 1<<31-1) }, "FLOW_CONTROL_ERROR"},
		{"WINDOW_UPDATE on an idle stream", func(h *h2Tester) { h.fr.WriteWindowUpdate(9, 1) }, "PROTOCOL_ERROR"},
		{"a frame too large", func(h *h2Tester) { h.c.Write([]byte{0, 0x40, 1, 6, 0, 0, 0, 0, 0}) }, "FRAME_SIZE_ERROR"},
		{"more than the connection's window", func(h *h2Tester) {
			for id := uint32(1); id < 20; id += 2 {
				h.rawHeaders(id, false, h2Req("POST")...)
				h.fr.WriteData(id, false, make([]byte, 16384))
			}
		}, "FLOW_CONTROL_ERROR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			handle := func(ex Exchange) {
				if ex.Request().Method == "POST" {
					<-ex.Context().Done()
				}
				h2Hello(ex)
			}
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				go tt.send(h) // the server may stop reading before everything is sent
				<-h.done
				synctest.Wait()
				h.wantAway(tt.want)
			})
		})
	}
}

func TestH2ServerStreamErrors(t *testing.T) {
	tests := []struct {
		name string
		send func(h *h2Tester)
		want string
	}{
		{"DATA behind the end", func(h *h2Tester) { h.data(1, true, "x"); h.data(1, true, "y") }, "reset STREAM_CLOSED"},
		{"HEADERS behind the end", func(h *h2Tester) { h.data(1, true, "x"); h.headers(1, true, "x", "y") }, "reset STREAM_CLOSED"},
		{"WINDOW_UPDATE by nothing", func(h *h2Tester) { h.fr.WriteWindowUpdate(1, 0) }, "reset PROTOCOL_ERROR"},
		{"WINDOW_UPDATE over the top", func(h *h2Tester) { h.fr.WriteWindowUpdate(1, 1<<31-1) }, "reset FLOW_CONTROL_ERROR"},
		{"more than the window", func(h *h2Tester) {
			for range 5 {
				h.fr.WriteData(1, false, make([]byte, 16384))
			}
		}, "reset FLOW_CONTROL_ERROR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			handle := func(ex Exchange) {
				if ex.Request().Method == "POST" {
					<-ex.Context().Done()
				}
				h2Hello(ex)
			}
			h2Bubble(t, H2Config{Handle: handle}, func(t *testing.T, h *h2Tester) {
				h.headers(1, false, h2Req("POST")...)
				h.send(func() { tt.send(h) })
				h.want(1, tt.want)
				h.headers(3, true, h2Get()...)
				h.want(3, "200 hello")
			})
		})
	}
}

func TestH2ServerFlowControl(t *testing.T) {
	body := strings.Repeat("0123456789", 20_000)
	h2Bubble(t, H2Config{Handle: func(ex Exchange) { h2Say(ex, body) }}, func(t *testing.T, h *h2Tester) {
		length := func(id uint32) (n int) {
			for _, d := range h.frames(http2.FrameData, id) {
				n += len(d.data)
			}
			return n
		}
		h.send(func() { h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}) })
		h.headers(1, true, h2Get()...)
		if n := length(1); n != 10 {
			t.Fatalf("%d bytes in a window of 10", n)
		}
		h.send(func() { h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000}) })
		if n := length(1); n != 1000 {
			t.Fatalf("%d bytes in a window of 1000", n)
		}
		h.send(func() { h.fr.WriteWindowUpdate(1, 1<<20) })
		if n := length(1); n != 65535 {
			t.Fatalf("%d bytes in the connection's window", n)
		}
		h.send(func() { h.fr.WriteWindowUpdate(0, 1<<20) })
		h.want(1, "200 "+body)
		h.headers(3, true, h2Get()...)
		h.send(func() { h.fr.WriteWindowUpdate(3, 1<<20) })
		h.want(3, "200 "+body)
	})
}
