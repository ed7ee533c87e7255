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

// multipartParser reads a form.
type multipartParser struct {
	text      []byte
	at        int // what of it is done
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
	start int    // of the content
}

// run reads the form.
func (p *multipartParser) run() {
	for {
		switch p.phase {
		case atBoundary:
			p.boundary()
		case inHeader:
			p.header()
		case inContent:
			p.content()
		case atEnd:
			return
		}
	}
}

// malformed notes a form that cannot be read, at a place of it.
func (p *multipartParser) malformed(at int, text string) {
	p.out.fail(Malformed, at, text)
	p.out.Multipart.StrictError = true
	p.phase = atEnd
}

// truncated notes a form that ends early.
func (p *multipartParser) truncated(at int, text string) {
	p.out.fail(Truncated, at, text)
	p.out.Multipart.StrictError = p.out.Multipart.StrictError || !p.limits.Partial
	p.phase = atEnd
}

// line returns the line at p.at with its end, and false if it has none.
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

// boundary reads a line where a boundary line is due.
func (p *multipartParser) boundary() {
	line, whole := p.line()
	start := p.at
	p.at += len(line)
	isBoundary := bytes.HasPrefix(line, p.dash)
	rest := line[min(len(line), len(p.dash)):]
	if isBoundary && bytes.HasPrefix(rest, []byte("--")) {
		if end := skipBlanks(rest[2:]); len(end) == 0 || string(end) == string(p.lineEnd()) {
			p.out.Multipart.DataAfter = len(bytes.TrimSpace(p.text[p.at:])) > 0
			p.phase = atEnd
			return
		}
	}
	if !whole && p.limits.Partial {
		p.truncated(start, "the form ends where a boundary is due")
		return
	}
	if !whole || len(line) > maxBoundaryLine {
		p.malformed(start, "no boundary line where one is due")
		return
	}
	if isBoundary {
		end := skipBlanks(rest)
		if p.parts == 0 && string(end) == "\n" {
			p.delimiter = p.delimiter[1:]
			p.out.Multipart.LFLine = true
		}
		if string(end) == string(p.lineEnd()) {
			p.part = part{}
			p.phase, p.separated = inHeader, false
			return
		}
	}
	switch {
	case p.separated:
		p.malformed(start, "a line that is no boundary between two parts")
	case p.parts == 0:
		p.out.Multipart.DataBefore = p.out.Multipart.DataBefore || len(bytes.TrimSpace(line)) > 0
	case string(line) == string(p.lineEnd()):
		p.separated = true
	default:
		p.malformed(start, "a part ends within a line")
	}
}

// content reads the content of a part.
func (p *multipartParser) content() {
	end, closed := p.contentEnd()
	p.keep(end)
	p.at = end
	switch {
	case p.phase == atEnd:
	case !closed:
		p.truncated(end, "the last part does not end")
	case p.out.arena.used()-p.used > p.limits.Bytes:
		p.out.fail(TooLarge, end, "the parts take more than the limit")
		p.phase = atEnd
	default:
		p.phase = atBoundary
		p.parts++
	}
}

// contentEnd finds where the next delimiter begins. False: there is none, the form ends.
func (p *multipartParser) contentEnd() (end int, closed bool) {
	if bytes.HasPrefix(p.text[p.at:], p.dash) && endsBoundary(p.text[p.at+len(p.dash):]) {
		p.out.Multipart.UnmatchedBoundary = true // PHP and busboy see none here
		return p.at, true
	}
	for from := p.at; ; {
		i := bytes.Index(p.text[from:], p.delimiter)
		if i < 0 {
			return p.unended(), false
		}
		from += i
		behind := from + len(p.delimiter)
		if endsBoundary(p.text[behind:]) {
			return from, true
		}
		p.out.Multipart.UnmatchedBoundary = true
		from = behind
	}
}

// unended returns where the content of a part ends that no delimiter follows: before what may be the start of one.
func (p *multipartParser) unended() int {
	if bytes.HasPrefix(p.dash, p.text[p.at:]) {
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

// oddBoundary reports whether some program takes dash between two texts for a boundary: behind a line feed or a carriage return
// alone (PHP, Werkzeug), or on a line that ends with it, whatever stands before it (Rack 2).
func oddBoundary(before byte, behind []byte) bool {
	return before == '\n' || before == '\r' || bytes.HasPrefix(behind, []byte("\n")) || bytes.HasPrefix(behind, []byte("\r")) || bytes.HasPrefix(behind, []byte("--"))
}

// noteOtherEnds flags content in which some program sees another part begin.
func (p *multipartParser) noteOtherEnds(content []byte) {
	for from := 0; !p.out.Multipart.UnmatchedBoundary; {
		i := bytes.Index(content[from:], p.dash)
		if i < 0 {
			return
		}
		if from += i; from > 0 && oddBoundary(content[from-1], content[from+len(p.dash):]) {
			p.out.Multipart.UnmatchedBoundary = true
		}
		from += len(p.dash)
	}
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
	content := view(p.text[p.at:end])
	out.FilesSize += len(content)
	if d.file == "" || d.onlyExtended && !p.limits.AsCoraza {
		out.Args = append(out.Args, Field{d.name, content, d.start, end})
	}
	if d.file == "" {
		return
	}
	f := File{Field: d.name, Name: out.copy(d.file), Type: d.contentType, Size: len(content), Begin: content[:min(len(content), BeginSize)], Start: d.start}
	if d.other != d.file {
		f.OtherName = out.copy(d.other)
	}
	out.Files = append(out.Files, f)
}
