package body

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// XML parses an XML document into Texts (XML:/*) and Attributes (XML://@*) as leniently as Coraza: elements need no end,
// HTML's entities are known, a document may end early. Entities that the document declares are not replaced, and
// nothing outside of it is ever read. Of a text in which comments, instructions or CDATA sections stand, the pieces are found and,
// behind them, the whole: some programs read the first piece, most of them all as one.
func XML(text []byte, limits Limits, out *Fields) {
	limits = limits.withDefaults(len(text))
	if limits.Partial {
		text = text[:wholeReference(text, len(text))]
	}
	read := characters{text: text}
	if !limits.AsCoraza {
		read = charactersOf(text, limits.Charset)
	}
	decoder := xml.NewDecoder(bytes.NewReader(read.text))
	decoder.Strict = false
	if limits.AsCoraza {
		decoder.AutoClose = xml.HTMLAutoClose
	} else {
		decoder.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is read already, or refused
	}
	decoder.Entity = xml.HTMLEntity
	depth, used := 0, out.arena.used()
	run := textRun{first: len(out.Texts)}
	for {
		start := read.place(int(decoder.InputOffset()))
		token, err := decoder.Token()
		if err != nil {
			run.end(out)
			if !endsEarly(err, limits.Partial) || limits.Tokens && start < len(text) {
				out.fail(Malformed, start, err.Error())
			}
			trimXML(out, limits, start)
			return
		}
		end := read.place(int(decoder.InputOffset()))
		switch t := token.(type) {
		case xml.StartElement:
			run.end(out)
			if depth++; depth > limits.Depth {
				out.fail(TooDeep, start, "XML elements enclose each other deeper than the limit")
				trimXML(out, limits, start)
				return
			}
			for _, a := range t.Attr {
				out.Attributes = append(out.Attributes, Field{a.Name.Local, out.copy(a.Value), start, end})
			}
		case xml.EndElement:
			run.end(out)
			depth = max(0, depth-1)
		case xml.ProcInst:
			if t.Target == "xml" && !limits.AsCoraza && !read.readable(t.Inst, start) {
				out.fail(Malformed, start, "a document in an encoding that is not read")
				return
			}
		case xml.Directive:
			if len(out.Declarations) == limits.Fields {
				out.fail(TooManyFields, start, "more declarations than the limit")
				return
			}
			if !limits.AsCoraza && bytes.Contains(t, []byte("<?")) { // an apostrophe in it is one of the declaration's to encoding/xml alone
				out.fail(Malformed, start, "an instruction within a declaration")
				return
			}
			out.Declarations = append(out.Declarations, Field{"", out.copy("<!" + view(t)), start, end})
		case xml.CharData:
			run.whole = append(run.whole, t...)
			if s := bytes.TrimSpace(t); len(s) > 0 {
				out.Texts = append(out.Texts, Field{"", out.copy(view(s)), start, end})
			}
		}
		if trimXML(out, limits, start) {
			return
		}
		if out.arena.used()-used > limits.Bytes {
			run.end(out)
			out.fail(TooLarge, start, "texts and attributes take more than the limit")
			trimXML(out, limits, start)
			return
		}
	}
}

// endsEarly reports whether what a decoder fails with is that the document ends: before its elements do, or where it was cut.
func endsEarly(err error, cut bool) bool {
	syntax := (*xml.SyntaxError)(nil)
	return err == io.EOF || errors.As(err, &syntax) && (syntax.Msg == "unexpected EOF" || cut && strings.HasPrefix(syntax.Msg, "unexpected EOF in"))
}

// trimXML holds what was found to the limit of fields. True: there was more.
func trimXML(out *Fields, limits Limits, at int) bool {
	if len(out.Texts)+len(out.Attributes) <= limits.Fields {
		return false
	}
	out.Texts = out.Texts[:max(0, min(len(out.Texts), limits.Fields-len(out.Attributes)))]
	out.Attributes = out.Attributes[:min(len(out.Attributes), limits.Fields)]
	out.fail(TooManyFields, at, "more texts and attributes than the limit")
	return true
}

// textRun is the text since the last begin or end of an element.
type textRun struct {
	whole []byte
	first int // its first piece in Fields.Texts
}

// end adds the text as a whole, if it has several pieces.
func (r *textRun) end(out *Fields) {
	if pieces := out.Texts[min(r.first, len(out.Texts)):]; len(pieces) > 1 {
		from, to := pieces[0].Start, pieces[len(pieces)-1].End
		out.Texts = append(out.Texts, Field{"", out.copy(view(bytes.TrimSpace(r.whole))), from, to})
	}
	r.whole, r.first = r.whole[:0], len(out.Texts)
}

// copy keeps s in the arena.
func (f *Fields) copy(s string) string { return f.arena.keep(append(f.arena.take(len(s)), s...)) }
