package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"stormdoor/flow"
)

// h2Tester is a client that sends frames one by one and notes what comes back. It lives in a synctest bubble.
type h2Tester struct {
	t    *testing.T
	srv  *H2Server
	c    net.Conn
	fr   *http2.Framer
	enc  *hpack.Encoder
	hb   bytes.Buffer
	done chan struct{}

	mu   sync.Mutex
	seen []h2Seen
	gone bool
}

// h2Seen is a frame from the server.
type h2Seen struct {
	kind   http2.FrameType
	id     uint32
	flags  http2.Flags
	code   http2.ErrCode
	fields map[string]string
	data   string
	n      uint32 // increment, or GOAWAY's last stream
}

func (s h2Seen) end() bool { return s.flags&http2.FlagDataEndStream != 0 }

// h2Bubble runs f with a client that has sent the preface and its settings.
func h2Bubble(t *testing.T, cfg H2Config, f func(t *testing.T, h *h2Tester)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newH2Tester(t, cfg)
		defer h.close()
		h.begun()
		f(t, h)
	})
}

// newH2Tester returns a client that has sent nothing yet and does not listen.
func newH2Tester(t *testing.T, cfg H2Config) *h2Tester {
	if cfg.Handle == nil {
		cfg.Handle = h2Hello
	}
	return h2TesterOf(t, NewH2Server(cfg))
}

// another is a second client of the same server, that has begun.
func (h *h2Tester) another() *h2Tester {
	o := h2TesterOf(h.t, h.srv)
	o.begun()
	return o
}

// begun sends what a client sends first.
func (h *h2Tester) begun() {
	go h.listen()
	h.send(func() {
		io.WriteString(h.c, http2.ClientPreface)
		h.fr.WriteSettings()
	})
}

func h2TesterOf(t *testing.T, srv *H2Server) *h2Tester {
	server, client := net.Pipe()
	h := &h2Tester{t: t, srv: srv, c: client, done: make(chan struct{})}
	h.fr = http2.NewFramer(client, client)
	h.fr.AllowIllegalWrites = true
	h.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.enc = hpack.NewEncoder(&h.hb)
	go func() {
		defer close(h.done)
		h.srv.ServeConn(context.Background(), server)
	}()
	return h
}

func (h *h2Tester) listen() {
	for {
		f, err := h.fr.ReadFrame()
		h.mu.Lock()
		if err != nil {
			h.gone = true
			h.mu.Unlock()
			return
		}
		h.seen = append(h.seen, h2See(f))
		h.mu.Unlock()
	}
}

func h2See(f http2.Frame) h2Seen {
	s := h2Seen{kind: f.Header().Type, id: f.Header().StreamID, flags: f.Header().Flags}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		s.fields = map[string]string{}
		for _, x := range f.Fields {
			s.fields[x.Name] = x.Value
		}
	case *http2.DataFrame:
		s.data = string(f.Data())
	case *http2.RSTStreamFrame:
		s.code = f.ErrCode
	case *http2.GoAwayFrame:
		s.code, s.n = f.ErrCode, f.LastStreamID
	case *http2.WindowUpdateFrame:
		s.n = f.Increment
	}
	return s
}

func (h *h2Tester) close() {
	h.c.Close()
	<-h.done
	synctest.Wait()
}

// send runs f and waits until the server has nothing more to do. Writing to a server that has ended is no failure.
func (h *h2Tester) send(f func()) {
	f()
	synctest.Wait()
}

// block encodes fields given as name, value in turn.
func (h *h2Tester) block(fields ...string) []byte {
	h.hb.Reset()
	for i := 0; i < len(fields); i += 2 {
		h.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(h.hb.Bytes())
}

// get returns the fields of a good request with more of them.
func h2Get(more ...string) []string { return h2Req("GET", more...) }

func h2Req(method string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "http", ":authority", "a.example", ":path", "/"}, more...)
}

func (h *h2Tester) headers(id uint32, end bool, fields ...string) {
	h.send(func() { h.rawHeaders(id, end, fields...) })
}

func (h *h2Tester) rawHeaders(id uint32, end bool, fields ...string) {
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.block(fields...), EndStream: end, EndHeaders: true})
}

func (h *h2Tester) data(id uint32, end bool, p string) {
	h.send(func() { h.fr.WriteData(id, end, []byte(p)) })
}

// frames returns what came on stream id (any with 0) of a kind.
func (h *h2Tester) frames(kind http2.FrameType, id uint32) (out []h2Seen) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.seen {
		if s.kind == kind && (id == 0 || s.id == id) {
			out = append(out, s)
		}
	}
	return out
}

// answer sums up what became of a stream: "200 body", "reset CODE", or both; "end" is left out, its absence noted by "…".
func (h *h2Tester) answer(id uint32) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []string
	body, ended := "", false
	for _, s := range h.seen {
		if s.id != id {
			continue
		}
		switch s.kind {
		case http2.FrameHeaders:
			if st := s.fields[":status"]; st != "" {
				parts = append(parts, st)
			} else {
				parts = append(parts, "trailers")
			}
			ended = ended || s.end()
		case http2.FrameData:
			body += s.data
			ended = ended || s.end()
		case http2.FrameRSTStream:
			parts = append(parts, "reset "+s.code.String())
			ended = true
		}
	}
	if body != "" {
		parts = append(parts, body)
	}
	if !ended && len(parts) > 0 {
		parts = append(parts, "…")
	}
	return strings.Join(parts, " ")
}

// away returns the error code of the last GOAWAY, "" for none.
func (h *h2Tester) away() string {
	if g := h.frames(http2.FrameGoAway, 0); len(g) > 0 {
		return g[len(g)-1].code.String()
	}
	return ""
}

// closed reports whether the server has closed the connection.
func (h *h2Tester) closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

func (h *h2Tester) want(id uint32, answer string) {
	h.t.Helper()
	if got := h.answer(id); got != answer {
		h.t.Errorf("stream %d: answer %q, want %q", id, got, answer)
	}
}

func (h *h2Tester) wantAway(code string) {
	h.t.Helper()
	if got := h.away(); got != code {
		h.t.Errorf("GOAWAY %q, want %q", got, code)
	}
}

// h2Hello answers everything with "hello".
func h2Hello(ex Exchange) { h2Say(ex, "hello") }

func h2Say(ex Exchange, text string) {
	var h flow.Header
	h.Add("Content-Type", "text/plain")
	if ex.Respond(200, h, int64(len(text))) == nil {
		io.WriteString(ex, text)
		ex.End(flow.Header{})
	}
}

// h2Echo answers with the request's body and trailers.
func h2Echo(ex Exchange) {
	b, err := io.ReadAll(ex.Body())
	if err != nil {
		return
	}
	ex.Respond(200, flow.Header{}, -1)
	ex.Write(b)
	ex.End(ex.Trailer())
}

// h2Gate is a handler that holds its requests until it is opened.
type h2Gate struct {
	mu   sync.Mutex
	n    int
	open chan struct{}
}

func newH2Gate() *h2Gate { return &h2Gate{open: make(chan struct{})} }

func (g *h2Gate) handle(ex Exchange) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	<-g.open
	h2Hello(ex)
}

func (g *h2Gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

func h2Show(r *Request) string {
	s := fmt.Sprintf("%s %s %s %s len=%d", r.Method, r.Scheme, r.Authority, r.Target, r.Length)
	for f := range r.Header.All() {
		s += fmt.Sprintf(" [%s=%s]", f.Name, f.Value)
	}
	return s
}

// h2Forever is longer than any timeout of the server.
const h2Forever = time.Hour
