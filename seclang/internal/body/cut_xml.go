package body

import (
	"bytes"
	"slices"
)

// xmlCutter cuts between the texts, tags and other markup of an XML document, as encoding/xml reads them. A piece begins with the tags of
// the elements that are open, without their attributes, and with the end of the text that it goes on with. Every piece of a
// good document is one whose tokens all end (Limits.Tokens): where the cutter and the parser disagree, the parser says so.
type xmlCutter struct {
	begun    bool     // a piece was cut: the next window does not begin with the document
	declared []byte   // a declaration for pieces, when the document's says an encoding in which they have to be read
	open     [][]byte // names of elements
	names    int      // bytes of them
	deeper   int      // elements that are open beyond those
	text     [][]byte // the last of the text since the last tag, as written: texts and sections
	texts    int      // bytes of it
	inner    []byte   // what opens the markup within which the window begins
	until    []byte   // what ends it, of a comment and such
	tag      []byte   // the element's name, of a tag
	quote    byte     // what ends the attribute's value there; 0: the window begins between attributes
	head     []byte
	tail     []byte
}

// The bounds of the elements that a piece begins with. A document that is nested deeper is refused by the parser.
const (
	xmlDeepest   = 1 << 10
	xmlMostNames = 8 << 10 // bytes
)

// Cut implements Cutter.
func (c *xmlCutter) Cut(window []byte, final, full bool) Piece {
	if tooEarly(window, final, full) {
		return Piece{}
	}
	p := c.cut(window, final, full)
	if !c.begun && p.Settled > 0 {
		c.begun = true
		if name, _ := declaredCharset(xmlDeclaration(window)); charsets[name] != nil {
			c.declared = []byte(`<?xml version="1.0" encoding="` + name + `"?>`)
		}
	}
	return p
}

func (c *xmlCutter) cut(window []byte, final, full bool) Piece {
	c.head = append(c.head[:0], c.declared...)
	for _, name := range c.open {
		c.head = append(append(append(c.head, '<'), name...), '>')
	}
	for _, text := range c.text {
		c.head = append(append(c.head, text...), "<!---->"...) // the next one is a text of its own, and one with them
	}
	c.head = append(c.head, c.inner...)
	at, tokens := 0, 0
	for at < len(window) && tokens < cutTokens {
		n := c.token(window[at:])
		if n == 0 {
			break
		}
		at += n
		tokens++
	}
	switch {
	case final && tokens < cutTokens:
		return Piece{Head: c.head, Body: window, Settled: len(window)}
	case at == 0 && !full:
		return Piece{}
	case at == 0:
		return c.cutToken(window)
	}
	return Piece{Head: c.head, Body: window[:at], Settled: at}
}

// xmlSection begins a section of text.
var xmlSection = []byte("<![CDATA[")

// xmlMarkup is what ends by a mark of its own, and can be cut in two; again is what the second half begins with.
var xmlMarkup = [...]struct{ begin, end, again []byte }{
	{[]byte("<!--"), []byte("-->"), []byte("<!--")}, {xmlSection, []byte("]]>"), xmlSection}, {[]byte("<?"), []byte("?>"), []byte("<?x ")},
}

// token reads a text or a piece of markup and returns how long it is; 0: it does not end in s.
func (c *xmlCutter) token(s []byte) int {
	switch {
	case c.until != nil:
		return c.markup(s, nil, c.until, bytes.HasPrefix(c.inner, xmlSection))
	case c.tag != nil:
		end := tagEnd(s, c.quote)
		if end > 0 {
			c.begin(c.tag, s[:end])
			c.tag, c.quote, c.inner = nil, 0, nil
		}
		return end
	case s[0] != '<':
		end := max(0, bytes.IndexByte(s, '<'))
		c.keep(nil, s[:end], nil)
		return end
	}
	for _, m := range xmlMarkup {
		if bytes.HasPrefix(s, m.begin) {
			return c.markup(s, m.begin, m.end, bytes.Equal(m.begin, xmlSection))
		}
	}
	if bytes.HasPrefix(s, []byte("<!")) {
		return declarationEnd(s)
	}
	end := tagEnd(s, 0)
	if end == 0 {
		return 0
	}
	if name := tagName(s); s[1] == '/' {
		c.close(name)
	} else {
		c.begin(name, s[:end])
	}
	return end
}

func (c *xmlCutter) markup(s, begin, end []byte, isText bool) int {
	i := bytes.Index(s[len(begin):], end)
	if i < 0 {
		return 0
	}
	c.until, c.inner = nil, nil
	if isText {
		c.keep(xmlSection, s[len(begin):len(begin)+i], end)
	}
	return len(begin) + i + len(end)
}

// keep keeps the last of a text, or of a section.
func (c *xmlCutter) keep(begin, text, end []byte) {
	if len(text) == 0 {
		return
	}
	if len(text) > cutOverlap {
		at := wholeReference(text, len(text)-cutOverlap)
		text = text[at:]
	}
	c.text = append(c.text, slices.Concat(begin, text, end))
	c.texts += len(c.text[len(c.text)-1])
	for c.texts-len(c.text[0]) >= cutOverlap {
		c.texts -= len(c.text[0])
		c.text = c.text[1:]
	}
}

// begin notes an element whose tag is over: with it another text begins.
func (c *xmlCutter) begin(name, tag []byte) {
	c.text, c.texts = nil, 0
	switch {
	case bytes.HasSuffix(tag, []byte("/>")) || len(name) == 0:
	case c.deeper > 0 || len(c.open) == xmlDeepest || c.names+len(name) > xmlMostNames:
		c.deeper++
	default:
		c.open = append(c.open, bytes.Clone(name))
		c.names += len(name)
	}
}

// close notes the end of an element, and of those within it that have none; where there is none of the name, of all.
func (c *xmlCutter) close(name []byte) {
	c.text, c.texts = nil, 0
	if c.deeper > 0 {
		c.deeper--
		return
	}
	for i, open := range slices.Backward(c.open) {
		if bytes.Equal(open, name) {
			for _, gone := range c.open[i:] {
				c.names -= len(gone)
			}
			c.open = c.open[:i]
			return
		}
	}
	c.open, c.names = c.open[:0], 0
}

// cutToken cuts the token with which the window begins, and which is longer than that.
func (c *xmlCutter) cutToken(window []byte) Piece {
	p := Piece{Head: c.head, Body: window[:wholeReference(window, len(window))], Settled: wholeReference(window, len(window)-overlapOf(window))}
	switch {
	case c.tag != nil || window[0] == '<' && isTagName(window[1]):
		return c.cutTag(window, p)
	case c.until == nil && window[0] == '<':
		for _, m := range xmlMarkup {
			if bytes.HasPrefix(window, m.begin) && !bytes.HasPrefix(window, []byte("<?xml")) {
				c.inner, c.until = m.again, m.end
				break
			}
		}
		if c.until == nil { // a declaration, or nothing that is known: the parser is to say that it does not end
			return Piece{Head: c.head, Body: window, Settled: len(window)}
		}
	}
	if c.until != nil {
		p.Tail = c.until
	}
	if string(c.until) == "-->" { // no comment may end in more hyphens, nor hold nothing else
		if body := bytes.TrimRight(p.Body, "-"); len(body) > 0 {
			p.Body = body
		}
	}
	p.Settled = max(1, min(p.Settled, len(p.Body)))
	return p
}

func isTagName(b byte) bool {
	return b >= 0x80 || b == '_' || b == ':' || 'a' <= b|0x20 && b|0x20 <= 'z'
}

// cutTag cuts a tag: between two attributes, or within the value of one that takes more than half of the window.
func (c *xmlCutter) cutTag(window []byte, p Piece) Piece {
	from := 0
	if c.tag == nil {
		c.tag = bytes.Clone(tagName(window))
		from = 1 + len(c.tag)
	}
	attribute, quote, opened := from, c.quote, from
	for i := from; i < len(window); i++ {
		switch b := window[i]; {
		case quote != 0:
			if b == quote {
				quote, attribute = 0, i+1
			}
		case b == '"' || b == '\'':
			quote, opened = b, i
		}
	}
	before := c.inner
	c.inner = append(append([]byte{'<'}, c.tag...), ' ')
	switch {
	case attribute > from && (quote == 0 || opened > len(window)/2): // the value of the last one goes into the next piece
		c.quote = 0
		p.Body, p.Settled = window[:attribute], attribute
		c.tail = append(c.tail[:0], '>')
	case quote == 0: // no attributes: the parser says that the tag does not end
		c.inner, c.tag = nil, nil
		return Piece{Head: c.head, Body: window, Settled: len(window)}
	default:
		if attribute == from && c.quote != 0 { // within the value that was cut before
			c.inner = before
		} else {
			c.inner = append(append(c.inner, bytes.TrimSpace(window[attribute:opened+1])...), leadOf(window[opened+1:])...)
		}
		c.quote = quote
		c.tail = append(c.tail[:0], quote, '>')
		p.Body, p.Settled = window[:max(len(p.Body), opened+1)], max(p.Settled, opened+1)
	}
	p.Tail = c.tail
	return p
}

// tagName is the name of the tag that s begins with.
func tagName(s []byte) []byte {
	s = bytes.TrimPrefix(s[1:], []byte("/"))
	if i := bytes.IndexAny(s, " \t\r\n/>"); i >= 0 {
		s = s[:i]
	}
	return s
}

// tagEnd returns the place behind a tag's end, where s begins within the value that quote ends, or outside of one; 0: there is none.
func tagEnd(s []byte, quote byte) int {
	for i, b := range s {
		switch {
		case quote != 0:
			if b == quote {
				quote = 0
			}
		case b == '"' || b == '\'':
			quote = b
		case b == '>':
			return i + 1
		}
	}
	return 0
}

// declarationEnd returns the place behind the end of the declaration that s begins with (<!DOCTYPE …>), with the declarations
// and comments in it; 0: it does not end. Angle brackets in quotes count for nothing, as in encoding/xml.
func declarationEnd(s []byte) int {
	depth, quote := 0, byte(0)
	for i := len("<!"); i < len(s); i++ {
		switch b := s[i]; {
		case quote != 0:
			if b == quote {
				quote = 0
			}
		case b == '"' || b == '\'':
			quote = b
		case b == '>' && depth == 0:
			return i + 1
		case b == '>':
			depth--
		case b == '<' && bytes.HasPrefix(s[i:], []byte("<!--")):
			end := bytes.Index(s[i+len("<!--"):], []byte("-->"))
			if end < 0 {
				return 0
			}
			i += len("<!--") + end + len("-->") - 1
		case b == '<':
			depth++
		}
	}
	return 0
}

// wholeReference is the last place of s up to at where neither a character nor a reference (&amp;) is cut in two.
func wholeReference(s []byte, at int) int {
	const most = 64 // bytes of a reference; in a longer one a piece ends, for the parser to say so
	at = wholeRune(s, at)
	if i := bytes.LastIndexByte(s[max(0, at-most):at], '&'); i >= 0 {
		if i += max(0, at-most); bytes.IndexByte(s[i:at], ';') < 0 {
			return i
		}
	}
	return at
}
