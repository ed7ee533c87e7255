package disk

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
)

// Record is one that a scan finds. Head is valid until the scan goes on.
type Record struct {
	Kind  Kind
	Head  []byte
	Place Place
}

// holds reports whether a head is the one that was written.
func (f frame) holds(head []byte) bool { return crc32.Checksum(head, sums) == f.sum }

// Scan reads the heads of all records, from the oldest to the latest, before anything is appended. A record that breaks off is
// the end of its segment. Where a head is damaged or cannot be read, nobody can tell what it took back of what came before, so
// everything before it is dropped, with its segment. It ends early when ctx does.
func (l *Log) Scan(ctx context.Context, take func(Record)) error {
	for _, s := range append([]*Segment(nil), l.segments...) {
		err := l.scan(ctx, s, take)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for gone := err == nil; !gone; {
			gone = l.segments[0] == s
			if err := l.DropOldest(); err != nil {
				return err
			}
		}
	}
	l.aged()
	return l.makeRoom(0)
}

// scan reads one segment.
func (l *Log) scan(ctx context.Context, s *Segment, take func(Record)) error {
	file, err := l.files.Open(s.name)
	if err != nil {
		return err
	}
	s.file = file
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	l.grow(s, size)
	b := make([]byte, 4<<10)
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := s.record(&b, at, size)
		if errors.Is(err, errTorn) {
			return nil
		}
		if err != nil {
			return err
		}
		take(r)
		at += r.Place.frame.size()
	}
	return nil
}

// record reads the head of the record at a place of a segment of a size, into *b.
func (s *Segment) record(b *[]byte, at, size int64) (Record, error) {
	n, err := s.file.ReadAt(*b, at)
	if err != nil && err != io.EOF {
		return Record{}, err
	}
	if n < frameSize {
		return Record{}, errTorn
	}
	f, err := parseFrame(*b)
	if err != nil {
		if s.empty(at, size) {
			return Record{}, errTorn
		}
		return Record{}, err
	}
	if at+f.size() > size {
		return Record{}, errTorn
	}
	if whole := frameSize + f.head; n < whole {
		*b = make([]byte, whole)
		if _, err := s.file.ReadAt(*b, at); err != nil {
			return Record{}, err
		}
	}
	head := (*b)[frameSize : frameSize+f.head]
	if !f.holds(head) {
		return Record{}, ErrDamaged
	}
	return Record{Kind: f.kind, Head: head, Place: Place{Segment: s, at: at, frame: f}}, nil
}

// empty reports whether there is nothing but zeros from a place on: what a file system leaves of a write that the power
// cut off.
func (s *Segment) empty(at, size int64) bool {
	b := make([]byte, BlockSize)
	for at < size {
		n, err := s.file.ReadAt(b[:min(int64(len(b)), size-at)], at)
		for _, c := range b[:n] {
			if c != 0 {
				return false
			}
		}
		if at += int64(n); err != nil || n == 0 {
			return err == nil || err == io.EOF
		}
	}
	return true
}
