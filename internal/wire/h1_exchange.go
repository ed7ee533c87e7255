package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"stormdoor/flow"
)

// The mistakes of a caller of Exchange, and what becomes of an exchange. They are never changed.
var (
	errResponded   = errors.New("the exchange has been answered already")
	errNoResponse  = errors.New("the exchange has no answer yet")
	errStatus      = errors.New("a status that no such answer can have")
	errOverLength  = errors.New("the answer is longer than announced")
	errUnderLength = errors.New("the answer is shorter than announced")
	errUnwritable  = errors.New("the answer holds bytes that must not be sent")
	errNoUpgrade   = errors.New("the request did not ask for a protocol switch")
	errOver        = errors.New("the exchange is over")
)

// h1Exchange is the exchange of a connection: one after the other in the same memory.
type h1Exchange struct {
	conn *h1Conn
	req  h1Request
	ctx  *exchangeContext // made when it is asked for
	body *h1ReqBody       // nil for none

	closeAfter, responded, ended, aborted, upgraded bool
	// keep is true while the connection can carry another request.
	keep    bool
	framing h1Framing // of the answer
	left    int64     // bytes still to be written of a sized answer

	// interim orders 100 Continue, which a reader of the body sends, before the answer.
	interim sync.Mutex
	// waiting is true while the client waits for 100 Continue; under interim.
	waiting bool
}

var _ Exchange = (*h1Exchange)(nil)

// begin prepares the exchange for the request that has just been parsed into x.req.
func (x *h1Exchange) begin() {
	x.ctx, x.body = nil, nil
	x.closeAfter, x.responded, x.ended, x.aborted, x.upgraded = false, false, false, false, false
	x.keep, x.framing, x.left = x.req.keep, h1NoBody, 0
	x.waiting = x.req.expect
	if x.req.framing != h1NoBody {
		x.Context() // whoever reads the body may have to end it
		x.body = newH1ReqBody(x)
	}
}

// forget lets go of what an idle connection need not hold: a head of its greatest size, for one.
func (x *h1Exchange) forget() {
	h := x.req.Header
	h.Reset()
	x.req.Request = Request{Header: h}
	x.ctx, x.body = nil, nil
}

// Conn implements Exchange.
func (x *h1Exchange) Conn() *Conn { return &x.conn.info }

// Request implements Exchange.
func (x *h1Exchange) Request() *Request { return &x.req.Request }

// Context implements Exchange.
func (x *h1Exchange) Context() context.Context {
	if x.ctx == nil {
		x.ctx = &exchangeContext{of: x.conn}
	}
	return x.ctx
}

// Body implements Exchange.
func (x *h1Exchange) Body() io.Reader {
	if x.body == nil {
		return emptyBody{}
	}
	return x.body
}

// Trailer implements Exchange.
func (x *h1Exchange) Trailer() flow.Header {
	if x.body == nil {
		return flow.Header{}
	}
	return x.body.trailer()
}

// CloseAfter implements Exchange.
func (x *h1Exchange) CloseAfter() { x.closeAfter = true }

// SetReadDeadline implements Exchange.
func (x *h1Exchange) SetReadDeadline(t time.Time) error {
	if x.body == nil {
		return nil
	}
	return x.conn.setUserReadDeadline(t)
}

// SetWriteDeadline implements Exchange.
func (x *h1Exchange) SetWriteDeadline(t time.Time) error {
	x.conn.userWriteBy, x.conn.writeBy = t, time.Time{}
	return nil
}

// Inform implements Exchange.
func (x *h1Exchange) Inform(status int, h flow.Header) error {
	if status < 100 || status > 199 || status == 101 {
		return errStatus
	}
	if x.responded {
		return errResponded
	}
	if x.req.Proto != flow.HTTP11 {
		return nil
	}
	x.interim.Lock()
	defer x.interim.Unlock()
	if status == 100 {
		x.waiting = false
	}
	b, ok := appendFields(appendStatusLine(x.conn.borrowOut(), status), h)
	if !ok {
		return errUnwritable
	}
	x.conn.head = append(b, '\r', '\n')
	return x.conn.flush()
}

// sendContinue sends 100 Continue if the client still waits for it and the answer has not begun.
func (x *h1Exchange) sendContinue() error {
	x.interim.Lock()
	defer x.interim.Unlock()
	if !x.waiting {
		return nil
	}
	x.waiting = false
	return x.conn.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// Respond implements Exchange. Fields that belong to the connection are left out of h.
func (x *h1Exchange) Respond(status int, h flow.Header, length int64) error {
	if x.responded {
		return errResponded
	}
	if status < 200 || status > 999 {
		return errStatus
	}
	x.interim.Lock()
	defer x.interim.Unlock()
	b, ok := appendFields(appendStatusLine(x.conn.borrowOut(), status), h)
	if !ok {
		return errUnwritable
	}
	if !h.Has("date") {
		b = append(b, x.conn.srv.date()...)
	}
	b = x.frame(b, status, length)
	if x.waiting || x.closeAfter || x.conn.srv.closing.Load() || x.body != nil && x.body.tooMuchLeft() {
		x.keep = false
	}
	switch {
	case !x.keep:
		b = append(b, "Connection: close\r\n"...)
	case x.req.Proto == flow.HTTP10:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	x.conn.head = append(b, '\r', '\n')
	x.waiting, x.responded = false, true
	return nil
}

// frame decides how the answer is delimited, and appends the field that says so (RFC 9112, section 6.3).
func (x *h1Exchange) frame(b []byte, status int, length int64) []byte {
	bodyless := x.req.Method == "HEAD" || status == 204 || status == 304
	switch {
	case status == 204: // a length is forbidden (RFC 9110, section 8.6)
	case length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, '\r', '\n')
	case bodyless:
	case x.req.Proto == flow.HTTP11:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case bodyless:
		x.framing = h1NoBody
	case length >= 0:
		x.framing, x.left = h1Sized, length
	case x.req.Proto == flow.HTTP11:
		x.framing = h1Chunked
	default:
		x.framing, x.keep = h1UntilClose, false
	}
	return b
}

// Write implements Exchange. What is written to an answer that has no body goes nowhere.
func (x *h1Exchange) Write(p []byte) (int, error) {
	switch {
	case !x.responded:
		return 0, errNoResponse
	case x.ended || x.aborted:
		return 0, errOver
	case len(p) == 0 || x.framing == h1NoBody:
		return len(p), nil
	case x.framing == h1Sized && int64(len(p)) > x.left:
		return 0, errOverLength
	}
	var err error
	if x.framing == h1Chunked {
		err = x.conn.sendChunk(p)
	} else {
		err = x.conn.send(p)
	}
	if err != nil {
		return 0, err
	}
	x.left -= int64(len(p))
	return len(p), nil
}

// Flush implements Exchange.
func (x *h1Exchange) Flush() error {
	if !x.responded {
		return errNoResponse
	}
	return x.conn.flush()
}

// End implements Exchange.
func (x *h1Exchange) End(trailer flow.Header) error {
	switch {
	case !x.responded:
		return errNoResponse
	case x.ended || x.aborted:
		return errOver
	case x.framing == h1Sized && x.left > 0:
		x.Abort()
		return errUnderLength
	}
	x.ended = true
	if x.framing == h1Chunked {
		if !x.req.Trailers {
			trailer = flow.Header{}
		}
		b, err := appendTrailer(x.conn.roomFor(64), trailer)
		if err != nil {
			x.Abort()
			return errUnwritable
		}
		x.conn.head = b
	}
	return x.conn.flush()
}

// Abort implements Exchange. What the visitor has been written is not taken back, as a reset would do, where it can tell by the framing that there should be
// more.
func (x *h1Exchange) Abort() {
	if x.aborted {
		return
	}
	x.aborted = true
	told := x.responded && !x.ended && x.req.Proto == flow.HTTP11 && (x.framing == h1Chunked || x.framing == h1Sized && x.left > 0)
	if !told || x.conn.flush() != nil {
		x.conn.reset()
	}
}

// Upgrade implements Exchange.
func (x *h1Exchange) Upgrade(h flow.Header) (Stream, error) {
	switch {
	case x.responded:
		return nil, errResponded
	case x.req.Upgrade == "":
		return nil, errNoUpgrade
	}
	b := append(x.conn.borrowOut(), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "...)
	b = append(append(b, x.req.Upgrade...), '\r', '\n')
	b, ok := appendFields(b, h)
	if !ok {
		return nil, errUnwritable
	}
	x.conn.head = append(b, '\r', '\n')
	x.responded, x.ended, x.upgraded, x.keep = true, true, true, false
	return x.conn.hijack()
}

// appendStatusLine appends the status line.
func appendStatusLine(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = append(b, byte('0'+status/100), byte('0'+status/10%10), byte('0'+status%10), ' ')
	b = append(b, http.StatusText(status)...)
	return append(b, '\r', '\n')
}

// appendFields appends h without the fields that belong to a connection; ok is false when one could be read as something
// else.
func appendFields(b []byte, h flow.Header) (_ []byte, ok bool) {
	for i := range h.Len() {
		f := h.At(i)
		if framingField(f.Name) {
			continue
		}
		if b, ok = appendField(b, f); !ok {
			return b, false
		}
	}
	return b, true
}
