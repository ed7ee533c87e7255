package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"stormdoor/flow"
)

// StdHandler serves exchanges from net/http: the embedded form of the door, HTTP/3, and the slow, obvious twin of our
// own servers. serve is called once for each request, in the request's goroutine.
func StdHandler(serve func(Exchange)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := NewStdExchange(w, r)
		serve(ex)
		if ex.Aborted() {
			panic(http.ErrAbortHandler) // net/http's documented way to break an answer off
		}
	})
}

// StdExchange is an Exchange over net/http.
type StdExchange struct {
	w    http.ResponseWriter
	r    *http.Request
	rc   *http.ResponseController
	conn Conn
	req  Request

	responded, aborted, hijacked bool
}

type connKey struct{}

// StdConnContext is for http.Server.ConnContext: it lets exchanges know their Conn when the listener hands out Informed
// connections.
func StdConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// NewStdExchange wraps one request of net/http.
func NewStdExchange(w http.ResponseWriter, r *http.Request) *StdExchange {
	ex := &StdExchange{w: w, r: r, rc: http.NewResponseController(w)}
	_ = ex.rc.EnableFullDuplex() // an error means that the version is full duplex anyway
	ex.conn = stdConn(r)
	ex.req = stdRequest(r)
	return ex
}

func stdConn(r *http.Request) Conn {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		if info := infoOf(c); info != nil {
			return *info
		}
	}
	var c Conn
	c.Peer, _ = netip.ParseAddrPort(r.RemoteAddr)
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		c.Local, _ = netip.ParseAddrPort(a.String())
	}
	if r.TLS != nil {
		c.TLS, c.ServerName = true, r.TLS.ServerName
	}
	return c
}

// infoOf finds the Informed connection in c or below it; nil when there is none.
func infoOf(c net.Conn) *Conn {
	for c != nil {
		if i, ok := c.(Informed); ok {
			return i.Info()
		}
		n, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = n.NetConn()
	}
	return nil
}

func stdRequest(r *http.Request) Request {
	q := Request{Method: r.Method, Target: r.RequestURI, Scheme: "http", Authority: r.Host, Length: r.ContentLength}
	if r.TLS != nil {
		q.Scheme = "https"
	}
	switch r.ProtoMajor {
	case 3:
		q.Proto = flow.HTTP3
	case 2:
		q.Proto = flow.HTTP2
	default:
		q.Proto = flow.HTTP11
		if r.ProtoMinor == 0 {
			q.Proto = flow.HTTP10
		}
	}
	if q.Target == "" {
		q.Target = r.URL.RequestURI()
	} else if i := strings.Index(q.Target, "://"); i > 0 && q.Target[0] != '/' {
		q.Target = originForm(q.Target[i+3:])
	}
	q.Header = stdHeader(r.Header)
	q.Trailers = r.ProtoMajor >= 2 || hasToken(r.Header["Te"], "trailers")
	if p := r.Header.Get(":protocol"); p != "" { // extended CONNECT, RFC 8441
		q.Upgrade = strings.ToLower(p)
		q.Header.Del(":protocol")
		q.Target = r.URL.RequestURI()
	} else if r.ProtoMajor == 1 && hasToken(r.Header["Connection"], "upgrade") {
		q.Upgrade = strings.ToLower(r.Header.Get("Upgrade"))
	}
	if r.ProtoMajor == 1 && r.Host != "" {
		q.Header.Add("Host", r.Host)
	}
	return q
}

// originForm cuts the authority off what follows "://" in an absolute form.
func originForm(s string) string {
	i := strings.IndexAny(s, "/?")
	switch {
	case i < 0:
		return "/"
	case s[i] == '?':
		return "/" + s[i:]
	}
	return s[i:]
}

// stdHeader puts the fields in a fixed order, because net/http has forgotten theirs.
func stdHeader(from http.Header) flow.Header {
	names := make([]string, 0, len(from))
	for n := range from {
		names = append(names, n)
	}
	slices.Sort(names)
	h := flow.NewHeader(len(names) + 1)
	for _, n := range names {
		for _, v := range from[n] {
			h.Add(n, v)
		}
	}
	return h
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if flow.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// Conn is documented at Exchange, as are the methods that follow.
func (ex *StdExchange) Conn() *Conn { return &ex.conn }

// Request returns the head.
func (ex *StdExchange) Request() *Request { return &ex.req }

// Context ends with the request.
func (ex *StdExchange) Context() context.Context { return ex.r.Context() }

// Body returns the body.
func (ex *StdExchange) Body() io.Reader { return ex.r.Body }

// Trailer returns the request's trailer section.
func (ex *StdExchange) Trailer() flow.Header { return stdHeader(ex.r.Trailer) }

// Inform sends an interim answer.
func (ex *StdExchange) Inform(status int, h flow.Header) error {
	if ex.responded {
		return errors.New("an interim answer cannot follow the final one")
	}
	if ex.req.Proto == flow.HTTP10 || status == http.StatusContinue {
		return nil // net/http sends 100 by itself
	}
	out := ex.w.Header()
	for f := range h.All() {
		out[http.CanonicalHeaderKey(f.Name)] = append(out[http.CanonicalHeaderKey(f.Name)], f.Value)
	}
	ex.w.WriteHeader(status)
	clear(out)
	return nil
}

// Respond sends the head.
func (ex *StdExchange) Respond(status int, h flow.Header, length int64) error {
	if ex.responded {
		return errors.New("a second answer to one request")
	}
	ex.responded = true
	out := ex.w.Header()
	for f := range h.All() {
		k := http.CanonicalHeaderKey(f.Name)
		out[k] = append(out[k], f.Value)
	}
	if out["Content-Type"] == nil {
		out["Content-Type"] = nil // says to net/http: do not guess one
	}
	if length >= 0 && status != http.StatusNoContent && status >= 200 {
		out.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	ex.w.WriteHeader(status)
	if length < 0 {
		return ex.rc.Flush()
	}
	return nil
}

// Write sends a part of the body.
func (ex *StdExchange) Write(p []byte) (int, error) { return ex.w.Write(p) }

// Flush sends what Write has taken.
func (ex *StdExchange) Flush() error { return ex.rc.Flush() }

// End completes the answer.
func (ex *StdExchange) End(trailer flow.Header) error {
	if !ex.req.Trailers {
		return nil
	}
	for f := range trailer.All() {
		ex.w.Header().Add(http.TrailerPrefix+http.CanonicalHeaderKey(f.Name), f.Value)
	}
	return nil
}

// CloseAfter asks for the end of the connection.
func (ex *StdExchange) CloseAfter() { ex.w.Header().Set("Connection", "close") }

// Abort breaks the exchange off once the serving function has returned.
func (ex *StdExchange) Abort() { ex.aborted = true }

// Aborted reports whether the exchange was broken off: the handler has to panic with http.ErrAbortHandler.
func (ex *StdExchange) Aborted() bool { return ex.aborted || !ex.responded && !ex.hijacked }

// SetReadDeadline bounds reads of the body.
func (ex *StdExchange) SetReadDeadline(t time.Time) error { return ex.rc.SetReadDeadline(t) }

// SetWriteDeadline bounds writes of the answer.
func (ex *StdExchange) SetWriteDeadline(t time.Time) error { return ex.rc.SetWriteDeadline(t) }

// Upgrade switches protocols: by 101 and hijacking in HTTP/1.1, by 200 and DATA frames after an extended CONNECT.
func (ex *StdExchange) Upgrade(h flow.Header) (Stream, error) {
	if ex.req.Upgrade == "" {
		return nil, errors.New("the request did not ask for another protocol")
	}
	if ex.r.ProtoMajor >= 2 {
		if err := ex.Respond(http.StatusOK, h, -1); err != nil {
			return nil, err
		}
		return &stdStream{ex}, nil
	}
	c, rw, err := ex.rc.Hijack()
	if err != nil {
		return nil, fmt.Errorf("the server cannot hand its connection over: %w", err)
	}
	ex.hijacked = true
	_ = c.SetDeadline(time.Time{})
	rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + ex.req.Upgrade + "\r\n")
	for f := range h.All() {
		rw.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	rw.WriteString("\r\n")
	if err := rw.Flush(); err != nil {
		c.Close()
		return nil, err
	}
	return &hijacked{Conn: c, r: rw.Reader}, nil
}

// hijacked is a connection taken over from net/http, with what its reader had already read.
type hijacked struct {
	net.Conn
	r *bufio.Reader
}

func (h *hijacked) Read(p []byte) (int, error) { return h.r.Read(p) }

func (h *hijacked) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return h.Conn.Close()
}

// stdStream is the stream of an extended CONNECT. Its end is the end of the exchange.
type stdStream struct{ ex *StdExchange }

func (s *stdStream) Read(p []byte) (int, error) { return s.ex.r.Body.Read(p) }

func (s *stdStream) Write(p []byte) (int, error) {
	n, err := s.ex.w.Write(p)
	if err == nil {
		err = s.ex.rc.Flush()
	}
	return n, err
}

func (s *stdStream) Close() error      { return s.ex.r.Body.Close() }
func (s *stdStream) CloseWrite() error { return nil } // ends with the exchange

func (s *stdStream) SetDeadline(t time.Time) error {
	return errors.Join(s.ex.rc.SetReadDeadline(t), s.ex.rc.SetWriteDeadline(t))
}
