package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"stormdoor/flow"
)

// RoundTrip implements Upstream.
func (u *h1Upstream) RoundTrip(ctx context.Context, r *Request, body io.Reader, trailer func() flow.Header, hooks Hooks) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, u.cfg.fault(FaultCanceled, true, err)
	}
	block := u.blocks.get()
	defer u.blocks.put(block)
	head, err := appendRequestHead(block[:0], r)
	if err == nil && r.Length > 0 && body == nil {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, u.cfg.fault(FaultBody, true, err)
	}
	c, err := u.take(ctx)
	if err != nil {
		return nil, err
	}
	c.watch(ctx)
	t := h1Trip{conn: c, ctx: ctx, req: r, hooks: hooks}
	if err := t.send(head, body, trailer); err != nil {
		c.abandon()
		return nil, err
	}
	res, err := t.receive()
	if err != nil {
		fault := t.fault(err)
		c.abandon()
		return nil, fault
	}
	return res, nil
}

// h1Trip is one round trip on one connection.
type h1Trip struct {
	conn    *h1UpConn
	ctx     context.Context
	req     *Request
	hooks   Hooks
	informs int
}

// send sends the request, or begins to.
func (t *h1Trip) send(head []byte, body io.Reader, trailer func() flow.Header) error {
	c, cfg, length := t.conn, &t.conn.up.cfg, t.req.Length
	if body == nil {
		body = emptyBody{}
	}
	inline := length == 0
	if length > 0 && readyBytes(body) >= length && int64(len(head))+length <= int64(cap(head)) {
		inline = true
		n := len(head)
		head = head[:n+int(length)]
		if _, err := io.ReadFull(body, head[n:]); err != nil {
			return cfg.fault(FaultBody, true, err)
		}
	}
	if inline {
		c.enter(phaseHead, cfg.ResponseTimeout)
	} else {
		c.enter(phaseUpload, 0)
	}
	if err := t.write(head); err != nil {
		return err
	}
	if !inline {
		c.sender = &h1Sender{conn: c, body: body, length: length, trailer: trailer, done: make(chan struct{})}
		go c.sender.run()
	}
	return nil
}

func (t *h1Trip) write(head []byte) error {
	c, cfg := t.conn, &t.conn.up.cfg
	if now := time.Now(); c.writeBy.Sub(now) < cfg.IdleTimeout/2 {
		c.writeBy = now.Add(cfg.IdleTimeout)
		_ = c.c.SetWriteDeadline(c.writeBy) // it fails on a closed connection only, and so will the write
	}
	if t.hooks.Wrote != nil {
		t.hooks.Wrote()
	}
	n, err := 0, errInterrupted
	if !c.interrupted.Load() {
		n, err = c.c.Write(head)
	}
	switch {
	case err == nil:
		return nil
	case t.ctx.Err() != nil:
		return cfg.fault(FaultCanceled, n == 0, t.ctx.Err())
	case c.used > 0:
		return cfg.fault(FaultStale, n == 0, err)
	}
	return cfg.fault(FaultSend, n == 0, err)
}

// fault says whose fault it is that no answer came.
func (t *h1Trip) fault(err error) error {
	c, cfg := t.conn, &t.conn.up.cfg
	var malformed *MalformedError
	sendFault, sendErr := Fault(0), error(nil)
	if c.sender != nil {
		if sendFault = c.sender.failed(); sendFault != 0 {
			sendErr = c.sender.err
		}
	}
	silent := t.informs == 0 && c.in.buffered() == 0
	switch {
	case t.ctx.Err() != nil:
		return cfg.fault(FaultCanceled, false, t.ctx.Err())
	case errors.As(err, &malformed):
		return cfg.fault(FaultGarbage, false, err)
	case sendFault == FaultBody:
		return cfg.fault(FaultBody, false, sendErr)
	case sendErr == nil && errors.Is(err, os.ErrDeadlineExceeded):
		return cfg.fault(FaultTimeout, false, err)
	case c.used > 0 && silent:
		return cfg.fault(FaultStale, false, err)
	case sendErr != nil:
		return cfg.fault(FaultSend, false, sendErr)
	}
	return cfg.fault(FaultClosed, false, unexpected(err))
}

// receive reads heads until the final one.
func (t *h1Trip) receive() (*Response, error) {
	c := t.conn
	for {
		head, lines, err := c.in.head(h1HeadRules{max: c.up.cfg.MaxHeadBytes, lax: true, first: judgeStatusLine})
		if err != nil {
			return nil, err
		}
		line, rest := h1Line(string(head))
		proto, status, err := parseStatusLine(line)
		if err != nil {
			return nil, err
		}
		h := flow.NewHeader(min(lines, upMaxFields))
		var f h1Fields
		if err := f.parse(rest, &h, upMaxFields); err != nil {
			return nil, err
		}
		switch {
		case status == 101:
			return t.switched(proto, h, &f)
		case status >= 200:
			return t.answer(proto, status, h, &f)
		}
		if t.informs++; t.informs > upMaxInforms {
			return nil, errInforms
		}
		if t.hooks.Inform != nil {
			t.hooks.Inform(status, h)
		}
	}
}

// The ways in which an answer is malformed besides those of any message. They are never changed.
var (
	errStatusLine = &MalformedError{502, MalformedLine, "not a status line"}
	errInforms    = &MalformedError{502, MalformedLine, "too many interim answers"}
	errSwitch     = &MalformedError{502, MalformedLine, "a protocol switch that was not asked for"}
)

func judgeStatusLine(line []byte) error {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	_, _, err := parseStatusLine(string(line))
	return err
}

// parseStatusLine reads HTTP/1.x SP 3DIGIT [ SP reason ] (RFC 9112, section 4). The space behind the status is often
// left away with the reason.
func parseStatusLine(s string) (flow.Proto, int, error) {
	if len(s) < 12 || s[:7] != "HTTP/1." || s[8] != ' ' || !only(s[9:12], classDigit) || s[9] == '0' {
		return 0, 0, errStatusLine
	}
	if len(s) > 12 && (s[12] != ' ' || !validFieldValue(s[13:])) {
		return 0, 0, errStatusLine
	}
	proto := flow.HTTP11
	switch s[7] {
	case '0':
		proto = flow.HTTP10
	case '1':
	default:
		return 0, 0, errStatusLine
	}
	return proto, int(s[9]-'0')*100 + int(s[10]-'0')*10 + int(s[11]-'0'), nil
}

// switched hands the connection over after a 101.
func (t *h1Trip) switched(proto flow.Proto, h flow.Header, f *h1Fields) (*Response, error) {
	c := t.conn
	if t.req.Upgrade == "" || f.upgrades != 1 || !flow.EqualFold(f.upgrade, t.req.Upgrade) || proto != flow.HTTP11 || f.codings > 0 {
		return nil, errSwitch
	}
	c.enter(phaseStream, 0)
	_ = c.c.SetWriteDeadline(time.Time{}) // the stream's own bound from now on
	if c.interrupted.Load() {
		return nil, errInterrupted
	}
	c.in.release()
	return &Response{Proto: proto, Status: 101, Header: h, Body: emptyBody{}, Stream: &h1UpStream{conn: c}, Trailer: noTrailer}, nil
}

func noTrailer() flow.Header { return flow.Header{} }

// answer makes the response of a final head (RFC 9112, section 6.3).
func (t *h1Trip) answer(proto flow.Proto, status int, h flow.Header, f *h1Fields) (*Response, error) {
	c := t.conn
	length, announced, chunked, err := f.framing(proto)
	if err != nil {
		return nil, err
	}
	if chunked && announced {
		return nil, errTwoFramings // they tell different readers different ends
	}
	c.reusable = !f.connClose && (proto == flow.HTTP11 || f.connKeep)
	if !announced {
		length = -1
	}
	framing := h1UntilClose
	switch {
	case t.req.Method == "HEAD" || status == 204 || status == 304:
		framing = h1NoBody
	case chunked:
		framing = h1Chunked
	case announced:
		framing = h1Sized
	}
	if framing == h1NoBody || framing == h1Sized && length == 0 {
		c.finish()
		return &Response{Proto: proto, Status: status, Header: h, Length: length, Body: emptyBody{}, Trailer: noTrailer}, nil
	}
	c.reusable = c.reusable && framing != h1UntilClose
	if c.sender != nil {
		c.enter(phaseBody, c.up.cfg.IdleTimeout)
	} else {
		c.phase = phaseBody // each read sets its bound
	}
	a := &struct {
		Response
		body h1UpBody
	}{Response: Response{Proto: proto, Status: status, Header: h, Length: length, Trailer: noTrailer}}
	a.body.conn = c
	a.body.framed.reset(&c.in, framing, length, c.up.cfg.MaxHeadBytes, upMaxFields)
	a.Body = &a.body
	if framing == h1Chunked {
		a.Trailer = func() flow.Header { return a.body.framed.trailer }
	}
	return &a.Response, nil
}
