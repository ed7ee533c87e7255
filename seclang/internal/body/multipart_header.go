package body

import (
	"bytes"
	"net/textproto"
	"strings"
)

// partHeader is what is needed of a part's header.
type partHeader struct {
	first             int    // its first line in Fields.PartHeaders
	text, contentType string // Content-Disposition and Content-Type
	again             bool   // a header is there twice
}

// header reads the header of a part with the blank line behind it.
func (p *multipartParser) header() {
	begin := p.at
	h := &p.part.partHeader
	h.first = len(p.out.PartHeaders)
	for {
		start := p.at
		line, whole := p.line()
		p.at += len(line)
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if whole && len(line) == 0 {
			p.begin()
			return
		}
		problem := ""
		switch {
		case !whole:
			p.out.PartHeaders = p.out.PartHeaders[:h.first]
			p.truncated(start, "the header of a part does not end")
			return
		case p.at-begin > maxPartHeader || len(p.out.PartHeaders)-h.first == maxPartLines:
			problem = "the header of a part is longer than the limit"
		case start == begin && (line[0] == ' ' || line[0] == '\t'):
			problem = "the header of a part begins with a continued line"
		default:
			if line = bytes.Trim(line, " \t"); p.folded() {
				line = p.unfold(line)
			}
			name, value, ok := bytes.Cut(line, []byte(":"))
			if ok && isHeaderName(name) && isHeaderValue(value) {
				p.headerLine(h, name, skipBlanks(value), start)
				continue
			}
			problem = "the header of a part has a line that is none"
		}
		p.out.PartHeaders = p.out.PartHeaders[:h.first]
		p.malformed(start, problem)
		return
	}
}

// begin goes on from a part's header to its content.
func (p *multipartParser) begin() {
	d := &p.part
	d.disposition = parseDisposition(d.text)
	flags := &p.out.Multipart
	flags.DuplicatePartHeader = flags.DuplicatePartHeader || d.again || d.duplicate
	flags.InvalidQuoting = flags.InvalidQuoting || d.quoted
	flags.StrictError = flags.StrictError || d.again || d.duplicate || d.malformed || d.quoted
	d.name = p.out.copy(d.field)
	for i := d.first; i < len(p.out.PartHeaders); i++ {
		p.out.PartHeaders[i].Name = d.name
	}
	if d.file = d.filename; d.file == "" {
		d.file = d.other
	}
	d.start, p.phase = p.at, inContent
}

// describe adds what a part's header says of its names.
func (p *multipartParser) describe() {
	out, d := p.out, &p.part
	field := Field{Name: d.name, Start: d.start, End: d.start}
	with := func(value string) Field { field.Value = value; return field }
	out.PartNames = append(out.PartNames, with(d.name))
	for _, file := range [...]string{d.filename, d.other} {
		if file != "" {
			out.FileNames = append(out.FileNames, with(out.copy(file)))
		}
	}
	if d.extended {
		out.Charsets = append(out.Charsets, with(out.copy(d.charset)))
		out.Languages = append(out.Languages, with(out.copy(d.language)))
	}
}

// folded reports whether the next line continues the one before.
func (p *multipartParser) folded() bool {
	return p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t')
}

// unfold returns line with the lines that continue it.
func (p *multipartParser) unfold(line []byte) []byte {
	p.out.Multipart.HeaderFolding = true
	joined := append([]byte(nil), line...)
	for p.folded() {
		next, _ := p.line()
		p.at += len(next)
		next = bytes.TrimSuffix(bytes.TrimSuffix(next, []byte("\n")), []byte("\r"))
		joined = append(append(joined, ' '), bytes.Trim(next, " \t")...)
	}
	return joined
}

func (p *multipartParser) headerLine(h *partHeader, name, value []byte, start int) {
	out := p.out
	key := textproto.CanonicalMIMEHeaderKey(view(name))
	room := out.arena.take(len(key) + 2 + len(value))
	line := out.arena.keep(append(append(append(room, key...), ": "...), value...))
	again := false
	for _, before := range out.PartHeaders[h.first:] {
		again = again || strings.HasPrefix(before.Value, line[:len(key)+2])
	}
	out.PartHeaders = append(out.PartHeaders, Field{"", line, start, p.at})
	switch text := line[len(key)+2:]; {
	case again:
		h.again = true
	case key == "Content-Disposition":
		h.text = text
	case key == "Content-Type":
		h.contentType = text
	}
}

// isHeaderName also allows spaces, as mime/multipart does; a name with one is not that of a known header.
func isHeaderName(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return len(s) > 0
}

func isHeaderValue(s []byte) bool {
	for _, c := range s {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
