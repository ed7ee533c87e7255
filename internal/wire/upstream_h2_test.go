package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"stormdoor/flow"
)

// h2Origin serves clear HTTP/2 with net/http, and is closed before the test ends.
func h2Origin(t *testing.T, h http.HandlerFunc) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return l
}

// h2Script serves clear HTTP/2 frame by frame: f is called for the first request of each connection.
func h2Script(t *testing.T, f func(fr *http2.Framer, h *http2.MetaHeadersFrame)) *script {
	return newScript(t, func(c net.Conn, br *bufio.Reader) {
		_, _ = io.ReadFull(br, make([]byte, len(http2.ClientPreface)))
		fr := http2.NewFramer(c, br)
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = fr.WriteSettings()
		for {
			frame, err := fr.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.MetaHeadersFrame:
				f(fr, frame)
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = fr.WriteSettingsAck()
				}
			}
		}
	})
}

func overH2(c *UpstreamConfig) { c.HTTP2 = true }

func TestH2TargetAndFieldsAreKept(t *testing.T) {
	got := make(chan *http.Request, 1)
	u := upstreamTo(t, h2Origin(t, func(_ http.ResponseWriter, r *http.Request) { got <- r }), overH2)
	for _, target := range []string{"/a%2Fb/c%20d;e=f/(x)'!*?q=%20+%26&s&t=%7e~", "//x/y", "/", "/?", "/a|b?c^d", "/http://x", "*"} {
		r := getRequest(target)
		if target == "*" {
			r.Method = "OPTIONS"
		}
		r.Header.Add("Host", "not.this")
		r.Header.Add("X-One", "1")
		r.Header.Add("Connection", "x-one")
		r.Header.Add("x-one", "2")
		if _, _, err := roundTrip(u, r); err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if target == "*" { // net/http answers it itself
			continue
		}
		o := <-got
		if o.RequestURI != target || o.Host != "a.test" || fmt.Sprint(o.Header) != "map[X-One:[1 2]]" {
			t.Errorf("%s became %s, host %s, %v", target, o.RequestURI, o.Host, o.Header)
		}
	}
}

func TestH2DuplexAndTrailers(t *testing.T) {
	u := upstreamTo(t, h2Origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		w.WriteHeader(200)
		rc := http.NewResponseController(w)
		_ = rc.Flush() // the head goes out while the request has only begun
		buf := make([]byte, 64)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = rc.Flush()
			if err != nil {
				break
			}
		}
		w.Header().Set("Grpc-Status", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"Late", "1")
	}), overH2)
	pr, pw := io.Pipe()
	r := &Request{Method: "POST", Target: "/", Scheme: "http", Authority: "h", Length: -1}
	r.Header.Add("Trailer", "X-Sum") // net/http keeps announced ones only
	res, err := u.RoundTrip(context.Background(), r, pr, func() (h flow.Header) { h.Add("X-Sum", "7"); return h }, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 16)
	for _, s := range []string{"ping", "pong"} {
		_, _ = io.WriteString(pw, s)
		n, err := io.ReadFull(res.Body, buf[:4])
		if string(buf[:n]) != s {
			t.Fatalf("echo %q %v", buf[:n], err)
		}
	}
	pw.Close()
	if _, err := res.Body.Read(buf); err != io.EOF {
		t.Fatal(err)
	}
	if h := res.Trailer(); h.Get("grpc-status") != "7" || h.Get("late") != "1" {
		t.Errorf("trailer %v", h)
	}
}

func TestH2Bodies(t *testing.T) {
	u := upstreamTo(t, h2Origin(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %d", r.ContentLength, len(b))
	}), overH2)
	big := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		length int64
		body   io.Reader
		want   string
	}{
		{0, nil, "0 0"},
		{5, strings.NewReader("hello"), "5 5"},
		{5, struct{ io.Reader }{strings.NewReader("hello")}, "5 5"},
		{-1, strings.NewReader(big), "-1 1048576"},
		{1 << 20, strings.NewReader(big), "1048576 1048576"},
	} {
		r := &Request{Method: "POST", Target: "/", Scheme: "http", Authority: "h", Length: tt.length}
		res, err := u.RoundTrip(context.Background(), r, tt.body, nil, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if string(b) != tt.want || err != nil || res.Length != int64(len(tt.want)) {
			t.Errorf("length %d: %q %v, announced %d", tt.length, b, err, res.Length)
		}
		res.Body.Close()
	}
}

func TestH2Informs(t *testing.T) {
	u := upstreamTo(t, h2Origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.WriteHeader(204)
	}), overH2)
	var seen []string
	res, err := u.RoundTrip(context.Background(), getRequest("/"), nil, nil, Hooks{Inform: func(status int, h flow.Header) {
		seen = append(seen, fmt.Sprint(status, " ", h.Get("link")))
	}})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if fmt.Sprint(seen) != "[103 </a>]" || res.Status != 204 || res.Length != -1 {
		t.Errorf("%q, %d, length %d", seen, res.Status, res.Length)
	}
}

func TestH2Cancel(t *testing.T) {
	gone, begun := make(chan bool), make(chan bool)
	u := upstreamTo(t, h2Origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		begun <- true
		<-r.Context().Done()
		gone <- true
	}), overH2)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-begun; cancel() }()
	if _, err := u.RoundTrip(ctx, getRequest("/"), nil, nil, Hooks{}); faultOf(err) != FaultCanceled {
		t.Errorf("got %v", err)
	}
	<-gone
	ctx, cancel = context.WithCancel(context.Background())
	res, err := u.RoundTrip(ctx, getRequest("/body"), nil, nil, Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	half := make([]byte, len("half"))
	if _, err := io.ReadFull(res.Body, half); string(half) != "half" || err != nil {
		t.Errorf("got %q, %v", half, err)
	}
	cancel()
	if b, err := io.ReadAll(res.Body); len(b) != 0 || faultOf(err) != FaultCanceled {
		t.Errorf("after the end of the request: %q, %v", b, err)
	}
	res.Body.Close()
	<-gone
}

func TestH2Timeouts(t *testing.T) {
	u := upstreamTo(t, h2Origin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}), overH2, func(c *UpstreamConfig) { c.ResponseTimeout, c.IdleTimeout = 100*time.Millisecond, 200*time.Millisecond })
	if _, _, err := roundTrip(u, getRequest("/")); faultOf(err) != FaultTimeout {
		t.Errorf("head: %v", err)
	}
	if _, _, err := roundTrip(u, getRequest("/body")); faultOf(err) != FaultTimeout {
		t.Errorf("body: %v", err)
	}
}

func TestH2Faults(t *testing.T) {
	headers := func(fr *http2.Framer, id uint32, end bool, fields ...string) {
		var b strings.Builder
		enc := hpack.NewEncoder(&b)
		for i := 0; i < len(fields); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(b.String()), EndHeaders: true, EndStream: end})
	}
	tests := []struct {
		name   string
		f      func(fr *http2.Framer, id uint32)
		fault  Fault
		unseen bool
	}{
		{"goaway", func(fr *http2.Framer, _ uint32) { _ = fr.WriteGoAway(0, http2.ErrCodeNo, nil) }, FaultStale, true},
		{"refused stream", func(fr *http2.Framer, id uint32) { _ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, FaultClosed, true},
		{"reset", func(fr *http2.Framer, id uint32) { _ = fr.WriteRSTStream(id, http2.ErrCodeInternal) }, FaultClosed, false},
		{"no status", func(fr *http2.Framer, id uint32) { headers(fr, id, true, "x", "y") }, FaultGarbage, false},
		{"odd status", func(fr *http2.Framer, id uint32) { headers(fr, id, true, ":status", "20") }, FaultGarbage, false},
		{"upper case", func(fr *http2.Framer, id uint32) { headers(fr, id, true, ":status", "200", "X", "1") }, FaultGarbage, false},
		{"too large", func(fr *http2.Framer, id uint32) {
			headers(fr, id, true, ":status", "200", "x", strings.Repeat("a", 9000))
		}, FaultGarbage, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := upstreamTo(t, h2Script(t, func(fr *http2.Framer, h *http2.MetaHeadersFrame) { tt.f(fr, h.StreamID) }), overH2,
				func(c *UpstreamConfig) { c.MaxHeadBytes = 8 << 10 })
			_, _, err := roundTrip(u, getRequest("/"))
			var ue *UpstreamError
			if !errors.As(err, &ue) || ue.Fault != tt.fault || ue.Unseen != tt.unseen {
				t.Errorf("got %+v", ue)
			}
		})
	}
	t.Run("not HTTP/2", func(t *testing.T) {
		u := upstreamTo(t, newScript(t, func(c net.Conn, br *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}), overH2)
		if _, _, err := roundTrip(u, getRequest("/")); faultOf(err) == 0 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("body cut off", func(t *testing.T) {
		u := upstreamTo(t, h2Script(t, func(fr *http2.Framer, h *http2.MetaHeadersFrame) {
			headers(fr, h.StreamID, false, ":status", "200", "content-length", "10")
			_ = fr.WriteData(h.StreamID, true, []byte("half"))
		}), overH2)
		if _, b, err := roundTrip(u, getRequest("/")); string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %q %v", b, err)
		}
	})
}

// A request that waits for more of its body must not hold the answer's failure back.
func TestH2ResetWhileUploading(t *testing.T) {
	u := upstreamTo(t, h2Script(t, func(fr *http2.Framer, h *http2.MetaHeadersFrame) {
		_ = fr.WriteRSTStream(h.StreamID, http2.ErrCodeRefusedStream)
	}), overH2)
	pr, pw := io.Pipe()
	defer pw.Close()
	r := &Request{Method: "POST", Target: "/", Scheme: "http", Authority: "h", Length: -1}
	_, err := u.RoundTrip(context.Background(), r, pr, nil, Hooks{})
	if faultOf(err) != FaultClosed {
		t.Errorf("got %v", err)
	}
}

func TestH2BodyThatFails(t *testing.T) {
	u := upstreamTo(t, h2Origin(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }), overH2)
	r := &Request{Method: "POST", Target: "/", Scheme: "http", Authority: "h", Length: 10}
	body := io.MultiReader(strings.NewReader("hello"), iotestErr{errors.New("visitor left")})
	if _, err := u.RoundTrip(context.Background(), r, body, nil, Hooks{}); faultOf(err) != FaultBody {
		t.Errorf("got %v", err)
	}
}
