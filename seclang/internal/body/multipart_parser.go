package body

import "bytes"

const (
	maxBoundaryLine = 4096     // bytes of a line where a boundary is due
	maxPartHeader   = 64 << 10 // bytes of the header of one part
	maxPartLines    = 100      // lines of the header of one part
)

// phase says what a parser of a form expects.
type phase uint8

const (
	atBoundary phase = iota
	inHeader
	inContent
	atEnd
)

// multipartParser reads a form through a window on it.
type multipartParser struct {
	text      []byte // the window
	base      int    // where the window begins in the form
	at        int    // what of the window is done
	scanned   int    // from at, what needs no second look
	final     bool   // the form ends with the window
	copies    bool   // the window moves on: what is found must be copied
	phase     phase
	limits    Limits
	out       *Fields
	used      int    // of the arena, before
	dash      []byte // "--" and the boundary
	delimiter []byte // a line end and dash
	parts     int
	separated bool // the line end between a part and its boundary is read
	part      part
}

// part is the part that is being read.
type part struct {
	partHeader
	disposition
	name  string // of the form's field
	file  string // of the file, empty for a field
	start int    // of the content, in the form
	size  int    // of what of the content was dropped from the window
	magic [MagicSize]byte
}

// run reads as far as the window allows.
func (p *multipartParser) run() {
	for {
		more := true
		switch p.phase {
		case atBoundary:
			more = p.boundary()
		case inHeader:
			more = p.header()
		case inContent:
			more = p.content()
		case atEnd:
			p.at = len(p.text)
			return
		}
		if !more {
			return
		}
	}
}

// malformed notes a form that cannot be read, at a place of the window.
func (p *multipartParser) malformed(at int, text string) bool {
	p.out.fail(Malformed, p.base+at, text)
	p.out.Multipart.StrictError = true
	p.phase = atEnd
	return true
}

// truncated notes a form that ends early.
func (p *multipartParser) truncated(at int, text string) bool {
	p.out.fail(Truncated, p.base+at, text)
	p.out.Multipart.StrictError = p.out.Multipart.StrictError || !p.limits.Partial
	p.phase = atEnd
	return true
}

// line returns the line at p.at with its end, and false if it has none in the window.
func (p *multipartParser) line() ([]byte, bool) {
	rest := p.text[p.at:]
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		return rest[:i+1], true
	}
	return rest, false
}

func skipBlanks(s []byte) []byte { return bytes.TrimLeft(s, " \t") }

// lineEnd is what ends lines in this form.
func (p *multipartParser) lineEnd() []byte { return p.delimiter[:len(p.delimiter)-len(p.dash)] }

// boundary reads a line where a boundary line is due. False, of this and the other phases: the window must grow first.
func (p *multipartParser) boundary() bool {
	line, whole := p.line()
	if !whole && !p.final && len(line) <= maxBoundaryLine {
		return false
	}
	start := p.at
	p.at += len(line)
	isBoundary := bytes.HasPrefix(line, p.dash)
	rest := line[min(len(line), len(p.dash)):]
	if isBoundary && bytes.HasPrefix(rest, []byte("--")) {
		if end := skipBlanks(rest[2:]); len(end) == 0 || string(end) == string(p.lineEnd()) {
			p.out.Multipart.DataAfter = len(bytes.TrimSpace(p.text[p.at:])) > 0
			p.phase = atEnd
			return true
		}
	}
	if !whole && p.limits.Partial && p.final {
		return p.truncated(start, "the form ends where a boundary is due")
	}
	if !whole || len(line) > maxBoundaryLine {
		return p.malformed(start, "no boundary line where one is due")
	}
	if isBoundary {
		end := skipBlanks(rest)
		if p.parts == 0 && string(end) == "\n" {
			p.delimiter = p.delimiter[1:]
			p.out.Multipart.LFLine = true
		}
		if string(end) == string(p.lineEnd()) {
			p.part = part{}
			p.phase, p.scanned, p.separated = inHeader, 0, false
			return true
		}
	}
	switch {
	case p.separated:
		return p.malformed(start, "a line that is no boundary between two parts")
	case p.parts == 0:
		p.out.Multipart.DataBefore = p.out.Multipart.DataBefore || len(bytes.TrimSpace(line)) > 0
	case string(line) == string(p.lineEnd()):
		p.separated = true
	default:
		return p.malformed(start, "a part ends within a line")
	}
	return true
}

// content reads the content of a part.
func (p *multipartParser) content() bool {
	end, closed := p.contentEnd()
	switch {
	case end < 0 && p.part.file == "" && p.copies && p.out.arena.used()-p.used+len(p.text)-p.at > p.limits.Bytes:
		return p.tooLarge(p.at)
	case end < 0:
		if p.part.file != "" {
			p.drop(p.at + p.scanned)
		}
		return false
	}
	p.keep(end)
	p.at = end
	switch {
	case p.phase == atEnd:
	case !closed:
		p.truncated(end, "the last part does not end")
	case p.out.arena.used()-p.used > p.limits.Bytes:
		p.tooLarge(end)
	default:
		p.phase = atBoundary
		p.parts++
	}
	return true
}

func (p *multipartParser) tooLarge(at int) bool {
	p.out.fail(TooLarge, p.base+at, "the parts take more than the limit")
	p.phase = atEnd
	return true
}

// drop counts the content of a file up to a place of the window, and keeps its first bytes. A boundary that begins before that
// place may go on behind it: contentEnd leaves as much there as one is long.
func (p *multipartParser) drop(to int) {
	p.noteOtherEnds(p.text[p.at:min(to+len(p.dash), len(p.text))])
	if p.part.size < MagicSize {
		copy(p.part.magic[p.part.size:], p.text[p.at:to])
	}
	p.part.size += to - p.at
	p.at, p.scanned = to, 0
}

// contentEnd finds where the next delimiter begins. Negative: it is not in the window, which must grow. False: there is none,
// the form ends.
func (p *multipartParser) contentEnd() (end int, closed bool) {
	if p.untouched() {
		if len(p.text)-p.at < len(p.dash)+2 && !p.final {
			return -1, false
		}
		if bytes.HasPrefix(p.text[p.at:], p.dash) && endsBoundary(p.text[p.at+len(p.dash):]) {
			return p.at, true // empty, and without a line end of its own
		}
	}
	for from := p.at + p.scanned; ; {
		i := bytes.Index(p.text[from:], p.delimiter)
		if i < 0 && p.final {
			return p.unended(), false
		}
		if i < 0 {
			p.scanned = max(from, len(p.text)-len(p.delimiter)+1) - p.at
			return -1, false
		}
		from += i
		behind := from + len(p.delimiter)
		if len(p.text)-behind < 2 && !p.final {
			p.scanned = from - p.at
			return -1, false
		}
		if endsBoundary(p.text[behind:]) {
			return from, true
		}
		p.out.Multipart.UnmatchedBoundary = true
		from = behind
	}
}

// untouched reports whether the window begins with the content.
func (p *multipartParser) untouched() bool { return p.part.start == p.base+p.at }

// unended returns where the content of a part ends that no delimiter follows: before what may be the start of one.
func (p *multipartParser) unended() int {
	if p.untouched() && bytes.HasPrefix(p.dash, p.text[p.at:]) {
		return p.at
	}
	if i := bytes.LastIndexByte(p.text[p.at:], p.delimiter[0]); i >= 0 && bytes.HasPrefix(p.delimiter, p.text[p.at+i:]) {
		return p.at + i
	}
	return len(p.text)
}

// endsBoundary reports whether a boundary can end where s goes on.
func endsBoundary(s []byte) bool {
	return len(s) == 0 || s[0] == ' ' || s[0] == '\t' || s[0] == '\r' || s[0] == '\n' || bytes.HasPrefix(s, []byte("--"))
}

// noteOtherEnds flags content that holds a boundary behind a line feed or a carriage return alone: programs that take either
// for a line end (PHP, Werkzeug) see another part begin there.
func (p *multipartParser) noteOtherEnds(content []byte) {
	for from := 0; !p.out.Multipart.UnmatchedBoundary; {
		i := bytes.Index(content[from:], p.dash)
		if i < 0 {
			return
		}
		if from += i; from > 0 && (content[from-1] == '\n' || content[from-1] == '\r') {
			p.out.Multipart.UnmatchedBoundary = true
		}
		from += len(p.dash)
	}
}

// str returns b for the list: a view of it, or a copy if it does not stay.
func (p *multipartParser) str(b []byte) string {
	if p.copies {
		return p.out.copy(view(b))
	}
	return view(b)
}

// keep adds the part to the list; its content ends at end.
func (p *multipartParser) keep(end int) {
	out, d := p.out, &p.part
	if len(out.Args)+len(out.Files) >= p.limits.Fields {
		out.fail(TooManyFields, d.start, "more parts than the limit")
		p.phase = atEnd
		return
	}
	p.describe()
	p.noteOtherEnds(p.text[p.at:end])
	out.FilesSize += d.size + end - p.at
	if d.file == "" {
		out.Args = append(out.Args, Field{d.name, p.str(p.text[p.at:end]), d.start, p.base + end})
		return
	}
	f := File{Field: d.name, Name: out.copy(d.file), Type: d.contentType, Size: d.size + end - p.at, Start: d.start}
	if d.size < MagicSize {
		copy(d.magic[d.size:], p.text[p.at:end])
	}
	f.Magic = out.copy(view(d.magic[:min(f.Size, MagicSize)]))
	if d.other != d.file {
		f.OtherName = out.copy(d.other)
	}
	out.Files = append(out.Files, f)
}
