package wire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"stormdoor/flow"
)

// errUnsendable refuses to send what could be read as something else. Nobody should get here: the server in front has
// refused such bytes already.
var errUnsendable = errors.New("the request holds bytes that must not be sent")

// appendRequestHead appends the head of r. Fields that frame a message are the client's own, and left out of r's.
func appendRequestHead(b []byte, r *Request) ([]byte, error) {
	if !validMethod(r.Method) || r.Target == "" || !only(r.Target, classTarget) || r.Authority != "" && !validAuthority(r.Authority) {
		return b, errUnsendable
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Authority...)
	b = append(b, '\r', '\n')
	for i := range r.Header.Len() {
		f := r.Header.At(i)
		if framingField(f.Name) || flow.EqualFold(f.Name, "host") {
			continue
		}
		var ok bool
		if b, ok = appendField(b, f); !ok {
			return b, errUnsendable
		}
	}
	switch {
	case r.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Length > 0 || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.Length, 10)
		b = append(b, '\r', '\n')
	}
	if r.Upgrade != "" {
		if !validFieldValue(r.Upgrade) {
			return b, errUnsendable
		}
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, r.Upgrade...)
		b = append(b, '\r', '\n')
	}
	return append(b, '\r', '\n'), nil
}

// appendField appends one field line; ok is false when it could be read as something else.
func appendField(b []byte, f flow.Field) (_ []byte, ok bool) {
	if !validFieldName(f.Name) || !validFieldValue(f.Value) {
		return b, false
	}
	b = append(b, f.Name...)
	b = append(b, ':', ' ')
	b = append(b, f.Value...)
	return append(b, '\r', '\n'), true
}

// appendTrailer appends the last chunk and the trailer section.
func appendTrailer(b []byte, h flow.Header) ([]byte, error) {
	b = append(b, '0', '\r', '\n')
	for i := range h.Len() {
		f := h.At(i)
		if !validTrailer(f.Name) {
			continue
		}
		var ok bool
		if b, ok = appendField(b, f); !ok {
			return b, errUnsendable
		}
	}
	return append(b, '\r', '\n'), nil
}

// readyBytes is how much of a body can be read without waiting, 0 when that is not known.
func readyBytes(body io.Reader) int64 {
	switch b := body.(type) {
	case interface{ Buffered() int }:
		return int64(b.Buffered())
	case interface{ Len() int }:
		return int64(b.Len())
	}
	return 0
}

// The room around a chunk's data: up to 8 digits and CRLF in front, CRLF behind.
const (
	chunkFront = 10
	chunkBack  = 2
)

// h1SendBlock is the buffer of a body on its way out.
type h1SendBlock [32 << 10]byte

// h1Sender sends a request's body while the caller waits for the answer.
type h1Sender struct {
	conn    *h1UpConn
	body    io.Reader
	length  int64 // -1: chunked
	trailer func() flow.Header
	// moved is when bytes last went out, in Unix nanoseconds.
	moved atomic.Int64
	// last is set when only one write is left, or none.
	last atomic.Bool
	// done is closed when the sender has ended, or all but; err and its fault are set before that.
	done  chan struct{}
	err   error
	fault Fault
}

// run sends the body. Whatever goes wrong, the goroutine that waits for the answer is woken.
func (s *h1Sender) run() {
	block, _ := s.conn.up.sendBlocks.Get().(*h1SendBlock)
	if block == nil {
		block = new(h1SendBlock)
	}
	if s.length < 0 {
		s.fault, s.err = s.sendChunked(block[:])
	} else {
		s.fault, s.err = s.sendSized(block[:])
	}
	s.conn.up.sendBlocks.Put(block)
	if s.err == nil {
		s.conn.startAnswerClock(s.conn.up.cfg.ResponseTimeout)
		close(s.done) // last: the connection may be another's from then on
		return
	}
	close(s.done) // first: whoever is woken asks why
	if s.fault == FaultBody {
		s.conn.interrupt() // the origin waits for what will never come
		return
	}
	// The origin has stopped listening. An answer that it sent before is worth a short wait.
	s.conn.startAnswerClock(time.Second)
}

// h1SendGrace is how long an origin's complete answer waits for the last piece of the request, which it has not asked
// for: in most cases the origin has it already, and the sender only has to notice.
const h1SendGrace = 100 * time.Millisecond

// finished reports whether the whole body has been sent.
func (s *h1Sender) finished() bool {
	select {
	case <-s.done:
		return s.err == nil
	default:
	}
	if !s.last.Load() {
		return false
	}
	t := time.NewTimer(h1SendGrace)
	defer t.Stop()
	select {
	case <-s.done:
		return s.err == nil
	case <-t.C:
		return false
	}
}

// failed is the fault for which the sender has ended, 0 when it has not or there was none.
func (s *h1Sender) failed() Fault {
	select {
	case <-s.done:
		return s.fault
	default:
		return 0
	}
}

func (s *h1Sender) write(p []byte) error {
	now := time.Now()
	s.moved.Store(now.UnixNano())
	if err := s.conn.c.SetWriteDeadline(now.Add(s.conn.up.cfg.IdleTimeout)); err != nil {
		return err
	}
	if s.conn.interrupted.Load() {
		return errInterrupted
	}
	_, err := s.conn.c.Write(p)
	return err
}

var errInterrupted = errors.New("broken off")

func (s *h1Sender) sendSized(buf []byte) (Fault, error) {
	for left := s.length; left > 0; {
		n, err := s.body.Read(buf[:min(left, int64(len(buf)))])
		left -= int64(n)
		if n > 0 {
			s.last.Store(left == 0)
			if err := s.write(buf[:n]); err != nil {
				return FaultSend, err
			}
		}
		if err != nil && left > 0 {
			return FaultBody, fmt.Errorf("%d bytes before its end: %w", left, unexpected(err))
		}
	}
	return 0, nil
}

func (s *h1Sender) sendChunked(buf []byte) (Fault, error) {
	for {
		n, err := s.body.Read(buf[chunkFront : len(buf)-chunkBack])
		if n > 0 {
			if err := s.write(frameChunk(buf, n)); err != nil {
				return FaultSend, err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return FaultBody, err
		}
	}
	var h flow.Header
	if s.trailer != nil {
		h = s.trailer()
	}
	end, err := appendTrailer(buf[:0], h)
	if err != nil {
		return FaultBody, err
	}
	s.last.Store(true)
	if err := s.write(end); err != nil {
		return FaultSend, err
	}
	return 0, nil
}

// frameChunk puts the frame around the n bytes of data that begin at buf[chunkFront], and returns the chunk.
func frameChunk(buf []byte, n int) []byte {
	const digits = "0123456789abcdef"
	i := chunkFront - 2
	buf[i], buf[i+1] = '\r', '\n'
	for k := n; k > 0; k >>= 4 {
		i--
		buf[i] = digits[k&15]
	}
	end := chunkFront + n
	buf[end], buf[end+1] = '\r', '\n'
	return buf[i : end+chunkBack]
}
