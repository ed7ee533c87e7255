package body

import (
	"bytes"
	"slices"
)

// multipartCutter cuts between the parts of a multipart form. Of a file that does not end in the window there is the header in a piece
// and what the content begins with, and nothing else. What is a file is for the parser to say; and where a boundary could be seen by any program, one is seen.
type multipartCutter struct {
	contentType string
	dash        []byte // "--" and the boundary
	place       multipartPlace
	within      bool   // the window begins within a content, behind its first byte
	field       []byte // boundary line and header of the field that was cut, and what leads its content
	lineEnd     string
	tail        []byte
	judge       Fields
}

// multipartPlace is where the window begins.
type multipartPlace uint8

const (
	atPart  multipartPlace = iota // before a boundary
	inField                       // in the content of a field that was cut
	inFile                        // in the content of a file
	behind                        // behind the last boundary
)

func newMultipartCutter(contentType string) Cutter {
	var out Fields
	p := multipartParser{limits: Limits{}.withDefaults(0), out: &out}
	if !p.open(contentType) {
		return nil
	}
	return &multipartCutter{contentType: contentType, dash: p.dash}
}

// Cut implements Cutter.
func (c *multipartCutter) Cut(window []byte, final, full bool) Piece {
	skipped := 0
	switch c.place {
	case inFile:
		i := c.boundary(window, c.within, "")
		switch rest := len(window) - len(c.dash) - 2; {
		case i >= 0:
			c.place, skipped = atPart, i
		case final:
			return Piece{Settled: len(window)}
		case rest <= 0:
			return Piece{}
		default: // the last of it may be the beginning of a boundary
			c.within = true
			return Piece{Settled: rest}
		}
	case behind:
		if len(bytes.TrimSpace(window)) == 0 {
			return Piece{Settled: len(window)}
		}
		return Piece{Head: append(append(c.tail[:0], c.dash...), "--\r\n"...), Body: window, Settled: len(window)}
	}
	p := c.parts(window[skipped:], final, full && skipped == 0)
	p.Settled += skipped
	return p
}

// parts cuts a window that does not begin within a file.
func (c *multipartCutter) parts(window []byte, final, full bool) Piece {
	inside := c.place == inField
	var head []byte
	at, content := 0, 0 // of the part that is looked at
	if inside {
		head = c.field
		if bytes.HasPrefix(window, c.dash) { // within a line of the content, it is none
			head = append(head, ' ')
		}
	} else {
		at = max(0, c.boundary(window, false, ""))
		if line, _, ended := bytes.Cut(window[at:], []byte("\n")); ended && c.lineEnd != "" && lineEndOf(line) != c.lineEnd {
			head = slices.Concat(c.dash, []byte(c.lineEnd+c.lineEnd+c.lineEnd)) // of another form than the rest: not for the parser, either
		}
	}
	for {
		if !inside {
			var last bool
			if content, last = c.header(window[at:], final); last {
				c.place = behind
				if at == 0 && head == nil && len(bytes.TrimSpace(window[len(c.dash)+len("--"):])) == 0 {
					return Piece{Settled: len(window)} // a form's end alone is no form
				}
				return Piece{Head: head, Body: window, Settled: len(window)}
			}
			if content == 0 {
				break
			}
			content += at
		}
		next := c.boundary(window[content:], inside, c.lineEnd)
		if next < 0 && !inside && c.isFile(window[at:content]) {
			begins := min(len(window)-content, BeginSize)
			if !final && !full && (len(window) < cutFrom || begins < BeginSize) {
				return Piece{}
			}
			if begins < BeginSize && full && at > 0 {
				break // there will be more of it in the next window
			}
			c.place, c.within = inFile, false
			return c.piece(head, window[:content+begins], c.lineEnd, content)
		}
		if next < 0 {
			break
		}
		inside, at = false, content+next
	}
	switch {
	case final:
		return Piece{Head: head, Body: window, Settled: len(window)}
	case at == 0 && !full || tooEarly(window, false, full):
		return Piece{}
	case at > 0:
		c.place = atPart
		return c.piece(head, window[:at], "", at)
	case content == 0 && !inside: // a header that takes the whole window is none
		return Piece{Body: window, Settled: len(window)}
	}
	if !inside {
		c.place = inField
		c.field = append(bytes.Clone(window[:content]), leadOf(window[content:])...)
	}
	settled := max(content, wholeRune(window, len(window)-overlapOf(window))) // the header goes with the next piece as it is
	return c.piece(head, window[:wholeRune(window, len(window))], c.lineEnd, settled)
}

// piece is the body of some parts, the last of which ends with a line end.
func (c *multipartCutter) piece(head, parts []byte, lineEnd string, settled int) Piece {
	c.tail = append(append(append(append(c.tail[:0], lineEnd...), c.dash...), "--"...), c.lineEnd...)
	return Piece{Head: head, Body: parts, Tail: c.tail, Settled: settled}
}

// boundary returns where s has a boundary behind a line end, "" for whatever some program takes for one; negative: nowhere. within
// says that s does not begin a line.
//
// In the content of a file any will do: what may be a field to somebody is judged. In that of a field only the one that the form has, for behind any
// other a file could begin, whose content is the field's to the rest of the world and would be judged by nobody.
func (c *multipartCutter) boundary(s []byte, within bool, lineEnd string) int {
	for from := 0; ; {
		i := bytes.Index(s[from:], c.dash)
		if i < 0 {
			return -1
		}
		if from += i; from == 0 && !within && len(s) > len(c.dash)+1 && endsBoundary(s[len(c.dash):]) || from > 0 && c.begins(s[:from], s[from+len(c.dash):], lineEnd) {
			return from
		}
		from += len(c.dash)
	}
}

// begins reports whether dash, between two texts, is a boundary.
func (c *multipartCutter) begins(before, behind []byte, lineEnd string) bool {
	if lineEnd != "" {
		return bytes.HasSuffix(before, []byte(lineEnd))
	}
	return oddBoundary(before[len(before)-1], behind)
}

// header returns where the content begins of the part whose boundary s begins with; 0: its header does not end in s. end says that
// the boundary is the last one.
func (c *multipartCutter) header(s []byte, final bool) (content int, end bool) {
	line := bytes.IndexByte(s, '\n')
	if line < 0 && !final {
		return 0, false
	}
	if rest, ok := bytes.CutPrefix(s, c.dash); ok && bytes.HasPrefix(rest, []byte("--")) {
		return 0, true
	}
	if line < 0 {
		return 0, false
	}
	if c.lineEnd == "" { // the first one says it for the form
		c.lineEnd = lineEndOf(s[:line])
	}
	for at := line + 1; ; {
		rest := s[at:]
		switch {
		case bytes.HasPrefix(rest, []byte("\n")):
			return at + 1, false
		case bytes.HasPrefix(rest, []byte("\r\n")):
			return at + 2, false
		}
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return 0, false
		}
		at += i + 1
	}
}

// lineEndOf is what ends a line, which is given without its line feed.
func lineEndOf(line []byte) string {
	if bytes.HasSuffix(line, []byte("\r")) {
		return "\r\n"
	}
	return "\n"
}

// isFile reports whether the parser takes a part with this boundary line and header for a file, and has nothing against it.
func (c *multipartCutter) isFile(header []byte) bool {
	c.judge.Reset()
	form := c.piece(nil, header, c.lineEnd, 0)
	Multipart(append(bytes.Clone(header), form.Tail...), c.contentType, Limits{}, &c.judge)
	return len(c.judge.Files) == 1 && len(c.judge.Args) == 0 && c.judge.Problem.Kind == None && !c.judge.Multipart.StrictError
}
