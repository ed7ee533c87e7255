package wire

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// h1BlockSize is the size of a pooled buffer in bytes: an ordinary head with a small body fits.
const h1BlockSize = 4 << 10

type h1Block [h1BlockSize]byte

// h1Blocks lends buffers. An idle connection holds none.
type h1Blocks struct{ pool sync.Pool }

func (p *h1Blocks) get() *h1Block {
	if b, ok := p.pool.Get().(*h1Block); ok {
		return b
	}
	return new(h1Block)
}

func (p *h1Blocks) put(b *h1Block) { p.pool.Put(b) }

// h1Reader is a connection's read buffer. It borrows its memory while there is something in it.
type h1Reader struct {
	src    io.Reader
	blocks *h1Blocks
	block  *h1Block // the borrowed one, nil for none
	buf    []byte   // the block, or a larger buffer of our own for a long head
	r, w   int
	// large is the size of buf when it is not a block.
	large atomic.Int32
}

func (r *h1Reader) buffered() int { return r.w - r.r }

// borrow makes sure that there is a buffer.
func (r *h1Reader) borrow() {
	if r.buf == nil {
		r.block = r.blocks.get()
		r.buf = r.block[:]
	}
}

// release gives the buffer back when it is empty.
func (r *h1Reader) release() {
	if r.r != r.w || r.buf == nil {
		return
	}
	r.drop()
}

// drop gives the buffer back with whatever is in it.
func (r *h1Reader) drop() {
	if r.block != nil {
		r.blocks.put(r.block)
	} else if r.buf != nil {
		r.large.Store(0)
	}
	r.block, r.buf, r.r, r.w = nil, nil, 0, 0
}

// fill reads once, and makes room for it first. It returns an error only when it has read nothing.
func (r *h1Reader) fill() error {
	r.borrow()
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w == len(r.buf) {
		r.makeRoom()
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom moves what there is to the front, or to a buffer twice as large.
func (r *h1Reader) makeRoom() {
	to := r.buf
	if r.r == 0 {
		to = make([]byte, 2*len(r.buf))
		r.large.Store(int32(len(to)))
	}
	n := copy(to, r.buf[r.r:r.w])
	if r.r == 0 && r.block != nil {
		r.blocks.put(r.block)
		r.block = nil
	}
	r.buf, r.r, r.w = to, 0, n
}

// read is for bodies: it takes at most max bytes, from the buffer first, and reads past it into a large p. Of a larger p it
// uses one byte more: a read that is not filled has taken all that there was, and an event loop need not ask again.
func (r *h1Reader) read(p []byte, max int64) (int, error) {
	whole := p
	if int64(len(p)) > max {
		p = p[:max]
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.r == r.w {
		if len(p) >= h1BlockSize {
			r.release()
			n, err := r.src.Read(whole[:min(len(whole), len(p)+1)])
			if n > len(p) {
				n--
				r.unread(whole[n])
			}
			return n, err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}

// more reads on where read has only emptied the buffer, if more has come already: what came with a head and what came behind
// it then go on in one write. It does not wait, and does not begin for a small piece of what is left.
func (r *h1Reader) more(p []byte, max int64) int {
	src, ok := r.src.(interface{ More(p []byte) int })
	if !ok || r.r != r.w || int64(len(p)) < min(max, h1BlockSize) {
		return 0
	}
	size := int(min(int64(len(p)), max))
	n := src.More(p[:min(len(p), size+1)])
	if n > size {
		n--
		r.unread(p[n])
	}
	return n
}

// line returns the next line without its end, at most max bytes long. It must end in CRLF. It is valid until the next
// call of any method.
func (r *h1Reader) line(max int) ([]byte, error) {
	scan := 0
	for {
		data := r.buf[r.r:r.w]
		if i := bytes.IndexByte(data[scan:], '\n'); i >= 0 {
			end := scan + i
			if end == 0 || data[end-1] != '\r' {
				return nil, errBareLF
			}
			if end-1 > max {
				return nil, errLineLong
			}
			r.r += end + 1
			return data[:end-1], nil
		}
		scan = len(data)
		if scan > max+1 {
			return nil, errLineLong
		}
		if err := r.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// h1HeadRules says how a head is read.
type h1HeadRules struct {
	max int // bytes, the empty line included
	// lax takes LF alone as the end of a line, as origins of all ages send it (RFC 9112, section 2.2), if the first line
	// ends so and all others do: an LF among CRLFs is a value that somebody has smuggled a field into. Where no field
	// follows, at the end of the head, it is forgiven: origins are configured with such values.
	lax bool
	// skip forgives one empty line in front, as RFC 9112, section 2.2, asks of servers.
	skip bool
	// first judges the first line before the others are there, so that garbage is not waited for.
	first func(line []byte) error
}

// head reads up to and with the empty line that ends a head, and counts the lines in between. The head is valid until
// the next call of any method. io.EOF means that not a byte came.
func (r *h1Reader) head(rules h1HeadRules) (head []byte, lines int, err error) {
	scan, start, skipped, judged := 0, 0, false, false
	lax, bare := rules.lax, false
	for {
		data := r.buf[r.r:r.w]
		for {
			i := bytes.IndexByte(data[scan:], '\n')
			if i < 0 {
				scan = len(data)
				break
			}
			end := scan + i
			scan = end + 1
			if lines == 0 {
				lax = lax && (end == start || data[end-1] != '\r')
			}
			line := data[start:end]
			if rules.lax && !lax && !bare && lines > 0 && len(line) > 0 && line[len(line)-1] != '\r' {
				bare = true
				lines++
				start = scan
				continue
			}
			empty, err := emptyLine(line, lax)
			if err == nil && bare && !empty {
				err = errBareLF
			}
			if err != nil {
				return nil, lines, err
			}
			if !empty {
				lines++
				start = scan
				continue
			}
			if lines > 0 {
				if scan > rules.max {
					return nil, lines, errHeadLarge
				}
				r.r += scan
				return data[:scan], lines, nil
			}
			if skipped || !rules.skip {
				return nil, 0, errEmptyLines
			}
			skipped = true
			r.r += scan
			data = r.buf[r.r:r.w]
			scan, start = 0, 0
		}
		if len(data) >= rules.max {
			if lines == 0 {
				return nil, 0, errTargetLong
			}
			return nil, lines, errHeadLarge
		}
		if lines > 0 && !judged && rules.first != nil {
			judged = true
			if err := rules.first(data[:bytes.IndexByte(data, '\n')]); err != nil {
				return nil, lines, err
			}
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && (len(data) > 0 || skipped) {
				err = io.ErrUnexpectedEOF
			}
			return nil, lines, err
		}
	}
}

// emptyLine reports whether a line (without its LF) is empty, and refuses one that does not end in CR, or one that does
// when lax.
func emptyLine(line []byte, lax bool) (bool, error) {
	n := len(line)
	cr := n > 0 && line[n-1] == '\r'
	switch {
	case cr == lax:
		return false, errBareLF
	case cr:
		return n == 1, nil
	}
	return n == 0, nil
}

// unexpected turns an end of the stream into one that came too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unread puts a byte into the buffer, which is empty or has been read from the connection before that byte was.
func (r *h1Reader) unread(c byte) {
	r.borrow()
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w == len(r.buf) {
		r.makeRoom()
	}
	r.buf[r.w] = c
	r.w++
}
