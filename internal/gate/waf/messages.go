package waf

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/protobuf"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// messages reads the body of a remote call, looks at its messages as they come, and gives nothing on that has a part that was not looked at.
// What was found ends the reading. Between messages it holds next to nothing, for a call may last for hours.
//
// It reads in whatever goroutine sends the body on, which may be after its request is over: its facts are a copy.
type messages struct {
	call
	found
	stage *Stage
	facts *flow.Facts
	mode  policy.WAFMode
	src   io.Reader
	read  int64 // bytes that came from it
	judge func(portion) (passes bool)
	turn  bool // it has the turn already

	takes   *protobuf.Message // the type of the messages, nil where none is declared
	decoder *protobuf.Decoder // nil: nothing is looked for in messages
	mute    bool              // nothing is looked at any more

	held    []byte // what was read and not given yet
	given   int    // bytes of it
	free    int    // bytes of it that may be given
	waiting int    // bytes since the last of which all is looked at
	holds   charge
	end     error // what reading ended with

	head     [frameHead]byte
	heads    int      // bytes of head that have come
	left     int64    // bytes of the message that have not come
	whole    bool     // the message is looked at when it is here whole
	packed   bool     // it is packed
	buffer   []byte   // what of it has come
	finished int      // messages that have ended
	over     bool     // the one that stands alone has
	unpacked int64    // bytes that packed messages held
	texts    [][]byte // messages of JSON that wait to be judged
	due      int      // bytes since something waits to be judged

	quad  [4]byte
	quads int
}

// frameHead is how long the head of a message is: a byte with flags, and a length (gRPC over HTTP/2, "Length-Prefixed-Message").
const frameHead = 5

// Bounds of what is held, in bytes.
const (
	fedAtOnce    = 16 << 10
	mostTexts    = 4096    // that are judged in one turn
	leastJudged  = 1 << 10 // of a message, before its end
	mostUnpacked = 4 << 20 // of a packed message: what servers of gRPC take where nothing is said
)

// What may be wrong with the body of a call.
var (
	errFlags  = errors.New("a message with flags that clients do not set")
	errPacked = errors.New("a packed message that cannot be unpacked")
	errCut    = errors.New("the last message is not whole")
	errBase64 = errors.New("base64 that cannot be read")
	errJSON   = errors.New("a message that is not JSON")
	errLong   = errors.New("a message that has to be looked at whole, or unpacked, is too long for that")
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
		m.read += int64(n)
		passes := m.look(p[:n], err == io.EOF || m.facts.Length > 0 && m.read >= m.facts.Length)
		if passes && len(m.held) == 0 && m.waiting == 0 {
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
		m.end, m.free = err, max(m.free, len(m.held)-m.waiting)
	}
	return 0, nil
}

// hold keeps what has been read; what is kept is there twice, for it is taken apart. False: there is no memory for it.
func (m *messages) hold(p []byte) bool {
	if m.given > 0 {
		m.held = m.held[:copy(m.held, m.held[m.given:])]
		m.free, m.given = m.free-m.given, 0
	}
	if old := cap(m.held); len(m.held)+len(p) > old {
		size := max(2*old, len(m.held)+len(p))
		if !m.holds.take(2*int64(size-old), 2*int64(size)) && !m.goOn(flow.Verdict{Action: flow.Refuse, Reason: flow.WAFFull, RetryIn: retryFull, Dry: m.mode != policy.WAFBlocks}) {
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
	before, given := m.finished, m.givenTexts()
	err := m.parse(p, ended)
	if err == nil && m.waits() {
		if m.due += len(p); m.finished > before || ended || m.due >= leastJudged {
			err = m.judgeAll()
		}
	}
	if err == nil {
		m.wait(len(p), m.finished > before || m.givenTexts() > given)
		return true
	}
	switch {
	case err == errRefused:
		return false
	case err == errLong:
		v := uncut(m.mode)
		v.Dry = v.Dry || m.stage.over == policy.OverPrefix
		return m.goOn(v)
	}
	if !m.judge(portion{texts: m.decoded(), problem: err.Error()}) {
		return false
	}
	m.quiet()
	return true
}

// wait says how many of the last bytes have not been looked at to their end, when n more have come; some is whether something that began before
// them has ended in them, so that nothing before them waits.
func (m *messages) wait(n int, some bool) {
	switch {
	case !m.waits() && !(m.whole && m.left > 0) && !(m.decoder != nil && m.decoder.Pending()):
		m.waiting = 0
	case some && !m.waits():
		m.waiting = n
	default:
		m.waiting += n
	}
}

func (m *messages) decoded() []protobuf.Text {
	if m.decoder == nil {
		return nil
	}
	return m.decoder.Texts
}

func (m *messages) givenTexts() int {
	if m.decoder == nil {
		return 0
	}
	return m.decoder.Given
}

// waits reports whether something waits to be judged.
func (m *messages) waits() bool { return len(m.texts) > 0 || len(m.decoded()) > 0 }

// goOn notes a verdict and reports whether the body goes on, which then nobody looks at.
func (m *messages) goOn(v flow.Verdict) bool {
	m.note(v)
	m.quiet()
	return v.Dry
}

func (m *messages) quiet() { m.mute, m.waiting, m.decoder, m.buffer, m.texts = true, 0, nil, nil, nil }

// judgeAll judges what waits: messages of JSON as one list of them, if there are several.
func (m *messages) judgeAll() error {
	m.due = 0
	if d := m.decoder; d != nil && len(d.Texts) > 0 {
		passes := m.judge(portion{texts: d.Texts, size: d.Bytes})
		if d.Forget(); !passes {
			return errRefused
		}
	}
	if len(m.texts) == 0 {
		return nil
	}
	text := m.texts[0]
	if len(m.texts) > 1 {
		text = append(append([]byte{'['}, bytes.Join(m.texts, []byte{','})...), ']')
	}
	if m.texts = nil; !m.judge(portion{json: text, size: len(text)}) {
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
	if size == 0 {
		m.finished++
		return nil
	}
	m.left, m.packed = size, flags == 1
	m.whole = m.kind == jsonMessage || m.packed && m.takes != nil
	switch {
	case m.whole && size > m.stage.limit:
		return errLong
	case m.whole:
		m.buffer = m.buffer[:0]
	case m.decoder != nil:
		m.decoder.Begin(m.takes, size)
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
			if err := m.judgeAll(); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish ends a message.
func (m *messages) finish() error {
	m.finished++
	switch {
	case m.whole && m.packed:
		return m.unfold()
	case m.whole:
		text := m.buffer
		m.buffer, m.whole = nil, false
		return m.takeJSON(text)
	case m.decoder != nil && !m.packed:
		return m.decoder.End()
	}
	return nil
}

// takeJSON takes a message of JSON, which waits to be judged.
func (m *messages) takeJSON(text []byte) error {
	if int64(len(text)) > m.stage.limit {
		return errLong
	}
	if !json.Valid(text) {
		return errJSON
	}
	m.texts = append(m.texts, text)
	if m.due += len(text); m.due >= fedAtOnce || len(m.texts) >= mostTexts {
		return m.judgeAll()
	}
	return nil
}

// unfold looks at a packed message that is here whole, in its turn: what it holds is not kept while others have theirs. Over the whole body no more
// is unpacked than of one that came at once.
func (m *messages) unfold() error {
	packed := m.buffer
	m.buffer, m.whole = nil, false
	m.stage.turns.piece()
	m.turn = true
	defer func() {
		m.turn = false
		m.stage.turns.pieceDone()
	}()
	if m.coding == "" {
		return errPacked
	}
	most := min(mostUnpacked, seclang.UnpackedMost(m.read)-m.unpacked)
	text, ok, more := seclang.Unpack(packed, m.coding, int(max(most, 0)))
	m.unpacked += int64(len(text))
	switch {
	case more:
		return errLong
	case !ok:
		return errPacked
	case m.kind == jsonMessage:
		return m.takeJSON(text)
	}
	m.decoder.Begin(m.takes, int64(len(text)))
	if err := m.decode(text); err != nil {
		return err
	}
	if err := m.decoder.End(); err != nil {
		return err
	}
	return m.judgeAll()
}

// alone takes the next bytes of a body that is one message.
func (m *messages) alone(p []byte, ended bool) error {
	if m.over {
		if len(p) > 0 {
			return protobuf.ErrLength
		}
		return nil
	}
	if m.left == 0 {
		m.left, m.packed = math.MaxInt64, m.coding != ""
		if m.whole = m.packed; !m.whole {
			m.decoder.Begin(m.takes, m.facts.Length)
		}
	}
	if err := m.take(p); err != nil {
		return err
	}
	if m.whole && int64(len(m.buffer)) > m.stage.limit {
		return errLong
	}
	if ended {
		m.left, m.over = 0, true
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
	if !m.turn {
		s.turns.piece()
		defer s.turns.pieceDone()
	}
	v := s.inspectPortion(m.facts, m.mode, p)
	m.work.Add(v.Work)
	if v.Action > flow.Admit {
		m.note(v)
	}
	return !v.Sure()
}
