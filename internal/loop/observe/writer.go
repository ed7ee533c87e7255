package observe

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Writer takes log lines and never makes the caller wait: a full or slow disk loses lines, which are counted and said
// once the disk takes lines again. It is safe for concurrent use. Run writes; without it lines wait in the queue.
//
// Lines of requests leave room for what the door says of itself: the last places of the queue, and a quarter of the ceiling.
type Writer struct {
	stream io.Writer // where lines go without a file
	now    func() time.Time
	queue  chan queued
	free   sync.Pool
	lost   atomic.Int64

	mu      sync.Mutex // guards what follows
	path    string     // "" for the stream
	out     io.Writer
	rate    int64 // bytes per second, 0 for no ceiling
	budget  int64
	filled  time.Time
	failing error
}

// queueLines bounds what waits for the disk: at most this many lines of at most maxLine bytes, of which ownLines are none of a
// request.
const (
	queueLines = 1024
	ownLines   = 64
	maxLine    = 8 << 10
)

// queued is a line that waits.
type queued struct {
	text    []byte
	request bool
}

// NewWriter returns a writer to the file path, or to out when path is "". rate is the ceiling in bytes per second, 0 for
// none. The error names the file and says what to do.
func NewWriter(path string, out io.Writer, rate int64, now func() time.Time) (*Writer, error) {
	w := &Writer{stream: out, path: path, out: out, rate: rate, now: now, queue: make(chan queued, queueLines), budget: rate, filled: now()}
	w.free.New = func() any { b := make([]byte, 0, 1024); return &b }
	if path != "" {
		f, err := open(path)
		if err != nil {
			return nil, err
		}
		w.out = f
	}
	return w, nil
}

func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log.file: %w; correct the path, or let the door's user write there", err)
	}
	return f, nil
}

// Write queues one line of the door's own, whole, or counts it as lost. It never fails and never blocks. The line is copied.
func (w *Writer) Write(line []byte) (int, error) {
	w.take(line, false)
	return len(line), nil
}

// WriteRequest is Write of a line about a request.
func (w *Writer) WriteRequest(line []byte) { w.take(line, true) }

func (w *Writer) take(line []byte, request bool) {
	if request && len(w.queue) >= queueLines-ownLines {
		w.lost.Add(1)
		return
	}
	if len(line) > maxLine {
		line = append(append([]byte(nil), line[:maxLine-2]...), '~', '\n')
	}
	b := w.free.Get().(*[]byte)
	*b = append((*b)[:0], line...)
	select {
	case w.queue <- queued{*b, request}:
	default:
		w.lost.Add(1)
	}
}

// Lost is how many lines have been lost so far.
func (w *Writer) Lost() int64 { return w.lost.Load() }

// Reopen opens the file anew, after logrotate has moved it away. On an error the old file stays in use.
func (w *Writer) Reopen() error {
	w.mu.Lock()
	path, rate := w.path, w.rate
	w.mu.Unlock()
	c, err := w.Prepare(path, rate)
	if err != nil {
		return err
	}
	return c.Commit()
}

// Change is another place and ceiling of a Writer, ready to be used. It wants either Commit or Discard, once.
type Change struct {
	w    *Writer
	path string
	rate int64
	file *os.File // nil for the stream
}

// Prepare opens the file path, "" for the stream, which Commit makes the writer go on with, at most rate bytes a second.
// Nothing has changed so far.
func (w *Writer) Prepare(path string, rate int64) (*Change, error) {
	c := &Change{w: w, path: path, rate: rate}
	if path == "" {
		return c, nil
	}
	var err error
	c.file, err = open(path)
	return c, err
}

// Commit writes what comes from now on to the new place, and closes the old file.
func (c *Change) Commit() error {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	old, wasFile := w.out, w.path != ""
	w.path, w.out = c.path, w.stream
	if c.file != nil {
		w.out = c.file
	}
	if w.rate != c.rate {
		w.rate, w.budget = c.rate, c.rate
	}
	if wasFile {
		return old.(io.Closer).Close()
	}
	return nil
}

// Discard closes what Prepare has opened.
func (c *Change) Discard() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// Run writes what is queued until ctx ends, then what is still queued, and closes the file.
func (w *Writer) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var said int64
	for {
		select {
		case line := <-w.queue:
			w.put(line)
		case <-tick.C:
			said = w.say(said)
		case <-ctx.Done():
			for {
				select {
				case line := <-w.queue:
					w.put(line)
				default:
					w.say(said)
					return w.close()
				}
			}
		}
	}
}

func (w *Writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" {
		return nil
	}
	return w.out.(io.Closer).Close()
}

// say writes down that lines were lost since it last did, and returns how many are said by now.
func (w *Writer) say(said int64) int64 {
	lost := w.lost.Load()
	if lost == said {
		return said
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	cause := "over log.max_rate or too fast for the disk"
	if w.failing != nil {
		cause = w.failing.Error()
	}
	line := fmt.Sprintf(`{"time":%q,"level":"WARN","msg":"log lines were lost","lines":%d,"cause":%q}`+"\n", w.now().UTC().Format(time.RFC3339), lost-said, cause)
	if _, err := io.WriteString(w.out, line); err != nil {
		w.failing = err
		return said
	}
	w.failing = nil
	return lost
}

func (w *Writer) put(line queued) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := int64(0)
	if line.request {
		kept = w.rate / 4
	}
	if w.allowed(int64(len(line.text)), kept) {
		if _, err := w.out.Write(line.text); err != nil {
			w.failing = err
			w.lost.Add(1)
		}
	} else {
		w.lost.Add(1)
	}
	w.free.Put(&line.text)
}

// allowed spends n bytes from the ceiling's bucket, which holds one second's worth, if kept bytes are left in it.
func (w *Writer) allowed(n, kept int64) bool {
	if w.rate <= 0 {
		return true
	}
	now := w.now()
	if d := now.Sub(w.filled); d > 0 {
		w.budget = min(w.rate, w.budget+int64(float64(w.rate)*d.Seconds()))
		w.filled = now
	} else if d < 0 {
		w.filled = now // the clock was set back
	}
	if w.budget < n+kept {
		return false
	}
	w.budget -= n
	return true
}
