package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Tape is a connection that says what it was given, in pieces, and listens to nothing.
type h2Tape struct {
	net.Conn
	in    []byte
	piece int
}

func (c *h2Tape) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.piece)], c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *h2Tape) Write(p []byte) (int, error)      { return len(p), nil }
func (c *h2Tape) Close() error                     { return nil }
func (c *h2Tape) SetDeadline(time.Time) error      { return nil }
func (c *h2Tape) SetReadDeadline(time.Time) error  { return nil }
func (c *h2Tape) SetWriteDeadline(time.Time) error { return nil }
func (c *h2Tape) LocalAddr() net.Addr              { return nil }
func (c *h2Tape) RemoteAddr() net.Addr             { return nil }

// h2Frames returns frames of a client behind its preface.
func h2Frames(f func(fr *http2.Framer, block func(...string) []byte)) []byte {
	var b, hb bytes.Buffer
	fr, enc := http2.NewFramer(&b, nil), hpack.NewEncoder(&hb)
	fr.AllowIllegalWrites = true
	f(fr, func(kv ...string) []byte {
		hb.Reset()
		for i := 0; i < len(kv); i += 2 {
			enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
		}
		return bytes.Clone(hb.Bytes())
	})
	return b.Bytes()
}

// Whatever a client sends, nothing panics, everything ends, and nothing is left behind.
func FuzzH2Frames(f *testing.F) {
	f.Add(h2Frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(h2Get("cookie", "a", "cookie", "b")...), EndStream: true, EndHeaders: true})
		fr.WritePing(false, [8]byte{})
		fr.WriteWindowUpdate(0, 100)
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 30})
	}), uint16(100))
	f.Add(h2Frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(h2Req("POST", "expect", "100-continue")...), EndHeaders: true})
		fr.WriteDataPadded(1, false, []byte("hello"), make([]byte, 10))
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block(h2Req("POST")...), EndStream: true})
		fr.WriteContinuation(3, true, nil)
		fr.WriteData(1, false, make([]byte, 5000))
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block("x-sum", "1"), EndStream: true, EndHeaders: true})
		fr.WriteRSTStream(3, 8)
		fr.WriteGoAway(0, 0, nil)
	}), uint16(3))
	f.Add(h2Frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/"), EndHeaders: true})
		fr.WriteData(1, false, []byte("hello"))
		fr.WritePriority(5, http2.PriorityParam{StreamDep: 1})
		fr.WriteData(1, true, nil)
	}), uint16(1000))
	handle := func(ex Exchange) {
		if ex.Request().Upgrade != "" {
			st, err := ex.Upgrade(ex.Request().Header)
			if err != nil {
				return
			}
			io.Copy(st, st)
			st.Close()
			return
		}
		ex.Respond(200, ex.Request().Header, -1)
		io.Copy(ex, ex.Body())
		ex.End(ex.Trailer())
	}
	srv := NewH2Server(H2Config{Handle: handle})
	settings := h2Frames(func(fr *http2.Framer, _ func(...string) []byte) { fr.WriteSettings() })
	f.Fuzz(func(t *testing.T, frames []byte, piece uint16) {
		tape := &h2Tape{in: append(append([]byte(h2Preface), settings...), frames...), piece: max(1, int(piece))}
		c := newH2Conn(srv, context.Background(), tape)
		c.serve()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.active != 0 || c.running != 0 || c.heads != 0 || len(c.streams) != 0 || len(c.queue) != 0 || len(c.waiting) != 0 {
			t.Errorf("left behind: %d active, %d running, %d bytes of heads, %d streams, %d queued, %d waiting",
				c.active, c.running, c.heads, len(c.streams), len(c.queue), len(c.waiting))
		}
		if c.recv+c.credit > c.recvSize {
			t.Errorf("the window holds %d bytes and %d of credit, more than its size %d", c.recv, c.credit, c.recvSize)
		}
	})
}
