package wire

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"stormdoor/flow"
)

// h2Loop is a client in memory: it sends the same requests again and again, each batch when the one before has been
// answered, and says io.EOF when all is done.
type h2Loop struct {
	batch []byte // frames of one batch; HEADERS get new stream numbers
	size  int    // requests in a batch
	left  int    // batches still to be sent
	next  uint32
	begun bool
	ended chan int // counts answers of one write
	open  int      // answers still to come
	buf   []byte
}

func (c *h2Loop) Read(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		settings := [9]byte{3: byte(h2Settings)}
		return copy(p, h2Preface+string(settings[:])), nil
	}
	if len(c.buf) == 0 {
		for c.open > 0 {
			c.open -= <-c.ended
		}
		if c.left == 0 {
			return 0, io.EOF
		}
		c.left--
		c.open = c.size
		for at := 0; at < len(c.batch); {
			f := h2ReadFrame(c.batch[at:])
			if f.kind != h2Update {
				if f.kind == h2Headers {
					c.next += 2
				}
				binary.BigEndian.PutUint32(c.batch[at+5:], c.next)
			}
			at += h2FrameHead + f.length
		}
		c.buf = c.batch
	}
	n := copy(p, c.buf)
	c.buf = c.buf[n:]
	return n, nil
}

func (c *h2Loop) Write(p []byte) (int, error) {
	ends := 0
	for at := 0; at < len(p); {
		f := h2ReadFrame(p[at:])
		if f.kind <= h2Headers && f.has(h2FlagEnd) || f.kind == h2Reset {
			ends++
		}
		at += h2FrameHead + f.length
	}
	if ends > 0 {
		c.ended <- ends
	}
	return len(p), nil
}

func (c *h2Loop) Close() error                     { return nil }
func (c *h2Loop) SetDeadline(time.Time) error      { return nil }
func (c *h2Loop) SetReadDeadline(time.Time) error  { return nil }
func (c *h2Loop) SetWriteDeadline(time.Time) error { return nil }
func (c *h2Loop) LocalAddr() net.Addr              { return nil }
func (c *h2Loop) RemoteAddr() net.Addr             { return nil }

// BenchmarkH2Server measures one request and its answer, in batches, without a network.
func BenchmarkH2Server(b *testing.B) {
	body := make([]byte, 1024)
	fields := flow.NewHeader(4)
	fields.Add("Content-Type", "text/html; charset=utf-8")
	fields.Add("Cache-Control", "max-age=3600")
	fields.Add("Server", "bench")
	get := func(ex Exchange) {
		ex.Respond(200, fields, int64(len(body)))
		ex.Write(body)
		ex.End(flow.Header{})
	}
	post := func(ex Exchange) {
		var buf [2048]byte
		for {
			if _, err := ex.Body().Read(buf[:]); err != nil {
				break
			}
		}
		get(ex)
	}
	browser := []string{
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", "accept", "text/html,*/*;q=0.8",
		"accept-language", "de,en-US;q=0.7,en;q=0.3", "accept-encoding", "gzip, deflate, br", "cookie", "session=0123456789abcdef",
	}
	for _, bb := range []struct {
		name   string
		size   int
		method string
		handle func(Exchange)
	}{
		{"get", 1, "GET", get}, {"get-batch10", 10, "GET", get}, {"post-batch10", 10, "POST", post},
	} {
		b.Run(bb.name, func(b *testing.B) {
			frames := func(batch bool) []byte {
				return h2Frames(func(fr *http2.Framer, block func(...string) []byte) {
					block(h2Req(bb.method, browser...)...) // fills the table, as the first request does
					p := block(h2Req(bb.method, browser...)...)
					if !batch {
						return
					}
					for range bb.size {
						fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p, EndStream: bb.method == "GET", EndHeaders: true})
						if bb.method != "GET" {
							fr.WriteData(1, true, body)
						}
					}
					fr.WriteWindowUpdate(0, uint32(bb.size*len(body)))
				})
			}
			first := h2Frames(func(fr *http2.Framer, block func(...string) []byte) {
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(h2Req(bb.method, browser...)...), EndStream: true, EndHeaders: true})
			})
			loop := &h2Loop{batch: frames(true), size: bb.size, left: max(1, b.N/bb.size), ended: make(chan int, 1024), buf: first, open: 1, next: 1}
			srv := NewH2Server(H2Config{Handle: bb.handle})
			b.ReportAllocs()
			b.ResetTimer()
			srv.ServeConn(context.Background(), loop)
		})
	}
}

func BenchmarkH2Huffman(b *testing.B) {
	p := h2AppendString(nil, "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0")
	s, _, err := h2ReadString(p)
	if err != nil {
		b.Fatal(err)
	}
	arena := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		arena = arena[:0]
		if _, err := s.decode(&arena, 256); err != nil {
			b.Fatal(err)
		}
	}
}
