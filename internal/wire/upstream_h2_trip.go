package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"stormdoor/flow"
)

// h2Trip is one exchange. Its context ends with the visitor's, with the answer's end, or with a bound that was passed.
type h2Trip struct {
	up      *h2Upstream
	conn    *h2UpConn
	visitor context.Context
	ctx     context.Context
	cancel  context.CancelCauseFunc
	inform  func(int, flow.Header)
	moved   atomic.Int64 // when bytes last moved, in Unix nanoseconds
	idle    *time.Timer

	mu       sync.Mutex
	headSeen bool
	clock    *time.Timer // bounds the wait for the head, nil until the request is sent
	bodyErr  error       // why the request's body could not be read
}

func (t *h2Trip) move() { t.moved.Store(time.Now().UnixNano()) }

func (t *h2Trip) checkIdle() {
	still := time.Since(time.Unix(0, t.moved.Load()))
	if left := t.up.cfg.IdleTimeout - still; left > 0 {
		t.idle.Reset(left)
		return
	}
	t.cancel(errNoMove)
}

// sent starts the clock for the head: the request is out.
func (t *h2Trip) sent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.headSeen {
		t.clock = time.AfterFunc(t.up.cfg.ResponseTimeout, func() { t.cancel(errNoAnswer) })
	}
}

func (t *h2Trip) answered() {
	t.conn.used.Store(true)
	t.stopClock()
}

func (t *h2Trip) stopClock() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.headSeen = true
	if t.clock != nil {
		t.clock.Stop()
	}
}

// end frees what the exchange holds.
func (t *h2Trip) end(cause error) {
	t.stopClock()
	t.idle.Stop()
	t.cancel(cause)
}

// attach gives the request its body. A small one that is there already goes along; another is pumped through a pipe, so
// that the stream can end while the visitor keeps us waiting for more of it.
func (t *h2Trip) attach(req *http.Request, length int64, body io.Reader, trailer func() flow.Header) {
	if length == 0 || body == nil {
		t.sent()
		return
	}
	req.ContentLength = length
	if length > 0 && length <= h1BlockSize && readyBytes(body) >= length {
		buf := make([]byte, length)
		if _, err := io.ReadFull(body, buf); err == nil {
			req.Body = io.NopCloser(bytes.NewReader(buf))
			t.sent()
			return
		}
	}
	if trailer != nil {
		req.Trailer = make(http.Header)
	}
	r, w := io.Pipe()
	req.Body = r
	go t.pump(w, body, req, length, trailer)
}

func (t *h2Trip) pump(w *io.PipeWriter, body io.Reader, req *http.Request, length int64, trailer func() flow.Header) {
	if length > 0 {
		body = io.LimitReader(body, length)
	}
	block, _ := t.up.blocks.Get().(*h1SendBlock)
	if block == nil {
		block = new(h1SendBlock)
	}
	defer t.up.blocks.Put(block)
	buf := block[:]
	for {
		n, err := body.Read(buf)
		if n > 0 {
			t.move()
			length -= int64(n)
			if _, err := w.Write(buf[:n]); err != nil {
				return // the stream has ended
			}
			t.move()
		}
		if err == nil {
			continue
		}
		if err == io.EOF && length > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != io.EOF {
			t.mu.Lock()
			t.bodyErr = err
			t.mu.Unlock()
			_ = w.CloseWithError(err)
			return
		}
		break
	}
	if trailer != nil {
		for f := range trailer().All() {
			if validTrailer(f.Name) && validFieldName(f.Name) && validFieldValue(f.Value) {
				req.Trailer.Add(f.Name, f.Value)
			}
		}
	}
	_ = w.Close()
	t.sent()
}

type h2Informed struct {
	status int
	h      flow.Header
}

// run sends the request. Interim answers come in the connection's goroutine, which must not wait for a visitor: they are
// handed over to this one.
func (t *h2Trip) run(req *http.Request) (*http.Response, error) {
	if t.inform == nil {
		return t.conn.RoundTrip(req.WithContext(t.ctx))
	}
	type result struct {
		res *http.Response
		err error
	}
	informs, done := make(chan h2Informed, upMaxInforms), make(chan result, 1)
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		select {
		case informs <- h2Informed{status, stdHeader(http.Header(h))}:
			return nil
		default:
			return errInforms
		}
	}}
	go func() {
		res, err := t.conn.RoundTrip(req.WithContext(httptrace.WithClientTrace(t.ctx, trace)))
		done <- result{res, err}
	}()
	count := 0
	for {
		select {
		case i := <-informs:
			if count++; count > upMaxInforms {
				t.cancel(errInforms)
				continue
			}
			t.inform(i.status, i.h)
		case r := <-done:
			for len(informs) > 0 && r.err == nil {
				i := <-informs
				t.inform(i.status, i.h)
			}
			return r.res, r.err
		}
	}
}

// fault says whose fault it is that no answer came.
func (t *h2Trip) fault(err error) error {
	cfg := &t.up.cfg
	t.mu.Lock()
	bodyErr := t.bodyErr
	t.mu.Unlock()
	var malformed *MalformedError
	var stream http2.StreamError
	var conn http2.ConnectionError
	cause := context.Cause(t.ctx)
	switch {
	case t.visitor.Err() != nil:
		return cfg.fault(FaultCanceled, false, t.visitor.Err())
	case cause == errNoAnswer || cause == errNoMove:
		return cfg.fault(FaultTimeout, false, cause)
	case errors.As(err, &malformed) || errors.As(cause, &malformed) || h2TooLarge(err):
		return cfg.fault(FaultGarbage, false, err)
	case bodyErr != nil:
		return cfg.fault(FaultBody, false, bodyErr)
	case h2Unseen(err):
		return cfg.fault(FaultStale, true, err)
	case errors.As(err, &stream):
		if h2FromPeer(stream) {
			return cfg.fault(FaultClosed, stream.Code == http2.ErrCodeRefusedStream, err)
		}
		return cfg.fault(FaultGarbage, false, err)
	case errors.As(err, &conn):
		return cfg.fault(FaultGarbage, false, err)
	case t.conn.used.Load():
		return cfg.fault(FaultStale, false, err)
	}
	return cfg.fault(FaultClosed, false, err)
}

// h2Unseen recognises the library's errors for a request that the origin has not looked at: it came after a GOAWAY's last
// stream, or the connection had closed before. They are not exported; a test holds the texts to the library.
func h2Unseen(err error) bool {
	switch err.Error() {
	case "http2: Transport received Server's graceful shutdown GOAWAY", "http2: client conn not usable",
		"http2: client conn could not be established":
		return true
	}
	return false
}

// h2TooLarge recognises the library's error for a head over MaxHeadBytes.
func h2TooLarge(err error) bool {
	return err.Error() == "http2: response header list larger than advertised limit"
}

// h2FromPeer reports whether the origin reset the stream, rather than we for what it sent.
func h2FromPeer(e http2.StreamError) bool {
	return e.Cause != nil && e.Cause.Error() == "received from peer"
}

// response translates the answer. The library has refused or removed what HTTP/2 forbids, contradictory lengths included.
func (t *h2Trip) response(res *http.Response) *Response {
	h := stdHeader(res.Header)
	r := &Response{Proto: flow.HTTP2, Status: res.StatusCode, Header: h, Length: res.ContentLength}
	if (r.Status == 204 || r.Status == 304) && !h.Has("content-length") {
		r.Length = -1
	}
	r.Body = &h2UpBody{trip: t, res: res}
	r.Trailer = func() flow.Header { return stdHeader(res.Trailer) }
	return r
}

// h2UpBody is the body of an answer.
type h2UpBody struct {
	trip *h2Trip
	res  *http.Response
	err  error
}

// Read implements io.Reader.
func (b *h2UpBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.res.Body.Read(p)
	b.trip.move()
	switch {
	case err == io.EOF:
		b.err = err
		b.trip.end(errAnswerEnd)
	case err != nil:
		b.err = b.trip.fault(unexpected(err))
		b.trip.end(err)
		err = b.err
	}
	return n, err
}

// Close implements io.Closer.
func (b *h2UpBody) Close() error {
	if b.err == nil {
		b.err = io.ErrClosedPipe
		b.trip.end(io.ErrClosedPipe)
	}
	return b.res.Body.Close()
}
