// Package wire is HTTP on the wire. It answers "what exactly was sent, and how is it sent on?": servers and upstream
// clients for HTTP/1.1 and HTTP/2 behind two small seams, Exchange towards visitors and Upstream towards origins. It
// judges syntax, never visitors.
package wire

import (
	"context"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"stormdoor/flow"
)

// Conn is what is known of a visitor's connection before its first request. Only the count of refusals changes afterwards.
type Conn struct {
	// Peer is the other end, or what a trusted PROXY header says it is; Local is our end. The address of a unix
	// socket is the zero AddrPort.
	Peer, Local netip.AddrPort
	// Via is the sender of a trusted PROXY header, invalid when there was none.
	Via netip.AddrPort
	// TLS is true on an encrypted connection; ServerName is its SNI in lower case, JA4 its ClientHello's fingerprint.
	TLS        bool
	ServerName string
	JA4        string

	refusals uint32 // see Refused; atomic, because exchanges of HTTP/2 run side by side
	first    uint32 // see First
}

// First says that the connection is a visitor's whom others wait for: its event loop serves it before others, while it has more to do
// than it can. Where there is no event loop it does nothing.
func (c *Conn) First(first bool) {
	n := uint32(0)
	if first {
		n = 1
	}
	atomic.StoreUint32(&c.first, n)
}

// ComesFirst reports what First has said.
func (c *Conn) ComesFirst() bool { return atomic.LoadUint32(&c.first) != 0 }

// Refused notes that a request of the connection was refused, and returns how many have been since the last one that
// was not: see NotRefused.
func (c *Conn) Refused() int { return int(atomic.AddUint32(&c.refusals, 1)) }

// NotRefused notes that a request of the connection was let in.
func (c *Conn) NotRefused() {
	if atomic.LoadUint32(&c.refusals) != 0 {
		atomic.StoreUint32(&c.refusals, 0)
	}
}

// Informed is a net.Conn that knows its Conn. Listeners hand such connections out; a TLS connection around one counts
// too (tls.Conn.NetConn).
type Informed interface {
	Info() *Conn
}

// Request is the head of a request.
type Request struct {
	Proto  flow.Proto
	Method string
	// Target is in origin form ("/a?b") or "*"; an absolute form has been taken apart by the server, byte for byte.
	Target string
	// Scheme is "http" or "https". On a server it is the connection's own and never the client's word.
	Scheme string
	// Authority is the Host field or ":authority", as sent.
	Authority string
	// Header holds the fields in order, without pseudo-header fields. A server leaves Host in for HTTP/1.1; an
	// upstream client ignores a Host field and writes Authority instead.
	Header flow.Header
	// Length is the length of the body in bytes: 0 none, -1 not known beforehand (chunked).
	Length int64
	// Upgrade is the protocol that the client asks to switch to ("websocket"), in lower case, from Upgrade (RFC 9110,
	// section 7.8) or extended CONNECT (RFC 8441); "" for none.
	Upgrade string
	// Trailers is true when the client says that it understands trailer fields (TE: trailers, or HTTP/2).
	Trailers bool
}

// Exchange is one request of a visitor and its answer. It belongs to the goroutine that serves it; only Body may be
// read by another goroutine while this one writes. Everything it hands out is valid until the serving function returns.
//
// The goroutine may serve many connections in turn, so the serving function must not wait for anything but the exchange and
// a round trip under its context. It waits for anything else in Block. Before it waits in another way, or hands the exchange to another goroutine, it asks
// for Context().Done(), which gives it a goroutine of its own.
//
// The order of calls is: any number of Inform, then Respond once, then Write and Flush, then End; or Upgrade instead of
// Respond; or Abort at any point. A serving function that returns before Respond has aborted.
type Exchange interface {
	Conn() *Conn
	Request() *Request
	// Context ends when the visitor is gone, or when the exchange is over. Its Done is first called by the goroutine that
	// serves the exchange.
	Context() context.Context
	// Body is the request's body, never nil. The first Read sends 100 Continue where the client waits for it. It alone
	// stays safe to call when the exchange is over: an upstream may still be reading, and gets an error from then on.
	Body() io.Reader
	// Trailer is the request's trailer section, complete once Body has returned io.EOF.
	Trailer() flow.Header
	// Inform sends an interim answer (1xx, not 101). It does nothing where the client's version has none.
	Inform(status int, h flow.Header) error
	// Respond sends the head of the answer, unless it waits a moment to go out with the body. The body's length is
	// length bytes, or not known when length is -1. For HEAD, 204 and 304 length is only announced (-1: not at all).
	// Connection-level fields are the exchange's own matter: h must hold none, and neither Content-Length nor
	// Transfer-Encoding.
	Respond(status int, h flow.Header, length int64) error
	Write(p []byte) (int, error)
	// Flush sends what Write has taken so far.
	Flush() error
	// End completes the answer, with a trailer section where the client's version and request allow one.
	End(trailer flow.Header) error
	// Upgrade accepts the protocol switch that the request asked for, with the fields h, and hands over the bytes
	// from then on. The caller closes the stream.
	Upgrade(h flow.Header) (Stream, error)
	// CloseAfter asks that the connection take no further request once this answer is complete. It comes before Respond.
	CloseAfter()
	// Abort breaks the exchange off in such a way that the visitor cannot take a part for the whole.
	Abort()
	// SetReadDeadline and SetWriteDeadline bound reads of Body and writes of the answer from now on, on this exchange
	// only as far as its protocol lets one exchange wait alone. The zero time removes the bound.
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Stream is a connection after a protocol switch: bytes both ways. Read and Write may be called concurrently. Close may be
// called at any time, more than once, and ends both.
type Stream interface {
	io.ReadWriteCloser
	// CloseWrite tells the other side that nothing more will come, and leaves reading open.
	CloseWrite() error
	SetDeadline(time.Time) error
}

// Response is the head of an origin's answer, with its body still to come.
type Response struct {
	Proto  flow.Proto
	Status int
	// Header holds the fields in order, hop-by-hop ones included, as they came.
	Header flow.Header
	// Length is the body's length in bytes, -1 when it is not known. For an answer without a body (HEAD, 304) it
	// is what the origin announced, -1 for nothing.
	Length int64
	// Body is the answer's body, never nil; the caller closes it, and closing it before io.EOF gives the connection up.
	Body io.ReadCloser
	// Stream is the connection after a 101 to a request that asked for one, nil otherwise. The caller closes it.
	Stream Stream
	// Trailer returns the trailer section, complete once Body has returned io.EOF.
	Trailer func() flow.Header
}

// Hooks lets the caller of RoundTrip watch. The zero value watches nothing.
type Hooks struct {
	// Inform is called for each interim answer (1xx but 101), in the calling goroutine, before RoundTrip returns.
	Inform func(status int, h flow.Header)
	// Wrote is called once when the first byte of the request goes out.
	Wrote func()
}

// Upstream sends requests to one origin address and keeps its connections. It is safe for concurrent use.
type Upstream interface {
	// RoundTrip sends r with the body (nil for none) and returns when the head of the answer is there; the body may
	// still be on its way out then, and RoundTrip's work reads it until it ends, the answer ends or ctx does. It must not
	// be read by the caller after RoundTrip returned an error either: it may be half used.
	// An error is an *UpstreamError. When ctx ends, the connection is given up.
	RoundTrip(ctx context.Context, r *Request, body io.Reader, trailer func() flow.Header, hooks Hooks) (*Response, error)
	// Close closes idle connections now and busy ones when they are done.
	Close()
}

// Fault says at which point an origin failed.
type Fault uint8

// The faults of an origin.
const (
	FaultDial     Fault = iota + 1 // no connection: refused, unreachable, name or certificate wrong, timeout
	FaultStale                     // a kept connection was closed before the first byte of an answer
	FaultSend                      // the request could not be sent whole
	FaultTimeout                   // no answer in time
	FaultClosed                    // a fresh connection was closed before an answer
	FaultGarbage                   // the answer is not HTTP, or can be read in two ways
	FaultBody                      // the request's body could not be read: the visitor's fault
	FaultCanceled                  // ctx ended
)

// UpstreamError is a failure of a round trip.
type UpstreamError struct {
	Fault Fault
	// Unseen is true when the origin cannot have acted on the request: nothing of it was sent, or the protocol says so
	// (GOAWAY, REFUSED_STREAM).
	Unseen bool
	Err    error
}

func (e *UpstreamError) Error() string { return e.Err.Error() }
func (e *UpstreamError) Unwrap() error { return e.Err }
