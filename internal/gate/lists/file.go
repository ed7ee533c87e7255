package lists

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"strings"
)

const (
	maxSize   = 256 << 20 // bytes
	maxRows   = 4_000_000
	maxLine   = 1024    // bytes; comments may be that long
	maxErrors = 20      // of one file
	maxCover  = 1 << 31 // IPv4 addresses that the file of a refuse list may name in all: half of them
)

// file reads the file of one list into a set.
type file struct {
	list, path string
	set        *clients
	number     uint32
	floor      *floor // nil for allow lists
	aside      *Aside

	rows, put int
	cover     uint64 // IPv4 addresses named
	empty     bool   // it says that it is empty
	errs      []error
	more      int // errors beyond maxErrors
}

func (f *file) read() error {
	r, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("its file cannot be read: %w", err)
	}
	defer r.Close()
	info, err := r.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("its file cannot be read: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file: name a text file with one address or prefix a line", f.path)
	case info.Size() > maxSize:
		return fmt.Errorf("%s has %d bytes, and a list may have %d: is it the right file?", f.path, info.Size(), maxSize)
	}
	return f.scan(io.LimitReader(r, maxSize+1))
}

// scan reads rows from r until its end or until it is clear that this is no list.
func (f *file) scan(r io.Reader) error {
	b := bufio.NewReaderSize(r, maxLine)
	size := 0
	for line := 1; ; line++ {
		text, err := b.ReadSlice('\n')
		size += len(text)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return f.fatal(line, fmt.Errorf("a line of more than %d bytes, beginning %s: this is no list of addresses", maxLine, quote(text)))
		case errors.Is(err, io.EOF):
			if len(text) > 0 {
				f.mistake(line, fmt.Errorf("%s: the last line has no end, so the file may be cut off: complete it, or end the line", quote(text)))
			}
			return f.finish()
		case err != nil:
			return f.fatal(line, err)
		case size > maxSize:
			return f.fatal(line, fmt.Errorf("more than %d bytes: is it the right file?", maxSize))
		}
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if err := f.row(line, text); err != nil {
			return f.fatal(line, err)
		}
	}
}

// row takes one line. Its error ends the reading; mistakes in the row itself are noted.
func (f *file) row(line int, text []byte) error {
	text, comment, commented := bytes.Cut(text, []byte("#"))
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		f.empty = f.empty || commented && bytes.EqualFold(bytes.TrimSpace(comment), []byte("empty"))
		return nil
	}
	if f.rows++; f.rows > maxRows {
		return fmt.Errorf("more than %d rows: keep only what matters, or refuse networks instead", maxRows)
	}
	p, err := parse(string(text))
	if err != nil {
		f.mistake(line, fmt.Errorf("%s: %w", quote(text), err))
		return nil
	}
	if f.floor != nil {
		if err := f.floor.row(p); err != nil {
			f.aside.add(Row{List: f.list, File: f.path, Line: line, Text: string(text), Why: err.Error()})
			return nil
		}
	}
	if err := tooWide(p); err != nil { // of an allow list: as much bad data as any
		f.mistake(line, fmt.Errorf("%s: %w; if everybody is meant, write it under addresses", text, err))
		return nil
	}
	f.put++
	if f.set.add(p, f.number) && p.Addr().Is4() {
		f.cover += 1 << (32 - p.Bits())
	}
	return nil
}

// parse reads an address or a prefix.
func parse(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, errors.New("this is no address: write one such as 192.0.2.1 or 2001:db8::/32 a line, and comments behind #")
		}
		if a.Zone() != "" {
			return netip.Prefix{}, errors.New("an address with a zone means something on one machine only: leave out what follows %")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("this is no prefix: write one such as 192.0.2.0/24 or 2001:db8::/32 a line, and comments behind #")
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("it has bits behind its length: write %s for the network or %s for the address", p.Masked(), p.Addr())
	}
	return unmap(p)
}

// finish judges the file as a whole.
func (f *file) finish() error {
	switch {
	case len(f.errs) > 0:
	case f.rows == 0 && !f.empty:
		f.errs = append(f.errs, fmt.Errorf("%s names nobody: was it cut off? If it is meant to be empty, write the line \"# empty\" into it", f.path))
	case f.rows > 0 && f.put == 0:
		f.errs = append(f.errs, fmt.Errorf("%s names nobody whom a list may refuse: all %d rows go against the never-block floor, the first is %s", f.path, f.rows, f.aside.first(f.path)))
	case f.floor != nil && f.cover > maxCover:
		f.errs = append(f.errs, fmt.Errorf("%s names %.0f %% of all IPv4 addresses: this is no list of those who do harm", f.path, float64(f.cover)*100/(math.MaxUint32+1)))
	}
	if f.more > 0 {
		f.errs = append(f.errs, fmt.Errorf("%s: and %d more like these", f.path, f.more))
	}
	return errors.Join(f.errs...)
}

// mistake notes what is wrong with a line.
func (f *file) mistake(line int, err error) {
	if len(f.errs) >= maxErrors {
		f.more++
		return
	}
	f.errs = append(f.errs, fmt.Errorf("%s:%d: %w", f.path, line, err))
}

// fatal notes what ends the reading, whatever came before.
func (f *file) fatal(line int, err error) error {
	f.errs = append(f.errs, fmt.Errorf("%s:%d: %w", f.path, line, err))
	return errors.Join(f.errs...)
}

// first returns what is known of the first row of a file that was put aside.
func (a *Aside) first(path string) string {
	for _, r := range a.Rows {
		if r.File == path {
			return fmt.Sprintf("%s: %s", r.Text, r.Why)
		}
	}
	return "not kept"
}

// quote shows the beginning of what a file holds without its control characters.
func quote(text []byte) string {
	text = bytes.TrimSpace(text)
	if len(text) > 60 {
		return fmt.Sprintf("%.60q…", text)
	}
	return fmt.Sprintf("%q", text)
}
