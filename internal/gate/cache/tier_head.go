package cache

import (
	"encoding/binary"
	"errors"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/cache/disk"
)

// The kinds of records on disk. None is ever used for something else.
const (
	recordAnswer disk.Kind = 1 + iota // head: answerHead; body: the answer's
	recordForget                      // head: a key
	recordPurge                       // head: a purge, but the one of everything
)

// answerHead is what the disk keeps of an answer beside its body.
type answerHead struct {
	key     string
	until   time.Time // from then on it is of no use
	status  int
	trimmed bool
	cookied bool
	arrived time.Time
	age     time.Duration
	chosen  selecting
	header  flow.Header
}

// headLayout is the first byte of each head. Another layout is another number.
const headLayout = 2

const (
	markTrimmed = 1 << iota
	markCookied
)

var errHead = errors.New("the head of a stored answer cannot be read")

// usefulFor is how long an answer with a validator is worth its place after it has become stale.
const usefulFor = 24 * time.Hour

// useful is until when an entry is of use: while it is fresh, may be used stale, or can be validated.
func (e *entry) useful() time.Time {
	more := max(e.stale.ifError, e.stale.whileRevalidate)
	if e.etag != "" || e.modified != "" {
		more = max(more, usefulFor)
	}
	return e.arrived.Add(max(0, e.life-e.age) + more)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendHead appends the head of an entry under a key.
func appendHead(b []byte, key string, e *entry) []byte {
	b = appendText(append(b, headLayout), key)
	b = binary.AppendVarint(b, e.useful().Unix())
	b = binary.AppendVarint(b, e.arrived.UnixNano())
	b = binary.AppendVarint(b, int64(e.age))
	b = binary.AppendUvarint(b, uint64(e.status))
	marks := byte(0)
	if e.trimmed {
		marks |= markTrimmed
	}
	if e.cookied {
		marks |= markCookied
	}
	b = append(b, marks)
	b = binary.AppendUvarint(b, uint64(len(e.chosen.names)))
	for i := range e.chosen.names {
		b = appendText(appendText(b, e.chosen.names[i]), e.chosen.values[i])
	}
	b = binary.AppendUvarint(b, uint64(e.header.Len()))
	for f := range e.header.All() {
		b = appendText(appendText(b, f.Name), f.Value)
	}
	return b
}

// parseHead reads a head. Its strings are parts of one copy of b.
func parseHead(b []byte) (h answerHead, err error) {
	r := headReader{left: string(b)}
	if r.byte() != headLayout {
		return h, errHead
	}
	h.key = r.text()
	h.until, h.arrived, h.age = time.Unix(r.varint(), 0), time.Unix(0, r.varint()), time.Duration(r.varint())
	h.status = int(r.uvarint())
	marks := r.byte()
	h.trimmed, h.cookied = marks&markTrimmed != 0, marks&markCookied != 0
	for range r.number() {
		h.chosen.names = append(h.chosen.names, r.text())
		h.chosen.values = append(h.chosen.values, r.text())
	}
	n := r.number()
	h.header = flow.NewHeader(n + 3)
	for range n {
		name := r.text()
		h.header.Add(name, r.text())
	}
	if r.bad || r.left != "" || h.status < 200 || h.status > 999 || h.age < 0 {
		return h, errHead
	}
	return h, nil
}

// entry makes an entry of a head whose body is to follow. Of the rules it was stored under only counts
// whether they took cookies to make no difference.
func (h *answerHead) entry(rules *Rules) *entry {
	d := governing(h.header)
	e := &entry{stored: stored{status: h.status, header: h.header, trimmed: h.trimmed, cookied: h.cookied, chosen: h.chosen, rules: d, arrived: h.arrived, age: h.age}}
	e.life, _ = rules.lifetime(h.status, h.header, d, h.arrived)
	e.settle(rules)
	return e
}

// headReader reads a head. What it returns after bad means nothing.
type headReader struct {
	left string
	bad  bool
}

func (r *headReader) cut(n int) string {
	if n < 0 || n > len(r.left) {
		r.bad, r.left = true, ""
		return ""
	}
	s := r.left[:n]
	r.left = r.left[n:]
	return s
}

func (r *headReader) byte() byte {
	if s := r.cut(1); s != "" {
		return s[0]
	}
	return 0
}

func (r *headReader) uvarint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		c := r.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

func (r *headReader) varint() int64 {
	n := r.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

// number is a number of things that follow, each of which takes a byte at least.
func (r *headReader) number() int {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.left)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *headReader) text() string { return r.cut(r.number()) }

// appendPurge appends what a purge names.
func appendPurge(b []byte, p Purge) []byte {
	b = appendText(appendText(appendText(b, p.Host), p.Target), p.Tag)
	if p.Prefix {
		return append(b, 1)
	}
	return append(b, 0)
}

// parsePurge reads a purge.
func parsePurge(b []byte) (p Purge, ok bool) {
	r := headReader{left: string(b)}
	p = Purge{Host: r.text(), Target: r.text(), Tag: r.text()}
	p.Prefix = r.byte() == 1
	return p, !r.bad && r.left == ""
}
