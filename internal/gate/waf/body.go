package waf

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/policy"
)

// WantsBody reports whether the request has a body that has to be read before it can be judged. Streams, and what no rule
// reads, are never held back: WebSocket, remote calls (WatchesBody), pictures, archives. Who asks for a WebSocket has no body over HTTP/1.1, and
// says CONNECT over HTTP/2 (RFC 8441): a field Upgrade tells nothing here, since anybody can send one beside a body.
func (s *Stage) WantsBody(f *flow.Facts) bool {
	if f.Length == 0 || f.Method == "CONNECT" {
		return false
	}
	if s.mode(f) == policy.WAFOff {
		return s.contracts.find(f).wantsBody(f)
	}
	return !s.WatchesBody(f) && inspectable(f.Header.Get("Content-Type"))
}

// inspectable reports whether rules read bodies of this media type. A body without a type is inspected, and so is one whose
// type ends in +json or +xml, whatever it begins with: many programs read those as JSON and XML (RFC 6839).
func inspectable(mediaType string) bool {
	t, _, _ := strings.Cut(mediaType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	if strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") {
		return true
	}
	if strings.HasSuffix(t, "+octet-stream") { // pieces of files (tus)
		return false
	}
	for _, streamed := range []string{"image/", "video/", "audio/", "font/", "application/octet-stream", "application/zip", "application/gzip", "application/x-tar", "application/pdf", "application/vnd.docker", "application/x-git"} {
		if strings.HasPrefix(t, streamed) {
			return false
		}
	}
	return true
}

// Held is the beginning of a body that was read to be inspected. It gives the whole body again: Reader first gives what
// was read, then what is still to come. The zero Held is an empty body.
type Held struct {
	stage    *Stage
	bytes    []byte
	rest     io.Reader // nil when the body ended
	err      error     // what reading it ended with, nil for its end
	followed onItsWay  // inspects what comes behind, nil where nothing does
	takes    *charge   // what that takes, nil for nothing
}

// onItsWay is a body that is inspected while it is sent on.
type onItsWay interface {
	io.Reader
	Len() int
	late() (flow.Verdict, bool)
}

// charge is so many bytes in the account of held bodies, until it is given back.
type charge struct {
	account *atomic.Int64
	bytes   atomic.Int64
	closed  atomic.Bool
}

// take adds bytes for something that has then so many. False: there is no room for them.
func (c *charge) take(n, size int64) bool {
	c.bytes.Add(n)
	full := c.account.Add(n) > mayHold(size)
	if full {
		c.bytes.Add(-n)
		c.account.Add(-n)
	}
	if c.closed.Load() { // its request is over
		c.giveBack()
	}
	return !full
}

func (c *charge) giveBack() {
	if c != nil {
		c.account.Add(-c.bytes.Swap(0))
	}
}

// close gives everything back, for good.
func (c *charge) close() {
	if c != nil {
		c.closed.Store(true)
		c.giveBack()
	}
}

// Len is how many bytes were read.
func (h *Held) Len() int64 { return int64(len(h.bytes)) }

// Err is what reading the body ended with before its bound, nil when it did not fail.
func (h *Held) Err() error { return h.err }

// Release takes what is held out of the account. The bytes themselves may still be read: they are the collector's.
func (h *Held) Release() {
	if h.stage != nil {
		h.stage.held.Add(-int64(cap(h.bytes)))
		h.takes.close()
		h.stage = nil
	}
}

// Reader reads the whole body. It is for one reader, and may be read after Release.
func (h *Held) Reader() io.Reader {
	if h.followed != nil {
		return h.followed
	}
	return &heldReader{left: h.bytes, rest: h.rest, err: h.err}
}

type heldReader struct {
	left []byte
	rest io.Reader
	err  error
}

func (r *heldReader) Read(p []byte) (int, error) {
	if len(r.left) > 0 {
		n := copy(p, r.left)
		r.left = r.left[n:]
		return n, nil
	}
	switch {
	case r.err != nil:
		return 0, r.err
	case r.rest == nil:
		return 0, io.EOF
	}
	return r.rest.Read(p)
}

// Len is how much can be read without waiting.
func (r *heldReader) Len() int { return len(r.left) }

// errFull is returned when all that may be held is held.
var errFull = errors.New("the bodies that are held to be inspected take all the memory that they may")

// Inspect reads the body, up to the bound, and judges the request. The body can be read again from the result, which is
// never nil and which the caller releases when the request has ended. A client that fails to send its body is no finding
// of this stage: the result's Err says so, and whoever reads on meets the same error.
func (s *Stage) Inspect(f *flow.Facts, body io.Reader) (flow.Verdict, *Held) {
	return s.InspectUnder(context.Background(), f, body)
}

// InspectUnder is Inspect in the serving function of the exchange whose context ctx is: a large request is judged off its event
// loop, which goes on meanwhile.
func (s *Stage) InspectUnder(ctx context.Context, f *flow.Facts, body io.Reader) (flow.Verdict, *Held) {
	h := &Held{stage: s, rest: body}
	judged := false
	defer func() {
		if !judged { // the stage has failed, and nobody gets what is held
			h.Release()
		}
	}()
	v := s.inspectInto(ctx, f, h)
	judged = true
	return v, h
}

func (s *Stage) inspectInto(ctx context.Context, f *flow.Facts, h *Held) flow.Verdict {
	err := h.fill(s.limit+1, f.Length)
	switch {
	case errors.Is(err, errFull):
		return flow.Verdict{Action: flow.Refuse, Reason: flow.WAFFull, RetryIn: retryFull}
	case err != nil:
		h.err = err
		return flow.Verdict{}
	}
	mode := s.mode(f)
	if mode != policy.WAFOff && s.isBinary(f, h.bytes) {
		return s.judgeUnder(ctx, f, mode, openapi.Body{Bytes: nil})
	}
	if s.over == policy.OverFollowed && mode != policy.WAFOff && s.mayUnfold(f, h.Len()) {
		if v, long := s.judgePacked(ctx, f, mode, h); long {
			return v
		}
	}
	seen := openapi.Body{Bytes: h.bytes, Whole: true}
	if int64(len(h.bytes)) > s.limit {
		if s.over == policy.OverRefused {
			return flow.Verdict{Action: flow.Refuse, Reason: flow.WAFBody, Dry: !s.blocks(f)}
		}
		seen = openapi.Body{Bytes: h.bytes[:s.limit]}
		if s.over == policy.OverFollowed && mode != policy.WAFOff {
			return s.judgeLong(ctx, f, mode, seen, h)
		}
	}
	return s.judgeUnder(ctx, f, mode, seen)
}

// judgeLong judges a request whose body is longer than what is inspected at once, by the first piece of it; what comes behind is
// judged as it is read.
func (s *Stage) judgeLong(ctx context.Context, f *flow.Facts, mode policy.WAFMode, seen openapi.Body, h *Held) flow.Verdict {
	ctx.Done() // what follows is done where it is sent on, which must not be an event loop
	cut, read := s.cutter(f)
	switch {
	case !read:
		return s.judgeUnder(ctx, f, mode, seen)
	case cut == nil || isPacked(f): // of judgePacked's it was none
		return s.judgeUncut(ctx, f, mode, seen)
	}
	piece := cut.Cut(h.bytes, h.rest == nil, true)
	v := s.judgeAside(ctx, f, mode, seen, &piece)
	if !v.Sure() {
		h.followed = &follower{stage: s, facts: f.Clone(), mode: mode, cut: cut, src: h.rest, window: h.bytes, judged: piece.Settled()}
	}
	return v
}

// judgeUncut judges a request whose body is longer than what is inspected at once and cannot be cut: it is packed in a way that is not
// undone as it comes, for one. It is refused; where rules only count, they see its beginning.
func (s *Stage) judgeUncut(ctx context.Context, f *flow.Facts, mode policy.WAFMode, seen openapi.Body) flow.Verdict {
	if v := uncut(mode); v.Sure() {
		return v
	}
	return orUncut(s.judgeUnder(ctx, f, mode, seen), mode)
}

// orUncut is the verdict on the beginning of a body that cannot be cut, or, where it is none, that on the rest.
func orUncut(v flow.Verdict, mode policy.WAFMode) flow.Verdict {
	if v.Action > flow.Admit {
		return v
	}
	out := uncut(mode)
	out.Found, out.Work = v.Found, v.Work
	return out
}

// uncut is the verdict on a long body that cannot be cut.
func uncut(mode policy.WAFMode) flow.Verdict {
	return flow.Verdict{Action: flow.Refuse, Reason: flow.WAFBody, Dry: mode != policy.WAFBlocks}
}

// fill reads until most bytes or the end of the body have come. Memory is taken as bytes arrive, not as they are announced.
func (h *Held) fill(most, announced int64) error {
	const first = 4 << 10
	if announced > 0 {
		most = min(most, announced)
	}
	for int64(len(h.bytes)) < most {
		if len(h.bytes) == cap(h.bytes) {
			if err := h.grow(min(most, max(first, 2*int64(cap(h.bytes))))); err != nil {
				return err
			}
		}
		room := h.bytes[len(h.bytes):min(int64(cap(h.bytes)), most)]
		n, err := h.rest.Read(room)
		h.bytes = h.bytes[:len(h.bytes)+n]
		if err == io.EOF {
			h.rest = nil
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *Held) grow(to int64) error {
	more := to - int64(cap(h.bytes))
	if h.stage.held.Add(more) > mayHold(to) {
		h.stage.held.Add(-more)
		return errFull
	}
	b := make([]byte, len(h.bytes), to)
	copy(b, h.bytes)
	h.bytes = b
	return nil
}
