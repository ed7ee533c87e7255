package protobuf

import (
	"errors"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxDepth is how many messages may lie inside each other: what C++ and Java read.
const maxDepth = 100

// maxLength is the longest field, in bytes. Some servers cut longer lengths down to 32 bits and read on in the middle.
const maxLength = math.MaxInt32

// maxName is the longest name of a text, in bytes; what is longer ends there.
const maxName = 512

// overlap is how much of a text that is given in parts is given twice, in bytes, so that nothing hides in a cut.
const overlap = 8 << 10

// What may be wrong with a message. A server reads some of these in a way of its own; no encoder writes them.
var (
	ErrNumber = errors.New("a number that does not end")
	ErrField  = errors.New("a field that there cannot be")
	ErrWire   = errors.New("a field that is written as another kind than it is declared as")
	ErrLength = errors.New("a field goes beyond its message")
	ErrCut    = errors.New("a message ends within a field")
	ErrGroup  = errors.New("a group that ends without having begun")
	ErrDepth  = errors.New("messages more than 100 deep inside each other")
	ErrAny    = errors.New("a message of any type that comes twice, or whose type is told behind it")
)

// Text is a text in a message.
type Text struct {
	// Name is where it stands: the names of the fields behind "protobuf", parted by points.
	Name string
	// Value is the text, or a part of it.
	Value string
}

// Decoder takes one message after the other apart, as its bytes come. It takes a step for each byte, whatever they are. It is for one
// goroutine at a time.
type Decoder struct {
	schema *Schema
	most   int // bytes of a text that are given at once
	// Texts are those that were found. Whoever has looked at them calls Forget.
	Texts []Text
	// Bytes is how long those are together with their names, and Given how many there were since the beginning.
	Bytes, Given int

	names  map[string]string // that Texts have, for there are few
	levels []level
	path   []byte
	pos    int64 // in the message
	state  state
	number uint64 // that is being read
	shift  uint
	of     protowire.Number // the field that is being read
	left   int64            // bytes of what is skipped or read as a text
	text   []byte
	again  int // bytes of text that were given before
}

// level is a message that has begun.
type level struct {
	of    *Message         // nil: nothing in it is looked at
	end   int64            // where it ends; that of what holds it for a group
	group protowire.Number // 0: it is no group
	path  int              // how long the path is in what holds it
	seen  []protowire.Number
	// Of an Any:
	holds *Message // the type that it names, nil for none that is declared
	held  bool     // its value has come
}

type state uint8

const (
	atTag     state = iota // a tag begins here, or goes on
	atNumber               // the number of a field
	atLength               // the length of a field
	inSkipped              // something that is not looked at
	inPacked               // numbers of which the last has to end
	inText
)

// prefix begins every path.
const prefix = "protobuf"

// NewDecoder returns what takes messages of a schema apart. Texts longer than most, in bytes, are given in parts that overlap.
func NewDecoder(schema *Schema, most int) *Decoder {
	return &Decoder{schema: schema, most: max(most, 2*overlap), names: map[string]string{}}
}

// Begin begins a message of a type, of a size in bytes; size is negative where it is not known.
func (d *Decoder) Begin(of *Message, size int64) {
	if size < 0 {
		size = math.MaxInt64
	}
	d.levels = append(d.levels[:0], level{of: of, end: size})
	d.path, d.pos, d.state, d.number, d.shift = append(d.path[:0], prefix...), 0, atTag, 0, 0
}

// Pending reports whether a text has begun of which bytes have come that are not in Texts yet.
func (d *Decoder) Pending() bool { return d.state == inText && len(d.text) > d.again }

// mostKept is for how many texts there is room once they were forgotten.
const mostKept = 64

// Forget empties Texts. Streams that say nothing for hours hold next to nothing.
func (d *Decoder) Forget() {
	clear(d.Texts)
	if d.Texts, d.Bytes = d.Texts[:0], 0; cap(d.Texts) > mostKept {
		d.Texts = nil
	}
	if len(d.names) > mostKept/4 {
		d.names = map[string]string{}
	}
}

// End ends a message.
func (d *Decoder) End() error {
	if len(d.levels) != 1 || d.state != atTag || d.shift > 0 {
		return ErrCut
	}
	if cap(d.levels) > mostKept/4 {
		d.levels, d.path = nil, nil
	}
	return nil
}

// Write takes the next bytes of a message. Behind an error the message cannot be read on.
func (d *Decoder) Write(p []byte) error {
	for len(p) > 0 {
		n, err := d.step(p)
		if err != nil {
			return err
		}
		p = p[n:]
		d.pos += int64(n)
		if err := d.leave(); err != nil {
			return err
		}
	}
	return nil
}

// step takes some of the bytes that there are.
func (d *Decoder) step(p []byte) (n int, err error) {
	switch d.state {
	case inSkipped, inPacked:
		n = int(min(d.left, int64(len(p))))
		if d.left -= int64(n); d.left > 0 {
			return n, nil
		}
		if d.state == inPacked && p[n-1] >= 0x80 {
			return 0, ErrCut
		}
		d.state = atTag
		return n, nil
	case inText:
		n = int(min(d.left, int64(len(p)), int64(d.most-len(d.text))))
		d.text = append(d.text, p[:n]...)
		d.left -= int64(n)
		if d.left == 0 || len(d.text) == d.most {
			return n, d.give()
		}
		return n, nil
	}
	c := p[0]
	if d.shift == 63 && c > 1 {
		return 0, ErrNumber
	}
	d.number |= uint64(c&0x7f) << d.shift
	if c >= 0x80 {
		d.shift += 7
		return 1, nil
	}
	number := d.number
	d.number, d.shift = 0, 0
	return 1, d.numbered(number, d.pos+1)
}

// numbered goes on behind a number, at a place.
func (d *Decoder) numbered(number uint64, at int64) error {
	top := &d.levels[len(d.levels)-1]
	switch d.state {
	case atNumber:
		d.state = atTag
		return nil
	case atLength:
		if number > maxLength || int64(number) > top.end-at {
			return ErrLength
		}
		return d.enter(top, int64(number), at)
	}
	if number>>3 > uint64(protowire.MaxValidNumber) || number>>3 == 0 {
		return ErrField
	}
	d.of = protowire.Number(number >> 3)
	wire := protowire.Type(number & 7)
	if f := d.field(top); f != nil && wire != protowire.EndGroupType && !f.takes(wire) {
		return ErrWire
	}
	switch wire {
	case protowire.VarintType:
		d.state = atNumber
	case protowire.BytesType:
		d.state = atLength
	case protowire.Fixed32Type:
		return d.skip(top, 4, at)
	case protowire.Fixed64Type:
		return d.skip(top, 8, at)
	case protowire.StartGroupType:
		if f := d.field(top); f != nil {
			return d.push(top, f, level{of: f.message, end: top.end, group: d.of})
		}
		return d.push(top, nil, level{end: top.end, group: d.of})
	case protowire.EndGroupType:
		if top.group != d.of {
			return ErrGroup
		}
		d.pop()
	default:
		return ErrField
	}
	return nil
}

// takes reports whether a field may be written so. What editions of the language call a delimited message is written as a group, and declared as
// a message.
func (f *field) takes(wire protowire.Type) bool {
	switch {
	case f.message != nil:
		return wire == protowire.BytesType || wire == protowire.StartGroupType
	case f.packs && wire == protowire.BytesType:
		return true
	}
	return wire == f.wire
}

func (d *Decoder) skip(top *level, n, at int64) error {
	if n > top.end-at {
		return ErrLength
	}
	if d.left, d.state = n, inSkipped; n == 0 {
		d.state = atTag
	}
	return nil
}

// field is what the type of a level says of the field that is being read; nil for nothing.
func (d *Decoder) field(top *level) *field {
	if top.of == nil {
		return nil
	}
	return top.of.fields[d.of]
}

// enter goes into a field of so many bytes.
func (d *Decoder) enter(top *level, n, at int64) error {
	f, inAny := d.field(top), top.of != nil && top.of.any
	if inAny && d.of == anyValue {
		if top.held {
			return ErrAny
		}
		if top.held = true; top.holds == nil {
			return d.skip(top, n, at)
		}
		return d.push(top, f, level{of: top.holds, end: at + n})
	}
	switch {
	case f == nil:
		return d.skip(top, n, at)
	case f.message != nil:
		return d.push(top, f, level{of: f.message, end: at + n})
	case f.packs:
		return d.numbers(top, f, n, at)
	case !f.text:
		return d.skip(top, n, at)
	case inAny && (top.held || n > maxName):
		return ErrAny
	case n == 0:
		if d.state = atTag; inAny {
			top.holds = nil
		}
		return nil
	}
	d.state, d.left, d.text, d.again = inText, n, d.text[:0], 0
	return nil
}

// numbers steps over numbers that are written in one, which have to end where that does.
func (d *Decoder) numbers(top *level, f *field, n, at int64) error {
	switch {
	case f.wire == protowire.Fixed32Type && n%4 != 0, f.wire == protowire.Fixed64Type && n%8 != 0:
		return ErrCut
	}
	err := d.skip(top, n, at)
	if f.wire == protowire.VarintType && d.state == inSkipped {
		d.state = inPacked
	}
	return err
}

// push begins a message in a field of the level above; of one that is not declared, the field is nil.
func (d *Decoder) push(top *level, f *field, l level) error {
	if len(d.levels) == maxDepth {
		return ErrDepth
	}
	l.path = len(d.path)
	if f != nil {
		if f.once && slices.Contains(top.seen, d.of) {
			return ErrAny
		}
		if f.once {
			top.seen = append(top.seen, d.of)
		}
		d.named(f.name)
	}
	d.levels, d.state = append(d.levels, l), atTag
	return nil
}

// named adds the name of a field to the path.
func (d *Decoder) named(name string) {
	if len(d.path)+len(name) < maxName {
		d.path = append(append(d.path, '.'), name...)
	}
}

func (d *Decoder) pop() {
	top := d.levels[len(d.levels)-1]
	d.levels, d.path, d.state = d.levels[:len(d.levels)-1], d.path[:top.path], atTag
}

// leave leaves the messages that end here.
func (d *Decoder) leave() error {
	for len(d.levels) > 1 {
		top := &d.levels[len(d.levels)-1]
		switch {
		case d.pos < top.end:
			return nil
		case d.state != atTag || d.shift > 0 || top.group != 0:
			return ErrCut
		}
		d.pop()
	}
	return nil
}

// mostNames is how many names are remembered.
const mostNames = 64

// give gives the text that was read, or a part of it.
func (d *Decoder) give() error {
	top := &d.levels[len(d.levels)-1]
	f, before := top.of.fields[d.of], len(d.path)
	d.named(f.name)
	name, ok := d.names[string(d.path)]
	if !ok {
		if len(d.names) == mostNames {
			clear(d.names)
		}
		name = string(d.path)
		d.names[name] = name
	}
	d.path = d.path[:before]
	d.Texts = append(d.Texts, Text{name, string(d.text)})
	d.Bytes += len(name) + len(d.text)
	d.Given++
	if d.left > 0 {
		d.again = copy(d.text, d.text[len(d.text)-overlap:])
		d.text = d.text[:d.again]
		return nil
	}
	if d.state = atTag; top.of.any {
		top.holds = d.schema.named(string(d.text))
	}
	if cap(d.text) > maxName {
		d.text = nil
	}
	return nil
}
