package wire

import (
	"hash/maphash"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"

	"stormdoor/flow"
)

// h2IndexAtMost is the largest field in bytes that is worth an entry of the table.
const h2IndexAtMost = 1024

// h2Encoder encodes header blocks (RFC 7541). It indexes a field when it sees it a second time, so that fields that
// differ with each answer cost no table. The zero value with a seed is ready to use.
type h2Encoder struct {
	seed    maphash.Seed
	ring    []h2Encoded // length 0 or a power of two
	start   int         // the oldest entry
	n       int
	size    int
	shrink  int        // how much smaller than h2TableSize the peer wants the table
	lowest  int        // the smallest size since the last block, valid when resized
	resized bool       // a size update is due
	seen    [64]uint32 // hashes of fields seen once
	scratch []byte
}

type h2Encoded struct {
	hash uint64
	text string // name and value
	name int    // length of the name
}

func (e *h2Encoder) limit() int { return h2TableSize - e.shrink }

// resize takes the peer's SETTINGS_HEADER_TABLE_SIZE (RFC 7541, section 4.2).
func (e *h2Encoder) resize(size uint32) {
	n := int(min(size, h2TableSize))
	if n == e.limit() {
		return
	}
	if !e.resized || n < e.lowest {
		e.lowest = n
	}
	e.shrink, e.resized = h2TableSize-n, true
	e.evict(0)
}

// begin starts a header block.
func (e *h2Encoder) begin(dst []byte) []byte {
	if !e.resized {
		return dst
	}
	e.resized = false
	if e.lowest < e.limit() { // the whole table goes: some decoders take a second update only when it is empty
		e.lowest = 0
		e.evict(h2TableSize + 1)
		dst = h2AppendInt(dst, 0x20, 5, uint64(e.lowest))
	}
	return h2AppendInt(dst, 0x20, 5, uint64(e.limit()))
}

// status appends :status.
func (e *h2Encoder) status(dst []byte, status int) []byte {
	switch status {
	case 200:
		return append(dst, 0x88)
	case 204:
		return append(dst, 0x89)
	case 206:
		return append(dst, 0x8a)
	case 304:
		return append(dst, 0x8b)
	case 400:
		return append(dst, 0x8c)
	case 404:
		return append(dst, 0x8d)
	case 500:
		return append(dst, 0x8e)
	}
	return strconv.AppendInt(append(dst, 0x08, 3), int64(status), 10)
}

// length appends content-length.
func (e *h2Encoder) length(dst []byte, n int64) []byte {
	dst = append(dst, 0x0f, 0x0d, 0) // static name 28, not indexed
	at := len(dst)
	dst = strconv.AppendInt(dst, n, 10)
	dst[at-1] = byte(len(dst) - at)
	return dst
}

// fields appends the fields of h with their names in lower case, without those that belong to a connection.
func (e *h2Encoder) fields(dst []byte, h flow.Header) []byte {
	for i := range h.Len() {
		f := h.At(i)
		name := e.lower(f.Name)
		if name == "" || name[0] == ':' || framingField(name) {
			continue
		}
		dst = e.field(dst, name, f.Value)
	}
	return dst
}

// lower returns name in lower case; valid until the next call.
func (e *h2Encoder) lower(name string) string {
	for i := 0; i < len(name); i++ {
		if 'A' <= name[i] && name[i] <= 'Z' {
			e.scratch = append(e.scratch[:0], name...)
			for j := i; j < len(name); j++ {
				if c := name[j]; 'A' <= c && c <= 'Z' {
					e.scratch[j] = c + 'a' - 'A'
				}
			}
			return h2ArenaString(e.scratch, 0)
		}
	}
	return name
}

func (e *h2Encoder) field(dst []byte, name, value string) []byte {
	static := int(h2StaticNames[name])
	if name == "set-cookie" { // a secret must not be guessed by what compresses well (RFC 7541, section 7.1.3)
		return h2AppendString(h2AppendInt(dst, 0x10, 4, uint64(static)), value)
	}
	if static > 0 && h2Static[static-1].value == value && value != "" {
		return append(dst, 0x80|byte(static))
	}
	size := len(name) + len(value) + h2EntryCost
	index := false
	if size <= h2IndexAtMost && size <= e.limit() {
		hash := maphash.String(e.seed, name)*31 ^ maphash.String(e.seed, value)
		if i := e.find(hash, name, value); i > 0 {
			return h2AppendInt(dst, 0x80, 7, uint64(len(h2Static)+i))
		}
		if index = e.again(hash); index {
			e.add(hash, name, value)
		}
	}
	first, prefix := byte(0), 4
	if index {
		first, prefix = 0x40, 6
	}
	dst = h2AppendInt(dst, first, prefix, uint64(static))
	if static == 0 {
		dst = h2AppendString(dst, name)
	}
	return h2AppendString(dst, value)
}

// find returns the index of a field in the dynamic table, 1 for the newest, 0 for none.
func (e *h2Encoder) find(hash uint64, name, value string) int {
	for i := 1; i <= e.n; i++ {
		x := &e.ring[(e.start+e.n-i)&(len(e.ring)-1)]
		if x.hash == hash && x.text[:x.name] == name && x.text[x.name:] == value {
			return i
		}
	}
	return 0
}

// again reports whether the field was seen lately, and remembers it.
func (e *h2Encoder) again(hash uint64) bool {
	slot := &e.seen[hash%uint64(len(e.seen))]
	if *slot == uint32(hash>>32) {
		return true
	}
	*slot = uint32(hash >> 32)
	return false
}

func (e *h2Encoder) add(hash uint64, name, value string) {
	size := len(name) + len(value) + h2EntryCost
	e.evict(size)
	if e.n == len(e.ring) {
		bigger := make([]h2Encoded, max(8, 2*len(e.ring)))
		for i := range e.n {
			bigger[i] = e.ring[(e.start+i)&(len(e.ring)-1)]
		}
		e.ring, e.start = bigger, 0
	}
	var text strings.Builder
	text.Grow(len(name) + len(value))
	text.WriteString(name)
	text.WriteString(value)
	e.ring[(e.start+e.n)&(len(e.ring)-1)] = h2Encoded{hash, text.String(), len(name)}
	e.n++
	e.size += size
}

func (e *h2Encoder) evict(room int) {
	for e.n > 0 && e.size+room > e.limit() {
		x := &e.ring[e.start]
		e.size -= len(x.text) + h2EntryCost
		*x = h2Encoded{}
		e.start = (e.start + 1) & (len(e.ring) - 1)
		e.n--
	}
}

// h2AppendInt appends v with a prefix of n bits below the bits of first (RFC 7541, section 5.1).
func h2AppendInt(dst []byte, first byte, n int, v uint64) []byte {
	top := uint64(1)<<n - 1
	if v < top {
		return append(dst, first|byte(v))
	}
	dst = append(dst, first|byte(top))
	for v -= top; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

func h2AppendString(dst []byte, s string) []byte {
	if n := hpack.HuffmanEncodeLength(s); n < uint64(len(s)) {
		return hpack.AppendHuffmanString(h2AppendInt(dst, 0x80, 7, n), s)
	}
	return append(h2AppendInt(dst, 0, 7, uint64(len(s))), s...)
}
