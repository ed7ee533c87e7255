package stormdoor

import (
	"io"
	"net/http"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// Wrap puts the door in front of a handler of the same process: it judges every request, refuses what is to be refused,
// and hands the rest to next instead of forwarding it. The policy's sites need no origins for this. What the policy says of
// admission and of the cache has no effect: see docs/decisions/0040-embedded-form.md.
func (d *Door) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.wrapped(next, w, r) {
			panic(http.ErrAbortHandler) // net/http's documented way to break an answer off
		}
	})
}

// wrapped serves one request and reports whether the connection is to be broken off.
func (d *Door) wrapped(next http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	ex := wire.NewStdExchange(w, r)
	v := d.begin(ex.Conn(), ex.Request())
	ended := false
	defer func() {
		if !ended { // the handler panicked: that is the program's matter, and net/http's
			v.outcome.End = flow.OriginBroken
		}
		d.record(v)
	}()
	if !d.judge(r.Context(), v) {
		d.refuse(ex, v)
		ended = true
		return ex.Aborted()
	}
	body, ok := d.inspect(ex, v)
	if !ok {
		d.refuse(ex, v)
		ended = true
		return ex.Aborted()
	}
	inner := r.WithContext(r.Context())
	inner.Body = &countedBody{r.Body, body.Body(), &v.outcome}
	next.ServeHTTP(&counting{ResponseWriter: w, outcome: &v.outcome}, inner)
	ended = true
	if d.foundLate(v, flow.ClientGone) && v.outcome.Status == 0 { // the handler has read no further than that
		d.refuse(ex, v)
		return ex.Aborted()
	}
	if v.outcome.Status == 0 {
		v.outcome.Status = http.StatusOK
	}
	v.outcome.OriginTime = d.now().Sub(v.outcome.Facts.Arrived)
	if r.Context().Err() != nil {
		v.outcome.End = flow.ClientGone
	}
	return false
}

// counting is a ResponseWriter that tells the outcome what was answered.
type counting struct {
	http.ResponseWriter
	outcome *flow.Outcome
}

func (c *counting) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		c.outcome.Status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counting) Write(p []byte) (int, error) {
	if c.outcome.Status == 0 {
		c.outcome.Status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(p)
	c.outcome.BytesOut += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach what the writer below can do.
func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Flush is for handlers that look for http.Flusher themselves.
func (c *counting) Flush() { _ = http.NewResponseController(c.ResponseWriter).Flush() }

// countedBody counts what the handler reads of the request's body.
type countedBody struct {
	io.Closer
	io.Reader
	outcome *flow.Outcome
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.outcome.BytesIn += int64(n)
	return n, err
}
