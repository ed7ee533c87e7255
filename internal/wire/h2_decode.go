package wire

import (
	"errors"
	"strings"
	"unsafe"
)

// h2TableSize is the size of the dynamic tables in bytes as RFC 7541, section 4.1 counts them: the protocol's default.
const h2TableSize = 4096

// h2EntryCost is what a field costs beyond its bytes, in tables and in header lists (RFC 7541, section 4.1).
const h2EntryCost = 32

var (
	errH2Index   = errors.New("a header field refers to an entry that the table does not have")
	errH2Integer = errors.New("an integer in a header block is broken")
	errH2Cut     = errors.New("a header block ends in the middle of a field")
	errH2Resize  = errors.New("a table size update stands in the wrong place or is too large")
)

// h2Field is a decoded header field, with the outcome of its check. Entries of the tables are checked only once.
type h2Field struct {
	name, value string
	kind        h2Kind
}

func (f h2Field) size() int { return len(f.name) + len(f.value) + h2EntryCost }

// h2Got says what h2Decoder.next found.
type h2Got uint8

const (
	h2GotField  h2Got = iota + 1
	h2GotOver         // a field larger than there was room for; the tables are right all the same
	h2GotResize       // a table size update
)

// h2Decoder decodes header blocks (RFC 7541). Strings of the dynamic table are immutable and shared with the requests
// that refer to them, so a thousand references to a large entry hold it once. The zero value is ready to use.
type h2Decoder struct {
	ring    []h2Field // length 0 or a power of two
	start   int       // the oldest entry
	n       int
	size    int
	max     int // valid when resized
	resized bool
	evicted int // entries ever evicted
}

func (d *h2Decoder) limit() int {
	if d.resized {
		return d.max
	}
	return h2TableSize
}

// next decodes one representation at the start of p and returns what is behind it. Literal strings are appended to
// arena and are valid as long as it is. A field with a name and value of more than room bytes is not kept; a negative
// room skips. first says that no field stands before this one in the block. An error is a COMPRESSION_ERROR.
func (d *h2Decoder) next(p []byte, arena *[]byte, room int, first bool) (f h2Field, got h2Got, rest []byte, err error) {
	switch b := p[0]; {
	case b&0x80 != 0:
		i, rest, err := h2ReadInt(p, 7)
		if err != nil {
			return f, 0, nil, err
		}
		f, ok := d.at(i)
		if !ok {
			return f, 0, nil, errH2Index
		}
		if len(f.name)+len(f.value) > room {
			return h2Field{}, h2GotOver, rest, nil
		}
		return f, h2GotField, rest, nil
	case b&0xc0 == 0x40:
		return d.literal(p, 6, arena, room)
	case b&0xe0 == 0x20:
		size, rest, err := h2ReadInt(p, 5)
		if err != nil {
			return f, 0, nil, err
		}
		if !first || size > h2TableSize {
			return f, 0, nil, errH2Resize
		}
		d.max, d.resized = int(size), true
		d.evict(0)
		return f, h2GotResize, rest, nil
	}
	return d.literal(p, 4, arena, room)
}

// literal decodes a literal field; prefix 6 means that it goes into the table.
func (d *h2Decoder) literal(p []byte, prefix int, arena *[]byte, room int) (f h2Field, got h2Got, rest []byte, err error) {
	index, rest, err := h2ReadInt(p, prefix)
	if err != nil {
		return f, 0, nil, err
	}
	var name, value h2String
	if index > 0 {
		ref, ok := d.at(index)
		if !ok {
			return f, 0, nil, errH2Index
		}
		f.name = ref.name
	} else if name, rest, err = h2ReadString(rest); err != nil {
		return f, 0, nil, err
	}
	if value, rest, err = h2ReadString(rest); err != nil {
		return f, 0, nil, err
	}
	keep := prefix == 6
	if !keep && (room < 0 || name.least()+value.least() > room) {
		return h2Field{}, h2GotOver, rest, nil
	}
	mark, most := len(*arena), room
	if keep {
		most = max(room, h2TableSize)
	}
	if index == 0 {
		f.name, err = name.decode(arena, most)
	}
	if err == nil {
		f.value, err = value.decode(arena, most)
	}
	if err == errH2TooLong {
		*arena = (*arena)[:mark]
		if keep {
			d.evict(h2TableSize + 1)
		}
		return h2Field{}, h2GotOver, rest, nil
	}
	if err != nil {
		return f, 0, nil, err
	}
	f.kind = h2KindOf(f.name, f.value)
	if keep && f.size() <= d.limit() {
		f = h2Own(f, index > 0)
		*arena = (*arena)[:mark]
		d.add(f)
	} else if keep {
		d.evict(h2TableSize + 1)
	}
	if len(f.name)+len(f.value) > room {
		*arena = (*arena)[:mark]
		return h2Field{}, h2GotOver, rest, nil
	}
	return f, h2GotField, rest, nil
}

// h2Own copies a field out of the arena, in one piece.
func h2Own(f h2Field, nameOwned bool) h2Field {
	if nameOwned {
		f.value = strings.Clone(f.value)
		return f
	}
	n := len(f.name)
	b := make([]byte, 0, n+len(f.value)) // not name + value: that may return one of them uncopied
	b = append(append(b, f.name...), f.value...)
	f.name, f.value = h2ArenaString(b[:n], 0), h2ArenaString(b, n)
	return f
}

func (d *h2Decoder) at(i uint64) (h2Field, bool) {
	if i == 0 {
		return h2Field{}, false
	}
	if i <= uint64(len(h2Static)) {
		return h2Static[i-1], true
	}
	if i -= uint64(len(h2Static)); i > uint64(d.n) {
		return h2Field{}, false
	}
	return d.ring[(d.start+d.n-int(i))&(len(d.ring)-1)], true
}

// add puts f into the table, where it fits.
func (d *h2Decoder) add(f h2Field) {
	d.evict(f.size())
	if d.n == len(d.ring) {
		bigger := make([]h2Field, max(8, 2*len(d.ring)))
		for i := range d.n {
			bigger[i] = d.ring[(d.start+i)&(len(d.ring)-1)]
		}
		d.ring, d.start = bigger, 0
	}
	d.ring[(d.start+d.n)&(len(d.ring)-1)] = f
	d.n++
	d.size += f.size()
}

// evict makes room for an entry of the given size.
func (d *h2Decoder) evict(room int) {
	for d.n > 0 && d.size+room > d.limit() {
		e := &d.ring[d.start]
		d.size -= e.size()
		*e = h2Field{}
		d.start = (d.start + 1) & (len(d.ring) - 1)
		d.n--
		d.evicted++
	}
}

// h2ReadInt reads an integer with a prefix of n bits (RFC 7541, section 5.1).
func h2ReadInt(p []byte, n int) (v uint64, rest []byte, err error) {
	if len(p) == 0 {
		return 0, nil, errH2Cut
	}
	top := uint64(1)<<n - 1
	if v = uint64(p[0]) & top; v < top {
		return v, p[1:], nil
	}
	for i := 1; i < len(p); i++ {
		if i > 5 {
			return 0, nil, errH2Integer
		}
		v += uint64(p[i]&0x7f) << (7 * (i - 1))
		if p[i]&0x80 == 0 {
			return v, p[i+1:], nil
		}
	}
	return 0, nil, errH2Cut
}

// h2String is a string as it stands in a header block.
type h2String struct {
	b       []byte
	huffman bool
}

func h2ReadString(p []byte) (s h2String, rest []byte, err error) {
	if len(p) == 0 {
		return s, nil, errH2Cut
	}
	s.huffman = p[0]&0x80 != 0
	n, rest, err := h2ReadInt(p, 7)
	if err != nil {
		return s, nil, err
	}
	if n > uint64(len(rest)) {
		return s, nil, errH2Cut
	}
	s.b = rest[:n]
	return s, rest[n:], nil
}

// least is how long the decoded string is at the very least.
func (s h2String) least() int {
	if s.huffman {
		return max(0, len(s.b)*8-7) / h2LongestCode
	}
	return len(s.b)
}

// decode appends the string to arena and returns it in place.
func (s h2String) decode(arena *[]byte, limit int) (string, error) {
	mark := len(*arena)
	if !s.huffman {
		if len(s.b) > limit {
			return "", errH2TooLong
		}
		*arena = append(*arena, s.b...)
	} else {
		a, err := h2Huffman.decode(*arena, s.b, limit)
		if err != nil {
			*arena = a[:mark]
			return "", err
		}
		*arena = a
	}
	return h2ArenaString(*arena, mark), nil
}

// h2ArenaString is what stands in arena behind mark, without a copy. Nothing writes there again before the stream that
// owns the arena is over.
func h2ArenaString(arena []byte, mark int) string {
	if mark == len(arena) {
		return ""
	}
	return unsafe.String(&arena[mark], len(arena)-mark)
}
