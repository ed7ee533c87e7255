package cache

import (
	"context"
	"errors"
	"strconv"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// outcome is how the cache came to an answer: for the Outcome, and as parameters of Cache-Status (RFC 9211).
type outcome struct {
	result flow.CacheResult
	detail string
}

var errPanic = errors.New("the door failed while it sent an answer")

func itoa(n int) string { return strconv.Itoa(n) }

// answer sends a stored answer, or as much of it as the request wants.
func (w *walk) answer(e *entry, how outcome) flow.Reason {
	now := w.now
	if now.Before(e.arrived) {
		now = e.arrived
	}
	s := e.at(now)
	h := w.head(e, s, how, now)
	o, status, length := w.o, e.status, e.length
	part, ranged := span{0, e.length}, rangeIgnored
	if w.ranged {
		part, ranged = e.wants(w.req.Header, w.req.Method)
	}
	switch {
	case e.status == 200 && w.conditional && notModified(w.req.Header, e.etag, e.dated(), now):
		status, length, part.length = 304, -1, 0
		h = h.Clone()
		h.DelFunc(func(f flow.Field) bool {
			return flow.EqualFold(f.Name, "Content-Type") || flow.EqualFold(f.Name, "Content-Encoding") || flow.EqualFold(f.Name, "Content-Language")
		})
	case ranged == rangeSatisfied:
		status, length = 206, part.length
		h = h.Clone()
		h.Add("Content-Range", contentRange(part, e.length))
	case ranged == rangeUnsatisfied:
		status, length, part.length = 416, 0, 0
		h = flow.NewHeader(2)
		h.Add("Content-Range", "bytes */"+strconv.FormatInt(e.length, 10))
	case e.status == 204:
		length = -1
	case w.req.Method == "HEAD" && e.trimmed:
		length = -1
	}
	if w.req.Method == "HEAD" {
		part.length = 0
	}
	o.Status, o.Cache, o.End, o.Err = status, how.result, "", ""
	var n int64
	var err error
	if e.spot != nil && part.length > 0 {
		n, err = w.stream(status, h, length, e.spot, part)
	} else {
		n, err = sendEntry(w.ex, status, h, length, e.body, part, w.rules.idle())
	}
	o.BytesOut = n
	if err != nil {
		return w.lost(err)
	}
	return ""
}

// head is the header for an answer from the cache.
func (w *walk) head(e *entry, s standing, how outcome, now time.Time) flow.Header {
	if how.result == flow.CacheHit {
		return e.head(now, s)
	}
	h := flow.NewHeader(e.header.Len() + 3)
	for f := range e.header.All() {
		h.Add(f.Name, f.Value)
	}
	h.Add("Age", strconv.FormatInt(int64(s.age/time.Second), 10))
	h.Add("Cache-Status", cacheName+"; "+how.detail)
	return h
}

// lost is what follows when the visitor could not be served to the end.
func (w *walk) lost(err error) flow.Reason {
	w.ex.Abort()
	w.o.Err = err.Error()
	switch {
	case errors.Is(err, errBroken):
		return flow.OriginBroken
	case errors.Is(err, errPanic), errors.Is(err, errDisk):
		return flow.DoorFault
	case errors.Is(err, errCut), isTimeout(err):
		return flow.ClientSlow
	}
	return flow.ClientGone
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// manyBytes is from where on a visitor's reading is bounded here; less fits into what lies between.
const manyBytes = 64 << 10

// sendEntry sends a part of a stored body.
func sendEntry(ex wire.Exchange, status int, h flow.Header, length int64, body [][]byte, part span, idle time.Duration) (n int64, err error) {
	if err := ex.Respond(status, h, length); err != nil {
		return 0, err
	}
	for _, c := range body {
		if part.length == 0 {
			break
		}
		if part.start >= int64(len(c)) {
			part.start -= int64(len(c))
			continue
		}
		c = c[part.start:]
		c = c[:min(int64(len(c)), part.length)]
		part = span{0, part.length - int64(len(c))}
		k, err := sendBytes(ex, c, idle)
		if n += k; err != nil {
			return n, err
		}
	}
	return n, ex.End(flow.Header{})
}

// sendBytes writes p in pieces that a visitor must take within the idle time.
func sendBytes(ex wire.Exchange, p []byte, idle time.Duration) (n int64, err error) {
	for len(p) > manyBytes {
		if err := ex.SetWriteDeadline(time.Now().Add(idle)); err != nil {
			return n, err
		}
		k, err := ex.Write(p[:manyBytes])
		if n += int64(k); err != nil {
			return n, err
		}
		p = p[manyBytes:]
	}
	k, err := ex.Write(p)
	return n + int64(k), err
}

// sendTo sends a flight to one visitor as it comes in.
func (f *flight) sendTo(ex wire.Exchange, r *reader, h flow.Header, idle time.Duration) (n int64, err error) {
	defer f.leave(r)
	length := f.length
	if f.entry.status == 204 {
		length = -1
	}
	if err := ex.Respond(f.entry.status, h, length); err != nil {
		return 0, err
	}
	flushed := false
	for {
		p, done, wait, err := f.next(r)
		switch {
		case err != nil:
			return n, err
		case done:
			return n, ex.End(flow.Header{})
		case wait == nil:
			if err := ex.SetWriteDeadline(time.Now().Add(idle)); err != nil {
				return n, err
			}
			k, err := sendBytes(ex, p, idle)
			if n += k; err != nil {
				return n, err
			}
			flushed = false
			continue
		}
		if !flushed {
			if err := ex.Flush(); err != nil {
				return n, err
			}
			flushed = true
		}
		select {
		case <-wait:
		case <-ex.Context().Done():
			return n, context.Cause(ex.Context())
		}
	}
}
