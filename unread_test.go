package stormdoor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"stormdoor/flow"
)

// Every request that cannot be read has one outcome, is counted by what was wrong, and can be explained by the reference
// of its answer, over HTTP/1.1 and HTTP/2.
func TestUnreadableRequestsHaveAnOutcome(t *testing.T) {
	asked := 0
	r := start(t, "sites: [{hosts: ['*'], origins: ['"+upstream(t, func(http.ResponseWriter, *http.Request) { asked++ })+"']}]")
	addr := strings.TrimPrefix(r.url, "http://")
	for _, tt := range []struct {
		name, class string
		status      int
		reason      flow.Reason
		send        func(t *testing.T, c net.Conn) (status int, ref string)
	}{
		{"two lengths", "framing", 400, flow.RequestMalformed, h1Raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")},
		{"two hosts", "host", 400, flow.RequestMalformed, h1Raw("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")},
		{"a large head", "size", 431, flow.RequestTooLarge, h1Raw("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 40_000) + "\r\n\r\n")},
		{"another version", "version", 505, flow.RequestMalformed, h1Raw("GET / HTTP/1.2\r\nHost: a\r\n\r\n")},
		{"HTTP/2, a large head", "size", 431, flow.RequestTooLarge, h2Raw(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "x", strings.Repeat("~", 39_000))},
		{"HTTP/2, a bad path", "line", 400, flow.RequestMalformed, h2Raw(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "x")},
		{"HTTP/2, another tunnel", "http2", 501, flow.RequestMalformed, h2Raw(":method", "CONNECT", ":protocol", "x", ":scheme", "http", ":authority", "a", ":path", "/")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			metric := `stormdoor_requests_malformed_total{class="` + tt.class + `"} `
			before := r.metric(t, metric)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			status, ref := tt.send(t, c)
			if status != tt.status {
				t.Errorf("answered %d, want %d", status, tt.status)
			}
			if got := r.metric(t, metric); got != before+1 {
				t.Errorf("%s went from %d to %d", metric, before, got)
			}
			id, ok := flow.ParseRequestID(ref)
			if !ok {
				t.Fatalf("the reference is %q", ref)
			}
			x, ok := r.door.ExplainRecent(t.Context(), id)
			if !ok || x.Reason != tt.reason || x.Ended == nil || x.Ended.Status != tt.status || x.Ended.Error == "" || x.Client != "127.0.0.1" {
				t.Errorf("explained: %v, %+v, %+v", ok, x, x.Ended)
			}
		})
	}
	if asked != 0 {
		t.Errorf("the origin saw %d requests", asked)
	}
}

// A body that cannot be read is answered with 400 too, and counted.
func TestUnreadableBody(t *testing.T) {
	r := start(t, "sites: [{hosts: ['*'], origins: ['"+upstream(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })+"']}]")
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	status, ref := h1Raw("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX")(t, c)
	c.Close()
	r.stop() // the outcome is written when the answer is out
	id, _ := flow.ParseRequestID(ref)
	x, ok := r.door.ExplainRecent(t.Context(), id)
	if status != 400 || !ok || x.Reason != flow.RequestMalformed {
		t.Errorf("answered %d; explained: %v, %+v", status, ok, x)
	}
	if n := r.metric(t, `stormdoor_requests_malformed_total{class="framing"} `); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func h1Raw(text string) func(*testing.T, net.Conn) (int, string) {
	return func(t *testing.T, c net.Conn) (int, string) {
		go io.WriteString(c, text)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header.Get("Stormdoor-Request-Id")
	}
}

func h2Raw(fields ...string) func(*testing.T, net.Conn) (int, string) {
	return func(t *testing.T, c net.Conn) (status int, ref string) {
		var block strings.Builder
		enc := hpack.NewEncoder(&block)
		for i := 0; i < len(fields); i += 2 {
			enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		io.WriteString(c, http2.ClientPreface)
		fr := http2.NewFramer(c, c)
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		fr.WriteSettings()
		b := []byte(block.String())
		first := b[:min(len(b), 16000)]
		b = b[len(first):]
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: true, EndHeaders: len(b) == 0})
		for len(b) > 0 {
			part := b[:min(len(b), 16000)]
			b = b[len(part):]
			fr.WriteContinuation(1, len(b) == 0, part)
		}
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if m, ok := f.(*http2.MetaHeadersFrame); ok {
				for _, x := range m.Fields {
					switch x.Name {
					case ":status":
						fmt.Sscan(x.Value, &status)
					case "stormdoor-request-id":
						ref = x.Value
					}
				}
				return status, ref
			}
		}
	}
}

// metric reads one series of the door's metrics.
func (r *running) metric(t *testing.T, prefix string) (n int) {
	t.Helper()
	w := httptest.NewRecorder()
	r.door.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			fmt.Sscan(rest, &n)
			return n
		}
	}
	t.Errorf("there is no metric %s", prefix)
	return 0
}
