package wire

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
)

// h1Read reads one request from raw as a server does. left is what is behind it.
func h1Read(raw []byte) (r h1Request, body []byte, trailer flow.Header, left []byte, err error) {
	src := bytes.NewReader(raw)
	in := h1Reader{src: src, blocks: new(h1Blocks)}
	head, _, err := in.head(h1HeadRules{max: 32 << 10, skip: true, first: judgeRequestLine})
	if err != nil {
		return r, nil, trailer, nil, err
	}
	if err := r.parse(string(head), "http", 100); err != nil {
		return r, nil, trailer, nil, err
	}
	var f h1Framed
	f.reset(&in, r.framing, r.Length, 32<<10, 100)
	body, err = io.ReadAll(&f)
	rest, _ := io.ReadAll(src)
	left = append(append(left, in.buf[in.r:in.w]...), rest...)
	return r, body, f.trailer, left, err
}

// net/http is the lax twin: whatever we accept it must accept, with the same meaning and the same end. Where it is
// stricter, or says it otherwise:
//   - it knows no empty line in front of a request;
//   - it refuses odd percent signs in a path, and some hosts, by net/url;
//   - it leaves an absolute form as it is, and takes the host out of it.
func FuzzH1Request(f *testing.F) {
	for _, v := range h1Vectors(f) {
		f.Add([]byte(v.raw))
		f.Add([]byte(v.raw + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"))
	}
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:\r\nA: b\r\n\r\n")) // the first trailer of a name is empty
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, body, trailer, left, err := h1Read(raw)
		if err != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, crlf)))
		q, err := http.ReadRequest(br)
		if err != nil {
			if _, uerr := url.ParseRequestURI(r.Target); uerr != nil {
				return
			}
			if _, uerr := url.ParseRequestURI("http://" + r.Authority + "/"); uerr != nil {
				return
			}
			t.Fatalf("net/http refuses it: %v", err)
		}
		qbody, err := io.ReadAll(q.Body)
		if err != nil {
			t.Fatalf("net/http refuses the body: %v", err)
		}
		qleft, _ := io.ReadAll(br)
		target := q.RequestURI
		if !strings.HasPrefix(target, "/") && target != "*" {
			_, rest, _ := strings.Cut(target, "://")
			if target = originForm(rest); target == "/" && r.Method == "OPTIONS" && !strings.Contains(rest, "/") {
				target = "*"
			}
		}
		proto := map[flow.Proto]string{flow.HTTP10: "HTTP/1.0", flow.HTTP11: "HTTP/1.1"}[r.Proto]
		switch {
		case q.Method != r.Method || target != r.Target || q.Proto != proto:
			t.Errorf("%s %s %s; net/http: %s %s %s", r.Method, r.Target, proto, q.Method, target, q.Proto)
		case !flow.EqualFold(q.Host, r.Authority):
			t.Errorf("host %q; net/http: %q", r.Authority, q.Host)
		case !bytes.Equal(body, qbody):
			t.Errorf("body %q; net/http: %q", body, qbody)
		case !bytes.Equal(left, qleft):
			t.Errorf("left %q; net/http: %q", left, qleft)
		case q.ContentLength != r.Length:
			t.Errorf("length %d; net/http: %d", r.Length, q.ContentLength)
		case q.Close == r.keep:
			t.Errorf("keep %v; net/http: close %v", r.keep, q.Close)
		}
		compareFields(t, r.Header, q.Header)
		for tf := range trailer.All() {
			if len(q.Trailer.Values(tf.Name)) == 0 && tf.Value != "" {
				t.Errorf("trailer %q is unknown to net/http", tf.Name)
			}
		}
		writeAgain(t, &r.Request, body, trailer)
	})
}

// compareFields holds fields that net/http keeps to ours.
func compareFields(t *testing.T, ours flow.Header, theirs http.Header) {
	for name, values := range theirs {
		i := 0
		for v := range ours.Values(name) {
			if i >= len(values) || values[i] != v {
				t.Errorf("%s: %q is not in %q", name, v, values)
			}
			i++
		}
		if i != len(values) {
			t.Errorf("%s: %d values of %d", name, i, len(values))
		}
	}
}

// writeAgain sends what was read on, and reads it back: an origin must understand what we have understood.
func writeAgain(t *testing.T, r *Request, body []byte, trailer flow.Header) {
	if r.Authority == "" {
		return // only HTTP/1.0 can say that
	}
	out, err := appendRequestHead(nil, r)
	if err != nil {
		t.Fatalf("it cannot be sent on: %v", err)
	}
	if r.Length < 0 {
		if len(body) > 0 {
			chunk := make([]byte, chunkFront+len(body)+chunkBack)
			copy(chunk[chunkFront:], body)
			out = append(out, frameChunk(chunk, len(body))...)
		}
		if out, err = appendTrailer(out, trailer); err != nil {
			t.Fatalf("the trailer cannot be sent on: %v", err)
		}
	} else {
		out = append(out, body...)
	}
	r2, body2, trailer2, left, err := h1Read(append(out, "GET"...))
	if err != nil {
		t.Fatalf("read again: %v in %q", err, out)
	}
	if r2.Method != r.Method || r2.Target != r.Target || r2.Authority != r.Authority || !bytes.Equal(body, body2) || string(left) != "GET" ||
		trailer2.Len() != trailer.Len() || r2.Upgrade != r.Upgrade {
		t.Errorf("sent on as %q", out)
	}
}

// Whatever we accept of an answer net/http must accept with the same meaning. It is stricter about nothing; it is laxer
// about much, and knows no bodies of interim answers either.
func FuzzH1Answer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 200\r\n\r\nhello", "HTTP/1.1 204 No\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nmore", "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close, x\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, isHead bool) {
		src := bytes.NewReader(raw)
		c := &h1UpConn{up: &h1Upstream{cfg: UpstreamConfig{MaxIdle: -1}.withDefaults()}, c: discardConn{}}
		c.in = h1Reader{src: src, blocks: new(h1Blocks)}
		trip := h1Trip{conn: c, req: &Request{Method: "GET"}}
		if isHead {
			trip.req.Method = "HEAD"
		}
		res, err := trip.receive()
		if err != nil || trip.informs > 0 {
			return
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return
		}
		q, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: trip.req.Method})
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		qbody, err := io.ReadAll(q.Body)
		if err != nil {
			t.Fatalf("net/http refuses the body: %v", err)
		}
		if q.StatusCode != res.Status || !bytes.Equal(body, qbody) {
			t.Errorf("%d %q; net/http: %d %q", res.Status, body, q.StatusCode, qbody)
		}
		if res.Status != 204 && q.ContentLength != res.Length && !(isHead && res.Length >= 0) && res.Status != 304 {
			t.Errorf("length %d; net/http: %d", res.Length, q.ContentLength)
		}
	})
}

// discardConn takes everything and gives nothing.
type discardConn struct{ net.Conn }

func (discardConn) Close() error                     { return nil }
func (discardConn) SetReadDeadline(time.Time) error  { return nil }
func (discardConn) SetWriteDeadline(time.Time) error { return nil }
