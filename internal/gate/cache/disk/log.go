// Package disk answers "what did we know before the machine was switched off?": a log of records in files of bounded size,
// which a torn write, a damaged sector or a full disk can cost records of, but never make it tell what was not written. It
// knows nothing of what the records mean.
package disk

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Log is a sequence of records in segments, files that are written once from front to back. The oldest segment makes room
// for what is new. Append, Sync, Scan, Wipe and Close are for one goroutine; reading is safe for concurrent use.
type Log struct {
	dir     string
	files   Files
	size    int64 // of all segments together, at most
	share   int64 // from how large on a segment is followed by another
	dropped func(*Segment)
	lock    io.Closer
	buf     []byte

	segments []*Segment // oldest first
	active   *Segment   // the one that is written, nil for none yet
	next     uint64     // number of the next one
	moved    bool       // files have come or gone since the folder was brought to the disk
	bytes    atomic.Int64
	oldest   atomic.Pointer[Segment]
}

// Segment is one file of a log.
type Segment struct {
	name string
	file File // nil until the segment has been scanned
	size int64
}

// Place is where a record is. The zero Place is nowhere.
type Place struct {
	Segment *Segment
	at      int64
	frame   frame
}

const (
	segmentsMost  = 64
	segmentShare  = 16 // a segment is one part in so many of the whole
	segmentLeast  = 1 << 20
	segmentMost   = 1 << 30
	recordShare   = 4 // a record is at most one part in so many
	bufferSize    = 256 << 10
	segmentEnding = ".log"
)

var (
	// ErrTaken says that another process has the folder.
	ErrTaken = errors.New("another process has the folder")
	// ErrTooLarge says that a record is too large for the log.
	ErrTooLarge = errors.New("a record is too large")
)

// Open takes the folder for this process and returns the log in it, of which nothing has been read yet: call Scan first. size
// bounds its files together, in bytes. dropped is told of each segment that is no more; its records must not be read.
func Open(dir string, size int64, files Files, dropped func(*Segment)) (*Log, error) {
	l := &Log{dir: dir, files: files, size: size, share: min(max(size/segmentShare, segmentLeast), segmentMost), dropped: dropped, next: 1}
	var err error
	if l.lock, err = files.Lock(dir); err != nil {
		return nil, err
	}
	names, err := files.List(dir)
	if err != nil {
		_ = l.lock.Close()
		return nil, err
	}
	slices.Sort(names) // of one length, in the order in which they were made
	for _, name := range names {
		if n, ok := number(name); ok {
			l.segments = append(l.segments, &Segment{name: name})
			l.next = max(l.next, n+1)
		}
	}
	return l, nil
}

// number is the number of a segment by its name.
func number(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(filepath.Base(name), segmentEnding)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil
}

// Append writes a record behind all others. After an error there is no such record; the log can be used on, and what had to
// make room is gone.
func (l *Log) Append(kind Kind, head []byte, body [][]byte) (Place, error) {
	f := frame{kind: kind, head: len(head)}
	for _, p := range body {
		f.body += int64(len(p))
	}
	if f.head > HeadMost || f.size() > l.size/recordShare {
		return Place{}, ErrTooLarge
	}
	if l.active != nil && l.active.size+f.size() > l.share {
		l.seal()
	}
	if err := l.makeRoom(f.size()); err != nil {
		return Place{}, err
	}
	if l.active == nil {
		if err := l.begin(); err != nil {
			return Place{}, err
		}
	}
	s := l.active
	at := s.size
	sum, err := l.write(s.file, at, kind, head, body, f.body)
	if err != nil {
		if s.file.Truncate(at) != nil { // what is torn stays, and is the end of this segment
			l.grow(s, f.size())
			l.active = nil
		}
		return Place{}, err
	}
	f.sum = sum
	l.grow(s, f.size())
	return Place{Segment: s, at: at, frame: f}, nil
}

func (l *Log) write(file File, at int64, kind Kind, head []byte, body [][]byte, length int64) (sum uint32, err error) {
	b := append(appendFrame(l.buf[:0], kind, head, length), head...)
	f, _ := parseFrame(b)
	w := blockWriter{head: f.sum}
	out := func() {
		if err == nil && len(b) > 0 {
			_, err = file.WriteAt(b, at)
			at += int64(len(b))
		}
		b = b[:0]
	}
	for _, p := range body {
		for len(p) > 0 && err == nil {
			n := min(len(p), BlockSize)
			b = w.append(b, p[:n])
			if p = p[n:]; len(b) >= bufferSize {
				out()
			}
		}
	}
	b = w.close(b)
	out()
	if l.buf = b; cap(l.buf) > 2*bufferSize {
		l.buf = nil
	}
	return f.sum, err
}

func (l *Log) grow(s *Segment, n int64) {
	s.size += n
	l.bytes.Add(n)
}

// begin makes another segment.
func (l *Log) begin() error {
	name := filepath.Join(l.dir, fmt.Sprintf("%016x%s", l.next, segmentEnding))
	f, err := l.files.Create(name)
	if err != nil {
		return err
	}
	l.next, l.moved = l.next+1, true
	l.active = &Segment{name: name, file: f}
	l.segments = append(l.segments, l.active)
	l.aged()
	return nil
}

// seal ends the segment that is being written.
func (l *Log) seal() {
	_ = l.active.file.Sync() // what is lost all the same is found by its checksum
	l.active = nil
	l.aged()
}

// makeRoom drops the oldest segments until n more bytes fit.
func (l *Log) makeRoom(n int64) error {
	for len(l.segments) > 0 && (l.bytes.Load()+n > l.size || len(l.segments) >= segmentsMost) {
		if err := l.DropOldest(); err != nil {
			return err
		}
	}
	return nil
}

// DropOldest removes the oldest segment; the error says that it is still there. It does nothing where there is none.
func (l *Log) DropOldest() error {
	if len(l.segments) == 0 {
		return nil
	}
	s := l.segments[0]
	if err := l.files.Remove(s.name); err != nil {
		return err
	}
	l.segments, l.moved = l.segments[1:], true
	if l.active == s {
		l.active = nil
	}
	l.bytes.Add(-s.size)
	l.aged()
	s.close()
	l.dropped(s)
	return nil
}

// aged takes note of which segment makes room next.
func (l *Log) aged() {
	if len(l.segments) == 0 || l.segments[0] == l.active {
		l.oldest.Store(nil)
		return
	}
	l.oldest.Store(l.segments[0])
}

// Wipe removes every segment, the oldest first, so that what is left after an error never lacks a record that came later. After
// nil they stay removed, whatever becomes of the machine.
func (l *Log) Wipe() error {
	for len(l.segments) > 0 {
		if err := l.DropOldest(); err != nil {
			return err
		}
	}
	return l.syncDir()
}

// Sync brings what was written to the disk itself.
func (l *Log) Sync() error {
	if l.active != nil {
		if err := l.active.file.Sync(); err != nil {
			return err
		}
	}
	return l.syncDir()
}

// syncDir brings to the disk which files there are, if that has changed.
func (l *Log) syncDir() error {
	if !l.moved {
		return nil
	}
	if err := l.files.SyncDir(l.dir); err != nil {
		return err
	}
	l.moved = false
	return nil
}

// Close closes every file and gives the folder back. Nothing can be read afterwards.
func (l *Log) Close() error {
	err := l.Sync()
	for _, s := range l.segments {
		s.close()
	}
	return errors.Join(err, l.lock.Close())
}

// Bytes is what the segments take together.
func (l *Log) Bytes() int64 { return l.bytes.Load() }

// NextToGo reports whether the segment is the one that makes room next.
func (l *Log) NextToGo(s *Segment) bool { return l.oldest.Load() == s }

func (s *Segment) close() {
	if s.file != nil {
		_ = s.file.Close() // what is being read of it ends in an error
	}
}

// Length is the length of the record's body.
func (p Place) Length() int64 { return p.frame.body }

// Read reads the record whole and returns its head and its body in blocks, all in memory of their own.
func (p Place) Read() (head []byte, body [][]byte, err error) {
	b := make([]byte, p.frame.size()-frameSize)
	if err := p.read(b, frameSize); err != nil {
		return nil, nil, err
	}
	head = slices.Clip(b[:p.frame.head])
	if !p.frame.holds(head) {
		return nil, nil, ErrDamaged
	}
	body, err = p.frame.blocks(b[p.frame.head:], 0)
	return head, body, err
}

// ReadHead reads the record's head.
func (p Place) ReadHead() ([]byte, error) {
	head := make([]byte, p.frame.head)
	if err := p.read(head, frameSize); err != nil {
		return nil, err
	}
	if !p.frame.holds(head) {
		return nil, ErrDamaged
	}
	return head, nil
}

// ReadBlocks reads the body from block first on, as many blocks as fit into b with 4 bytes more each, and returns them; none
// behind the last. They lie in b.
func (p Place) ReadBlocks(b []byte, first int64) ([][]byte, error) {
	const each = BlockSize + sumSize
	b = b[:max(0, min(int64(len(b)/each*each), onDisk(p.frame.body)-first*each))]
	if err := p.read(b, frameSize+int64(p.frame.head)+first*each); err != nil {
		return nil, err
	}
	return p.frame.blocks(b, first)
}

// read fills b from a distance behind the record's beginning on.
func (p Place) read(b []byte, from int64) error {
	_, err := p.Segment.file.ReadAt(b, p.at+from)
	if err == io.EOF && len(b) == 0 {
		return nil
	}
	return err
}
