package protobuf

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxDepth is how many messages may lie inside each other: what C++ and Java read.
const maxDepth = 100

// overlap is how much of a text that is given in parts is given twice, in bytes, so that nothing hides in a cut.
const overlap = 8 << 10

// What may be wrong with a message.
var (
	ErrNumber  = errors.New("a number that does not end")
	ErrField   = errors.New("a field that there cannot be")
	ErrLength  = errors.New("a field goes beyond its message")
	ErrCut     = errors.New("a message ends within a field")
	ErrGroup   = errors.New("a group that ends without having begun")
	ErrDepth   = errors.New("messages more than 100 deep inside each other")
	ErrAnyType = errors.New("a message whose type is told behind it")
)

// Text is a text in a message.
type Text struct {
	// Name is where it stands: the names of the fields, parted by points.
	Name string
	// Value is the text, or a part of it.
	Value string
}

// Decoder takes one message after the other apart, as its bytes come. It takes a step for each byte, whatever they are. It is for one
// goroutine at a time.
type Decoder struct {
	schema *Schema
	most   int // bytes of a text that are given at once
	// Texts are those that were found. Whoever has looked at them empties the list.
	Texts []Text
	// Bytes is how long those are together.
	Bytes int

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
	inText
)

// NewDecoder returns what takes messages of a schema apart. Texts longer than most, in bytes, are given in parts that overlap. Without a schema
// messages are looked at as NewDecoder(nil, 0).Begin(nil) has them.
func NewDecoder(schema *Schema, most int) *Decoder {
	return &Decoder{schema: schema, most: max(most, 2*overlap)}
}

// Begin begins a message of a type. Of nil it is only checked that it is a message, and one without groups, which nobody has used since
// 2008 and which begin like JSON.
func (d *Decoder) Begin(of *Message) {
	d.levels = append(d.levels[:0], level{of: of, end: math.MaxInt64})
	d.path, d.pos, d.state, d.number, d.shift = d.path[:0], 0, atTag, 0, 0
}

// Pending is how many bytes of a text have come that are not in Texts yet.
func (d *Decoder) Pending() int {
	if d.state != inText {
		return 0
	}
	return len(d.text) - d.again
}

// End ends a message.
func (d *Decoder) End() error {
	if len(d.levels) != 1 || d.state != atTag || d.shift > 0 {
		return ErrCut
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
	case inSkipped:
		n = int(min(d.left, int64(len(p))))
		if d.left -= int64(n); d.left == 0 {
			d.state = atTag
		}
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
		if number > uint64(top.end-at) {
			return ErrLength
		}
		return d.enter(top, int64(number), at)
	}
	if number>>3 > uint64(protowire.MaxValidNumber) || number>>3 == 0 {
		return ErrField
	}
	d.of = protowire.Number(number >> 3)
	switch protowire.Type(number & 7) {
	case protowire.VarintType:
		d.state = atNumber
	case protowire.BytesType:
		d.state = atLength
	case protowire.Fixed32Type:
		return d.skip(top, 4, at)
	case protowire.Fixed64Type:
		return d.skip(top, 8, at)
	case protowire.StartGroupType:
		f := d.field(top)
		if d.schema == nil {
			return ErrField
		}
		if f == nil || !f.group {
			return d.push(level{end: top.end, group: d.of, path: len(d.path)})
		}
		return d.push(level{of: f.message, end: top.end, group: d.of, path: d.named(f)})
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

func (d *Decoder) skip(top *level, n, at int64) error {
	if n > top.end-at {
		return ErrLength
	}
	if d.left, d.state = n, inSkipped; n == 0 {
		d.state = atTag
	}
	return nil
}

// field is what the type of a level says of the field that is being read, nil for nothing of which texts may come.
func (d *Decoder) field(top *level) *field {
	if top.of == nil {
		return nil
	}
	f := top.of.fields[d.of]
	if f == nil || f.message != nil && !f.message.texts {
		return nil
	}
	return f
}

// enter goes into a field of so many bytes.
func (d *Decoder) enter(top *level, n, at int64) error {
	if top.of != nil && top.of.any && d.of == anyValue {
		if top.held = true; top.holds == nil || !top.holds.texts {
			return d.skip(top, n, at)
		}
		return d.push(level{of: top.holds, end: at + n, path: d.named(&field{name: "value"})})
	}
	f := d.field(top)
	switch {
	case f == nil || f.group:
		return d.skip(top, n, at)
	case f.message != nil:
		return d.push(level{of: f.message, end: at + n, path: d.named(f)})
	case n == 0:
		d.state = atTag
		if top.of.any && d.of == anyType {
			return d.typed(top, "")
		}
		return nil
	case top.of.any && top.held:
		return ErrAnyType
	}
	d.state, d.left, d.text, d.again = inText, n, d.text[:0], 0
	return nil
}

// typed notes what type an Any names.
func (d *Decoder) typed(top *level, url string) error {
	if top.held {
		return ErrAnyType
	}
	top.holds = d.schema.named(url)
	return nil
}

// named adds the name of a field to the path, and returns how long that was.
func (d *Decoder) named(f *field) int {
	n := len(d.path)
	if n > 0 {
		d.path = append(d.path, '.')
	}
	d.path = append(d.path, f.name...)
	return n
}

func (d *Decoder) push(l level) error {
	if len(d.levels) == maxDepth {
		return ErrDepth
	}
	d.levels, d.state = append(d.levels, l), atTag
	return nil
}

func (d *Decoder) pop() {
	top := d.levels[len(d.levels)-1]
	d.levels, d.path, d.state = d.levels[:len(d.levels)-1], d.path[:top.path], atTag
}

// leave leaves the messages that end here.
func (d *Decoder) leave() error {
	for {
		top := &d.levels[len(d.levels)-1]
		switch {
		case d.pos < top.end:
			return nil
		case d.state != atTag || d.shift > 0 || top.group != 0:
			return ErrCut
		}
		d.pop()
	}
}

// give gives the text that was read, or a part of it.
func (d *Decoder) give() error {
	top := &d.levels[len(d.levels)-1]
	before := d.named(top.of.fields[d.of])
	d.Texts = append(d.Texts, Text{string(d.path), string(d.text)})
	d.path = d.path[:before]
	d.Bytes += len(d.text)
	if d.left > 0 {
		if top.of.any && d.of == anyType {
			return ErrField
		}
		d.again = copy(d.text, d.text[len(d.text)-overlap:])
		d.text = d.text[:d.again]
		return nil
	}
	d.state = atTag
	if top.of.any && d.of == anyType {
		return d.typed(top, string(d.text))
	}
	if cap(d.text) > overlap {
		d.text = nil // streams that say nothing for hours hold nothing
	}
	return nil
}
