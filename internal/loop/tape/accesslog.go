// Package tape answers "what happened before, and what would have happened?": it reads past traffic so that a policy can
// be judged on it.
package tape

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"stormdoor/flow"
)

const (
	// MaxLine is the longest line of a log in bytes. Longer ones are malformed.
	MaxLine = 64 << 10
	// keepMalformed is how many malformed lines are kept to be shown, and maxShown how much of each, in bytes.
	keepMalformed = 5
	maxShown      = 200
	// bufferSize holds the longest line and what recognises the format.
	bufferSize = 4 * MaxLine
	// maxStepBack is how far a time may lie behind the latest one and still be disorder rather than another clock.
	maxStepBack = time.Hour
)

// Entry is one line of an access log. What a log does not have is zero. The strings are valid until the next call of
// Log.Next with any Entry.
type Entry struct {
	// Time is when the log says that the request came (Apache) or ended (nginx).
	Time time.Time
	// Arrived is Time, but not before that of the entry before: see Log.
	Arrived time.Time
	// Client is the visitor's address. Logs with host names or numbers instead get one from 198.18.0.0/15 (RFC 2544),
	// the same for the same name: a number N gets the N-th, a name one by its hash, so two of some hundred names may meet.
	Client netip.Addr
	Method string
	// Target is what was asked for, with its query: in origin form, or whatever was sent.
	Target string
	Proto  flow.Proto
	// Host is in lower case and without port, "" in logs without it.
	Host   string
	Status int
	// Bytes is what was sent to the client.
	Bytes              int64
	Referer, UserAgent string
	// Took is how long the request took. Of logs in text it is known when a decimal number, in seconds, follows the
	// user agent (nginx: $request_time).
	Took time.Duration
}

// Fill writes to f what the log knows of the request: Arrived, Method, Proto, Host, Peer, Client, Length, and the Header
// with User-Agent and Referer, whose memory it reuses: it has to be the caller's own. Length is 0, or -1 for methods that
// come with a body. Everything else in f is left alone, Path and Query too. What it writes is valid as long as e is.
func (e *Entry) Fill(f *flow.Facts) {
	f.Arrived, f.Method, f.Proto, f.Host = e.Arrived, e.Method, e.Proto, e.Host
	f.Peer, f.Client = e.Client, e.Client
	f.Length = 0
	switch e.Method {
	case "POST", "PUT", "PATCH":
		f.Length = -1
	}
	f.Header.Reset()
	if e.UserAgent != "" {
		f.Header.Add("User-Agent", e.UserAgent)
	}
	if e.Referer != "" {
		f.Header.Add("Referer", e.Referer)
	}
}

// Malformed is a line that could not be read.
type Malformed struct {
	Line int64  // from 1
	Why  string // what is wrong
	Text string // the beginning of the line
}

// Log reads an access log: common, combined, JSON lines or tab-separated, plain or gzip. It is for one goroutine, except
// Progress.
//
// Entries come in the order of the file. Logs are written when requests end, so their times are slightly out of order:
// Entry.Time is what the log says, and Entry.Arrived never goes back, so that it can be a stage's clock. Only a step of
// more than an hour is followed, because it is another log behind the first or a clock that was set. Disorder counts both.
type Log struct {
	name   string
	close  func() error
	src    io.Reader
	read   *counter
	total  int64
	format *format

	buf        []byte
	start, end int
	eof        error // why src gives no more

	line, good, bad int64
	kept            []Malformed
	latest          time.Time
	disorder        Disorder
	p               parser
}

// Disorder is how far the times of a log are from being in order.
type Disorder struct {
	// Lines is how many entries were earlier than one before them, and Most by how much at most.
	Lines int64
	Most  time.Duration
	// Steps is how many steps back of more than an hour were followed.
	Steps int64
}

// Open opens the log at path; "-" is standard input. The caller closes it.
func Open(path string) (*Log, error) {
	if path == "-" {
		return NewLog("standard input", os.Stdin, 0)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	var size int64
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		size = st.Size()
	}
	l, err := NewLog(path, f, size)
	if err != nil {
		f.Close()
		return nil, err
	}
	l.close = f.Close
	return l, nil
}

// NewLog reads the log from r, which stays the caller's. The name is used in errors; size is that of r in bytes, 0 when
// it is not known.
func NewLog(name string, r io.Reader, size int64) (*Log, error) {
	l := &Log{name: name, read: &counter{r: r}, total: size, buf: make([]byte, bufferSize), close: func() error { return nil }}
	b := bufio.NewReaderSize(l.read, 64<<10)
	l.src = b
	if magic, _ := b.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("access log %s: %w", name, err)
		}
		l.src = z
	}
	l.fill()
	if err := l.recognise(); err != nil {
		return nil, err
	}
	return l, nil
}

// Close closes what Open opened.
func (l *Log) Close() error { return l.close() }

// Format is the format that was recognised: "combined", "common", "json" or "tsv".
func (l *Log) Format() string { return l.format.name }

// Progress is how many bytes of the file have been read, of how many; total is 0 when it is not known. It may be called
// from any goroutine.
func (l *Log) Progress() (read, total int64) { return l.read.n.Load(), l.total }

// Malformed is how many lines could not be read, and the first few of them.
func (l *Log) Malformed() (n int64, first []Malformed) { return l.bad, l.kept }

// Disorder tells how far the times so far were from being in order.
func (l *Log) Disorder() Disorder { return l.disorder }

// Next reads the next entry into e. It returns io.EOF at the end. Malformed lines are counted and skipped; only when they
// are more than the others, at the end or after the first thousand of them, the log is an error. Any other error is that
// of the file.
func (l *Log) Next(e *Entry) error {
	for {
		line, err := l.nextLine()
		if errors.Is(err, errLong) {
			l.reject(line, err.Error())
			continue
		}
		if err == io.EOF && l.bad > l.good {
			return l.hopeless()
		}
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("access log %s, behind line %d: %w", l.name, l.line, err)
		}
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		*e = Entry{}
		l.p.scratch = l.p.scratch[:0]
		if why := l.format.parse(&l.p, line, e); why != "" {
			l.reject(line, why)
			if l.bad >= 1000 && l.bad > l.good {
				return l.hopeless()
			}
			continue
		}
		l.good++
		l.arrive(e)
		return nil
	}
}

func (l *Log) arrive(e *Entry) {
	back := l.latest.Sub(e.Time)
	switch {
	case back <= 0:
		l.latest = e.Time
	case back > maxStepBack:
		l.latest = e.Time
		l.disorder.Steps++
	default:
		l.disorder.Lines++
		l.disorder.Most = max(l.disorder.Most, back)
	}
	e.Arrived = l.latest
}

func (l *Log) reject(line []byte, why string) {
	l.bad++
	if len(l.kept) < keepMalformed {
		l.kept = append(l.kept, Malformed{l.line, why, shown(line)})
	}
}

func (l *Log) hopeless() error {
	m := l.kept[0]
	return fmt.Errorf("access log %s: %d of the first %d lines are not in the format %s, which its first lines have; line %d: %s: %s",
		l.name, l.bad, l.line, l.format.name, m.Line, m.Why, m.Text)
}

// shown is the beginning of a line as an error can show it.
func shown(line []byte) string {
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return '.'
		}
		return r
	}, string(line[:min(len(line), maxShown)])), ".")
}

var errLong = fmt.Errorf("the line is longer than %d bytes", MaxLine)

// nextLine returns the next line without its end. It is valid until the next call. For one that is too long it returns
// its beginning and errLong.
func (l *Log) nextLine() ([]byte, error) {
	for searched := 0; ; {
		if i := bytes.IndexByte(l.buf[l.start+searched:l.end], '\n'); i >= 0 {
			line := l.buf[l.start : l.start+searched+i]
			l.start += searched + i + 1
			l.line++
			if len(line) > MaxLine {
				return line, errLong
			}
			return bytes.TrimSuffix(line, []byte{'\r'}), nil
		}
		searched = l.end - l.start
		if searched > MaxLine {
			return l.skipLine()
		}
		if l.eof != nil {
			break
		}
		l.fill()
	}
	if l.start == l.end {
		return nil, l.eof
	}
	line := l.buf[l.start:l.end]
	l.start = l.end
	l.line++
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}

// skipLine drops the rest of a line that is too long.
func (l *Log) skipLine() ([]byte, error) {
	l.line++
	begin := bytes.Clone(l.buf[l.start : l.start+maxShown])
	for {
		if i := bytes.IndexByte(l.buf[l.start:l.end], '\n'); i >= 0 {
			l.start += i + 1
			return begin, errLong
		}
		l.start = l.end
		if l.eof != nil {
			return begin, errLong
		}
		l.fill()
	}
}

// fill moves what is left to the front of the buffer and reads more behind it.
func (l *Log) fill() {
	l.end = copy(l.buf, l.buf[l.start:l.end])
	l.start = 0
	for l.eof == nil && l.end < len(l.buf) {
		n, err := l.src.Read(l.buf[l.end:])
		l.end += n
		l.eof = err
		if n > 0 && l.end > MaxLine {
			return
		}
	}
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// text is a string over the bytes, without a copy. The bytes must not change while it is in use: those of the buffer do
// at the next call of Next, which is what Entry promises.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
