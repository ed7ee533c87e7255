package wire

import (
	"bytes"
	"io"

	"stormdoor/flow"
)

// The bounds of the chunked coding.
const (
	// h1ChunkLine is the longest chunk line in bytes, extensions included.
	h1ChunkLine = 256
	// h1ChunkWaste is how many bytes of framing may be ahead of the data, as in net/http: each chunk is forgiven 16
	// bytes and twice its data.
	h1ChunkWaste = 16 << 10
)

// h1Framing is how a body is delimited (RFC 9112, section 6.3).
type h1Framing uint8

const (
	h1NoBody     h1Framing = iota
	h1Sized                // Content-Length
	h1Chunked              // chunked
	h1UntilClose           // the end of the connection, answers only
)

// h1Framed reads one body out of a connection's buffer. Read returns io.EOF only when the body is complete.
type h1Framed struct {
	from    *h1Reader
	framing h1Framing
	// left is what is still to come of the body (h1Sized) or of the chunk (h1Chunked).
	left int64
	// inChunk is true from a chunk's size line until the CRLF behind its data.
	inChunk    bool
	waste      int64
	maxTrailer int // bytes
	maxFields  int
	trailer    flow.Header
	// err is what Read returns from now on; io.EOF when the body is complete.
	err error
}

// reset prepares f for a body of length bytes (for h1Sized).
func (f *h1Framed) reset(from *h1Reader, framing h1Framing, length int64, maxTrailer, maxFields int) {
	*f = h1Framed{from: from, framing: framing, maxTrailer: maxTrailer, maxFields: maxFields}
	if framing == h1Sized {
		f.left = length
	}
	if framing == h1NoBody || framing == h1Sized && length == 0 {
		f.err = io.EOF
	}
}

// Read reads the body's data.
func (f *h1Framed) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var err error
	switch f.framing {
	case h1Sized:
		n, err = f.from.read(p, f.left)
		f.left -= int64(n)
		if err == nil && f.left > 0 {
			k := f.from.more(p[n:], f.left)
			n, f.left = n+k, f.left-int64(k)
		}
		if f.left == 0 {
			err = io.EOF
		} else {
			err = unexpected(err)
		}
	case h1Chunked:
		n, err = f.readChunked(p)
	default:
		n, err = f.from.read(p, int64(len(p)))
	}
	f.err = err
	if n > 0 {
		return n, nil // the error, or the end, comes with the next call
	}
	return 0, err
}

// ready is the number of bytes of data that Read gives without waiting for the connection.
func (f *h1Framed) ready() int64 {
	n := int64(f.from.buffered())
	switch {
	case f.err != nil:
		return 0
	case f.framing == h1UntilClose:
		return n
	case f.framing == h1Chunked && !f.inChunk:
		return f.readyChunk()
	}
	return min(n, f.left)
}

// readyChunk is ready where the size line of a chunk is due.
func (f *h1Framed) readyChunk() int64 {
	line, data, ok := bytes.Cut(f.from.buf[f.from.r:f.from.w], []byte("\n"))
	if !ok {
		return 0
	}
	size, _ := parseHex(line[:hexDigits(line)])
	return min(int64(len(data)), size)
}

// hexDigits is how many hexadecimal digits s begins with.
func hexDigits(s []byte) (n int) {
	for n < len(s) && classes[s[n]]&classHex != 0 {
		n++
	}
	return n
}

// readChunked reads data of one or more chunks. It looks ahead no further than the buffer, except for the end: the last
// chunk and the trailer section are read together.
func (f *h1Framed) readChunked(p []byte) (n int, err error) {
	for n < len(p) {
		if !f.inChunk {
			if n > 0 && !f.hasLine() {
				return n, nil
			}
			if err := f.nextChunk(); err != nil {
				return n, err
			}
		}
		if f.left > 0 {
			if n > 0 && f.from.buffered() == 0 {
				return n, nil
			}
			k, err := f.from.read(p[n:], f.left)
			n += k
			f.left -= int64(k)
			if err != nil {
				return n, unexpected(err)
			}
		}
		if f.left == 0 {
			if n > 0 && f.from.buffered() < 2 {
				return n, nil
			}
			if err := f.endChunk(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// hasLine reports whether a whole line waits in the buffer.
func (f *h1Framed) hasLine() bool {
	data := f.from.buf[f.from.r:f.from.w]
	for _, c := range data[:min(len(data), h1ChunkLine)] {
		if c == '\n' {
			return true
		}
	}
	return false
}

// nextChunk reads a chunk's size line, and the trailer section behind the last one; io.EOF is the body's end.
func (f *h1Framed) nextChunk() error {
	line, err := f.from.line(h1ChunkLine)
	if err != nil {
		return err
	}
	digits := hexDigits(line)
	size, ok := parseHex(line[:digits])
	if !ok {
		return errChunkSize
	}
	if !validChunkExt(line[digits:]) {
		return errChunkExt
	}
	f.waste = max(0, f.waste+int64(len(line))+2-16-2*min(size, h1ChunkWaste))
	if f.waste > h1ChunkWaste {
		return errChunkWaste
	}
	if size == 0 {
		return f.readTrailer()
	}
	f.left, f.inChunk = size, true
	return nil
}

func (f *h1Framed) endChunk() error {
	for f.from.buffered() < 2 {
		if err := f.from.fill(); err != nil {
			return unexpected(err)
		}
	}
	b := f.from.buf[f.from.r:]
	if b[0] != '\r' || b[1] != '\n' {
		return errChunkEnd
	}
	f.from.r += 2
	f.inChunk = false
	return nil
}

// readTrailer reads the trailer section. Fields that mean nothing there are left out.
func (f *h1Framed) readTrailer() error {
	left := f.maxTrailer
	for fields := 0; ; fields++ {
		line, err := f.from.line(left)
		if err == errLineLong || fields > f.maxFields {
			return errHeadLarge
		}
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return io.EOF
		}
		left -= len(line)
		name, value, err := h1Field(string(line))
		if err != nil {
			return err
		}
		if framingField(name) || flow.EqualFold(name, "host") {
			return errTrailerField
		}
		if validTrailer(name) {
			f.trailer.Add(name, value)
		}
	}
}

var errTrailerField = &MalformedError{400, MalformedField, "a trailer field that frames or routes the message"}

// validChunkExt reports whether s is nothing or *( ";" token [ "=" ( token / quoted-string ) ] ), without the white
// space that RFC 9112, section 7.1.1, calls bad and allows.
func validChunkExt(s []byte) bool {
	for len(s) > 0 {
		if s[0] != ';' {
			return false
		}
		n := tokenLen(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
		if len(s) == 0 || s[0] != '=' {
			continue
		}
		s = s[1:]
		if n = tokenLen(s); n == 0 {
			n = quotedLen(s)
		}
		if n == 0 {
			return false
		}
		s = s[n:]
	}
	return true
}

func tokenLen(s []byte) int {
	n := 0
	for n < len(s) && classes[s[n]]&classToken != 0 {
		n++
	}
	return n
}

// quotedLen is the length of the quoted string that s begins with, 0 when there is none.
func quotedLen(s []byte) int {
	if len(s) == 0 || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i + 1
		case s[i] == '\\':
			i++
			if i == len(s) || s[i] != '\t' && (s[i] < ' ' || s[i] >= 0x7f) {
				return 0
			}
		case classes[s[i]]&classQuoted == 0:
			return 0
		}
	}
	return 0
}
