package waf

import (
	"bytes"
	"context"
	"io"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// unfoldMost is how many times what is inspected at once a packed body may hold. What it holds costs as much to judge as if it had been
// sent, and it was sent for a fraction.
const unfoldMost = 128

// packedSlack is how many packed bytes are held beyond as many as are inspected at once: of what does not pack, three windows of a decoder,
// that of which not all is judged, the one that it gives and the one that it fills, and what is read at a time.
const packedSlack = 3*32<<10 + 16<<10

// isPacked reports whether a body has a Content-Encoding.
func isPacked(f *flow.Facts) bool { return listed(f, "content-encoding") != "" }

// mayUnfold reports whether a body of that size is packed and may hold more than is inspected at once.
func (s *Stage) mayUnfold(f *flow.Facts, size int64) bool {
	return seclang.UnpackedMost(size) > s.limit && isPacked(f)
}

// judgePacked judges a request whose body is packed and holds more than is inspected at once: by the first piece of what it holds; the rest is
// judged as it is read. The packed bytes are sent on when all that they unfold to has been judged. long is false where the body is
// judged as any other, and can be.
func (s *Stage) judgePacked(ctx context.Context, f *flow.Facts, mode policy.WAFMode, h *Held) (v flow.Verdict, long bool) {
	cut, _ := s.cutter(f)
	if cut == nil {
		return v, false
	}
	ctx.Done() // unpacking is not for an event loop, nor is what follows
	packed := s.unfold(cut, h.bytes, h.rest)
	if packed == nil {
		return v, false
	}
	window, err := fillFrom(packed, make([]byte, 0, s.limit+1))
	short, ended := h.Len() <= s.limit, err == io.EOF
	switch {
	case err == seclang.ErrUnpack, short && ended && int64(len(window)) <= s.limit:
		h.rewind(packed)
		return v, false
	case err != nil && !ended:
		h.err = err
		return v, true
	}
	if !h.charge(3*s.limit + packedSlack) {
		return flow.Verdict{Action: flow.Refuse, Reason: flow.WAFFull, RetryIn: retryFull}, true
	}
	piece := cut.Cut(window, ended, true)
	seen := openapi.Body{Bytes: h.bytes[:min(h.Len(), s.limit)], Whole: short}
	if v = s.judgeAside(ctx, f, mode, seen, &piece); v.Sure() {
		return v, true
	}
	rest := &follower{stage: s, facts: f.Clone(), mode: mode, cut: cut, src: packed, packed: packed, takes: h.takes, window: window, judged: piece.Settled(), plain: int64(piece.Settled())}
	if ended {
		rest.src = nil
	}
	h.followed = rest
	return v, true
}

// charge puts what unpacking takes into the account: the text, packed bytes that are not sent on yet, a decoder.
func (h *Held) charge(n int64) bool {
	h.takes = &charge{account: h.stage.held}
	return h.takes.take(n, n)
}

// unfold reads what a packed body holds; nil: it is packed in another way than those that are undone as they come.
func (s *Stage) unfold(cut *seclang.Cutter, begun []byte, rest io.Reader) *seclang.Packed {
	return cut.Packed(begun, rest, int(s.limit)+packedSlack, unfoldMost*int(s.limit))
}

// long says of a body that is whole how it is judged if it holds more than is inspected at once: in pieces that cut cuts from text, which
// is what it holds, nil where it is judged as any other. ends: it is long, and what is behind its beginning cannot be looked at.
func (s *Stage) long(f *flow.Facts, body []byte) (text []byte, cut *seclang.Cutter, ends bool) {
	long := int64(len(body)) > s.limit
	packed := isPacked(f)
	if !long && !s.mayUnfold(f, int64(len(body))) {
		return nil, nil, false
	}
	cut, read := s.cutter(f)
	if cut == nil || !packed {
		return body, cut, read && long && cut == nil
	}
	text, err := io.ReadAll(s.unfold(cut, bytes.Clone(body), nil))
	switch tooMuch := int64(len(text)) > s.limit; {
	case err != nil:
		return nil, nil, long || tooMuch
	case long || tooMuch:
		return text, cut, false
	}
	return nil, nil, false
}

// rewind takes back what was read of a body by what unpacks it.
func (h *Held) rewind(packed *seclang.Packed) {
	rest := packed.Rest()
	_, _ = io.CopyN(io.Discard, rest, int64(len(h.bytes))) // they are there
	h.rest = rest
}

// fillFrom reads until the capacity of b is used, or reading ends.
func fillFrom(r io.Reader, b []byte) ([]byte, error) {
	for len(b) < cap(b) {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}
