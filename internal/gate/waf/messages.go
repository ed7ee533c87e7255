package waf

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/protobuf"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// messages reads the body of a remote call, looks at its messages as they come, and gives nothing on that has a portion that was not looked at.
// What was found ends the reading. Between messages it holds nothing, for a call may last for hours.
//
// It reads in whatever goroutine sends the body on, which may be after its request is over: its facts are a copy.
type messages struct {
	call
	found
	stage *Stage
	facts *flow.Facts
	mode  policy.WAFMode
	src   io.Reader
	judge func(portion) (passes bool)

	takes   *protobuf.Message // the type of the messages, nil where none is declared
	decoder *protobuf.Decoder // nil: nothing is looked for in messages
	mute    bool              // nothing is looked at any more

	held  []byte // what was read and not given yet
	given int    // bytes of it
	free  int    // bytes of it that may be given
	holds charge
	end   error // what reading ended with

	head   [frameHead]byte
	heads  int    // bytes of head that have come
	left   int64  // bytes of the message that have not come
	whole  bool   // the message is looked at when it is here whole
	packed bool   // it is packed
	buffer []byte // what of it has come
	due    int    // bytes since texts wait to be judged

	first []byte // of a message that stands alone, until it is known to be no document
	begun bool   // it is
	quad  [4]byte
	quads int
}

// frameHead is how long the head of a message is: a byte with flags, and a length (gRPC over HTTP/2, "Length-Prefixed-Message").
const frameHead = 5

// Bounds of what is held, in bytes.
const (
	fedAtOnce    = 16 << 10
	mostTexts    = 4096    // that are judged in one turn
	leastJudged  = 4 << 10 // of a message, before its end
	mostUnpacked = 4 << 20 // of a packed message: what servers of gRPC take where nothing is said
	enoughBegun  = 256     // of a message that stands alone, to tell it from a document
	mostBlank    = 4 << 10 // before those
)

// What may be wrong with the body of a call.
var (
	errFlags   = errors.New("a message with flags that clients do not set")
	errPacked  = errors.New("a packed message that cannot be unpacked")
	errCut     = errors.New("the last message is not whole")
	errBase64  = errors.New("base64 that cannot be read")
	errForeign = errors.New("a document that is said to be a message")
	errLong    = errors.New("a message that has to be looked at whole is longer than what is inspected")
)

// Len is how much can be read without waiting.
func (m *messages) Len() int { return m.free - m.given }

// Read implements io.Reader.
func (m *messages) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if n := copy(p, m.held[m.given:m.free]); n > 0 {
			if m.given += n; m.given == len(m.held) {
				m.release()
			}
			return n, nil
		}
		if m.end != nil {
			return 0, m.end
		}
		n, err := m.src.Read(p)
		passes := m.look(p[:n], err == io.EOF)
		waiting := m.waiting()
		if passes && len(m.held) == 0 && waiting == 0 {
			if m.end = err; n > 0 || err != nil {
				return n, err
			}
			continue
		}
		if !passes || !m.hold(p[:n]) {
			m.end = errRefused
			m.release()
			return 0, m.end
		}
		m.end, m.free = err, max(m.free, len(m.held)-waiting)
	}
	return 0, nil
}

// waiting is how many of the last bytes have not been looked at to their end.
func (m *messages) waiting() (n int) {
	switch {
	case m.mute:
		return 0
	case len(m.texts()) > 0:
		return math.MaxInt32
	case m.whole:
		n = len(m.buffer)
	case m.decoder != nil:
		n = m.decoder.Pending()
	}
	n = max(n, len(m.first))
	if m.base64 && n > 0 {
		n = n*4/3 + len(m.quad)
	}
	return n
}

func (m *messages) texts() []protobuf.Text {
	if m.decoder == nil {
		return nil
	}
	return m.decoder.Texts
}

// hold keeps what has been read. False: there is no memory for it.
func (m *messages) hold(p []byte) bool {
	if m.given > 0 {
		m.held = m.held[:copy(m.held, m.held[m.given:])]
		m.free, m.given = m.free-m.given, 0
	}
	if old := cap(m.held); len(m.held)+len(p) > old {
		size := max(2*old, len(m.held)+len(p))
		if !m.holds.take(int64(size-old), int64(size)) {
			m.note(flow.Verdict{Action: flow.Refuse, Reason: flow.WAFFull, RetryIn: retryFull})
			return false
		}
		m.held = append(make([]byte, 0, size), m.held...)
	}
	m.held = append(m.held, p...)
	return true
}

// release lets go of what was held.
func (m *messages) release() {
	m.holds.giveBack()
	m.held, m.given, m.free = nil, 0, 0
}

// look looks at what has come, and reports whether it may go on. A failure of the stage refuses, for nobody would answer for what
// follows; where rules only count, it is noted.
func (m *messages) look(p []byte, ended bool) (passes bool) {
	if m.mute {
		return true
	}
	defer func() {
		if recover() != nil {
			passes = m.goOn(flow.Verdict{Action: flow.Refuse, Reason: flow.StageFailed, Dry: m.mode != policy.WAFBlocks})
		}
	}()
	err := m.parse(p, ended)
	if err == nil {
		if m.due += len(p); len(m.texts()) == 0 {
			m.due = 0
		} else if m.left == 0 || ended || m.due >= leastJudged {
			err = m.judgeTexts()
		}
	}
	switch {
	case err == nil:
		return true
	case err == errRefused:
		return false
	case err == errLong:
		v := uncut(m.mode)
		v.Dry = v.Dry || m.stage.over == policy.OverPrefix
		return m.goOn(v)
	}
	if !m.judge(portion{texts: m.texts(), problem: err.Error()}) {
		return false
	}
	m.quiet()
	return true
}

// goOn notes a verdict and reports whether the body goes on, which then nobody looks at.
func (m *messages) goOn(v flow.Verdict) bool {
	m.note(v)
	m.quiet()
	return v.Dry
}

func (m *messages) quiet() { m.mute, m.decoder, m.buffer, m.first = true, nil, nil, nil }

// judgeTexts judges the texts that there are.
func (m *messages) judgeTexts() error {
	d := m.decoder
	passes := m.judge(portion{texts: d.Texts, size: d.Bytes})
	clear(d.Texts)
	d.Texts, d.Bytes, m.due = d.Texts[:0], 0, 0
	if !passes {
		return errRefused
	}
	return nil
}

// parse takes the next bytes of the body apart.
func (m *messages) parse(p []byte, ended bool) error {
	if m.base64 {
		var err error
		if p, err = m.unquote(p); err != nil {
			return err
		}
	}
	if !m.framed {
		return m.alone(p, ended)
	}
	for len(p) > 0 {
		if m.left == 0 {
			n := copy(m.head[m.heads:], p)
			if m.heads, p = m.heads+n, p[n:]; m.heads < frameHead {
				break
			}
			m.heads = 0
			if err := m.begin(m.head[0], int64(binary.BigEndian.Uint32(m.head[1:]))); err != nil {
				return err
			}
			continue
		}
		n := min(m.left, int64(len(p)))
		if err := m.take(p[:n]); err != nil {
			return err
		}
		p = p[n:]
		if m.left -= n; m.left == 0 {
			if err := m.finish(); err != nil {
				return err
			}
		}
	}
	if ended && (m.heads > 0 || m.left > 0 || m.quads > 0) {
		return errCut
	}
	return nil
}

// begin begins a message.
func (m *messages) begin(flags byte, size int64) error {
	if flags > 1 {
		return errFlags
	}
	m.left, m.packed = size, flags == 1
	m.whole = m.kind == jsonMessage || m.packed && m.takes != nil
	switch {
	case m.whole && size > m.stage.limit:
		return errLong
	case m.whole:
		m.buffer = m.buffer[:0]
	case m.decoder != nil:
		m.decoder.Begin(m.takes)
	}
	if size == 0 {
		return m.finish()
	}
	return nil
}

// take takes bytes of a message.
func (m *messages) take(p []byte) error {
	switch {
	case m.whole:
		m.buffer = append(m.buffer, p...)
	case m.decoder != nil && !m.packed:
		return m.decode(p)
	}
	return nil
}

func (m *messages) decode(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), fedAtOnce)
		if err := m.decoder.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
		if d := m.decoder; int64(d.Bytes) >= m.stage.limit || len(d.Texts) >= mostTexts {
			if err := m.judgeTexts(); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish ends a message.
func (m *messages) finish() error {
	switch {
	case m.whole:
		return m.unfold()
	case m.decoder != nil && !m.packed:
		return m.decoder.End()
	}
	return nil
}

// unfold looks at a message that is here whole.
func (m *messages) unfold() error {
	text := m.buffer
	m.buffer, m.whole = nil, false
	if m.packed {
		if m.coding == "" {
			return errPacked
		}
		var ok bool
		if text, ok = seclang.Unpack(text, m.coding, mostUnpacked); !ok {
			return errPacked
		}
	}
	if m.kind == jsonMessage {
		switch {
		case int64(len(text)) > m.stage.limit:
			return errLong
		case len(text) > 0 && !m.judge(portion{json: text, size: len(text)}):
			return errRefused
		}
		return nil
	}
	m.decoder.Begin(m.takes)
	if err := m.decode(text); err != nil {
		return err
	}
	return m.decoder.End()
}

// alone takes the next bytes of a body that is one message.
func (m *messages) alone(p []byte, ended bool) error {
	if !m.begun {
		m.first = append(m.first, p...)
		begin := bytes.TrimLeft(m.first, " \t\r\n")
		switch {
		case len(m.first)-len(begin) > mostBlank:
			return errForeign
		case len(begin) < enoughBegun && !ended:
			return nil
		case seclang.Document(begin):
			return errForeign
		}
		p, m.first, m.begun = m.first, nil, true
		m.left, m.packed = math.MaxInt64, m.coding != ""
		m.whole = m.packed && m.takes != nil
		if m.decoder != nil {
			m.decoder.Begin(m.takes)
		}
	}
	if err := m.take(p); err != nil {
		return err
	}
	if m.whole && int64(len(m.buffer)) > m.stage.limit {
		return errLong
	}
	if ended {
		m.left = 0
		return m.finish()
	}
	return nil
}

// unquote undoes base64, of which several texts with their own padding may follow each other.
func (m *messages) unquote(p []byte) ([]byte, error) {
	out := make([]byte, 0, len(p)*3/4+3)
	for _, c := range p {
		if c == '\r' || c == '\n' {
			continue
		}
		m.quad[m.quads] = c
		if m.quads++; m.quads < len(m.quad) {
			continue
		}
		m.quads = 0
		var err error
		if out, err = base64.StdEncoding.AppendDecode(out, m.quad[:]); err != nil {
			return nil, errBase64
		}
	}
	return out, nil
}

// judged judges a portion of the body, in its turn.
func (m *messages) judged(p portion) bool {
	s := m.stage
	s.turns.piece()
	defer s.turns.pieceDone()
	v := s.inspectPart(m.facts, m.mode, p)
	m.work.Add(v.Work)
	if v.Action > flow.Admit {
		m.note(v)
	}
	return !v.Sure()
}
