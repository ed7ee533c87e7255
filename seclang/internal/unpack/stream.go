package unpack

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// Stream unpacks a body as it comes, and gives the packed bytes on when what they unfold to has been looked at. It is for gzip
// and deflate in zlib's format, whose decoders look back 32 KiB at most.
type Stream struct {
	src     io.Reader // the packed body; nil when it has ended
	decoder io.Reader // nil before the first Read
	coding  string
	limits  Limits
	most    int // bytes of packed that may be held

	packed []byte // what came
	from   int    // of it, what was not given yet
	next   int    // of it, what the decoder takes next
	shown  int    // of it, up to where the decoder may take now
	before int64  // bytes that came before it
	plain  int64  // bytes that came out
	asked  []mark // places up to which the decoder had taken everything, and what had come out when the Read in which it asked was over
	marks  []mark // places that unfold to nothing beyond their plain bytes, in order
	end    error  // what src ended with, where that is not io.EOF
	wrong  Outcome
}

// mark says that the first packed bytes unfold to no more than the first plain bytes.
type mark struct{ packed, plain int64 }

// Sizes in bytes.
const (
	// streamPart is how much is read at once, packed and unpacked.
	streamPart = 4 << 10
	// streamSlack is what a decoder may have taken and not decoded: it asks for the bits of the longest code.
	streamSlack = 16
)

// ErrUnpack is what reading a Stream ends with where the body cannot be unpacked within its limits.
var ErrUnpack = errors.New("the body cannot be unpacked")

// NewStream returns what unpacks a body by its Content-Encoding; nil where that is none that can be undone as the body comes.
// begun is the beginning of it, and src what follows, nil for nothing. At most so many packed bytes are held; begun is
// kept, and appended to.
func NewStream(codings string, begun []byte, src io.Reader, most int, limits Limits) *Stream {
	if !Streams(codings) {
		return nil
	}
	return &Stream{src: src, coding: only(codings), limits: limits.withDefaults(), most: most, packed: begun}
}

// Streams reports whether a Content-Encoding is one that a Stream undoes.
func Streams(codings string) bool {
	coding := only(codings)
	return coding == "gzip" || coding == "x-gzip" || coding == "deflate"
}

func only(codings string) string { return strings.ToLower(strings.TrimSpace(codings)) }

// Read gives what the body holds. It ends with io.EOF, with ErrUnpack, or with the error of the body itself.
func (s *Stream) Read(p []byte) (int, error) {
	if s.wrong != Whole {
		return 0, ErrUnpack
	}
	if s.decoder == nil {
		if err := s.open(); err != nil {
			return 0, s.failed()
		}
	}
	n, err := s.decoder.Read(p[:min(len(p), streamPart)])
	s.plain += int64(n)
	s.came()
	taken := s.before + int64(s.next)
	switch {
	case s.plain > int64(s.limits.Bytes):
		s.wrong = TooLarge
	case s.plain > max(free, taken*int64(s.limits.Ratio)):
		s.wrong = TooDense
	case err == io.EOF && (s.next < len(s.packed) || s.more()):
		s.wrong = Malformed // something behind the end
	case err == io.EOF && s.end == nil:
		s.marks = append(s.marks, mark{taken, s.plain}) // all of it
		return n, io.EOF
	case err != nil:
		return n, s.failed()
	default:
		return n, nil
	}
	return n, ErrUnpack
}

// failed is the error of the body itself, if that is what its decoder ended with.
func (s *Stream) failed() error {
	if s.end != nil {
		return s.end
	}
	s.wrong = Malformed
	return ErrUnpack
}

func (s *Stream) open() (err error) {
	in := (*streamInput)(s)
	var decoder io.Reader
	if s.coding != "deflate" {
		decoder, err = gzip.NewReader(in)
	} else if err = s.zlib(); err == nil {
		decoder, err = zlib.NewReader(in)
	}
	if err == nil {
		s.decoder = decoder
	}
	return err
}

// zlib makes sure that a body that is called deflate begins as zlib's format does, and as nothing else.
func (s *Stream) zlib() error {
	const enough = 5
	for len(s.packed) < enough {
		if !s.more() {
			break
		}
	}
	if !isZlib(s.packed) || isStored(s.packed) {
		return errTwoWays
	}
	return nil
}

// more reads more of the body, into room that has been given, or new one. False: there is none.
func (s *Stream) more() bool {
	for s.src != nil {
		if len(s.packed) == cap(s.packed) {
			s.compact()
		}
		n, err := s.src.Read(s.packed[len(s.packed):min(cap(s.packed), len(s.packed)+streamPart)])
		s.packed = s.packed[:len(s.packed)+n]
		if err != nil {
			s.src = nil
		}
		if err != nil && err != io.EOF {
			s.end = err
		}
		if n > 0 {
			return true
		}
	}
	return false
}

// compact makes room for more.
func (s *Stream) compact() {
	left := s.packed[s.from:]
	to := s.packed[:0]
	if len(left) > cap(s.packed)/2 || cap(s.packed) < streamPart {
		to = make([]byte, 0, 2*len(left)+streamPart)
	}
	s.packed = append(to, left...)
	s.before, s.next, s.shown, s.from = s.before+int64(s.from), s.next-s.from, s.shown-s.from, 0
}

// Ready is how many packed bytes unfold to nothing beyond the first judged plain bytes, and were not taken yet.
func (s *Stream) Ready(judged int64) int {
	last := -1
	for last+1 < len(s.marks) && s.marks[last+1].plain <= judged {
		last++
	}
	if last < 0 {
		return 0
	}
	s.marks = s.marks[last:]
	return max(0, int(s.marks[0].packed-s.before)-s.from)
}

// Take gives packed bytes that are ready.
func (s *Stream) Take(p []byte, judged int64) int {
	n := copy(p[:min(len(p), s.Ready(judged))], s.packed[s.from:])
	s.from += n
	return n
}

// Rest reads what was not taken of the packed body, to its end. The Stream is no more to be used.
func (s *Stream) Rest() io.Reader {
	left := []io.Reader{bytes.NewReader(s.packed[s.from:])}
	switch {
	case s.end != nil:
		left = append(left, failing{s.end})
	case s.src != nil:
		left = append(left, s.src)
	}
	return io.MultiReader(left...)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// errIdle ends a body of which much comes and next to nothing comes out, as of empty blocks.
var errIdle = errors.New("too much of the body unfolds to nothing")

// streamInput is a Stream as its decoder reads it: byte by byte, so that it takes nothing before it needs it.
type streamInput Stream

var _ interface {
	io.Reader
	io.ByteReader
} = (*streamInput)(nil)

// await makes sure that there is something to take.
func (in *streamInput) await() error {
	s := (*Stream)(in)
	if s.next < s.shown {
		return nil
	}
	s.ask()
	if s.next < len(s.packed) {
		s.shown = min(len(s.packed), s.shown+streamPart)
		return nil
	}
	switch {
	case len(s.packed)-s.from >= s.most:
		return errIdle
	case s.more():
		s.shown = len(s.packed)
		return nil
	case s.end != nil:
		return s.end
	}
	return io.EOF
}

// ask notes that the decoder has taken all that it was shown. All that it could make of what it had taken when it asked before has come out,
// if anything has since: decoders give what they have before they ask for more, or when their window is full, and then all of it.
func (s *Stream) ask() {
	done := 0
	for done < len(s.asked) && s.asked[done].plain < s.plain {
		done++
	}
	if done > 0 {
		s.marks = append(s.marks, mark{s.asked[done-1].packed, now})
		s.asked = append(s.asked[:0], s.asked[done:]...)
	}
	s.asked = s.at(mark{s.before + int64(s.shown) - streamSlack, now})
}

// at is what was asked, with another place: of places with the same text only the last counts.
func (s *Stream) at(m mark) []mark {
	if last := len(s.asked) - 1; last >= 0 && s.asked[last].plain == m.plain {
		s.asked = s.asked[:last]
	}
	return append(s.asked, m)
}

// now stands for the plain bytes by the end of the Read that goes on. A decoder may ask before it has given what that returns, and also
// afterwards, for a checksum.
const now = math.MaxInt64

// came puts what has come out in the place of now.
func (s *Stream) came() {
	for i := len(s.marks) - 1; i >= 0 && s.marks[i].plain == now; i-- {
		s.marks[i].plain = s.plain
	}
	if last := len(s.asked) - 1; last >= 0 && s.asked[last].plain == now {
		m := mark{s.asked[last].packed, s.plain}
		s.asked = s.asked[:last]
		s.asked = s.at(m)
	}
}

func (in *streamInput) ReadByte() (byte, error) {
	if in.next == in.shown {
		if err := in.await(); err != nil {
			return 0, err
		}
	}
	b := in.packed[in.next]
	in.next++
	return b, nil
}

func (in *streamInput) Read(p []byte) (int, error) {
	if err := in.await(); err != nil {
		return 0, err
	}
	n := copy(p, in.packed[in.next:in.shown])
	in.next += n
	return n, nil
}
