package body

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// charsets are the encodings besides UTF-8 in which XML is read: in each a byte is a character, and those of ASCII are ASCII's, so that
// nobody reads other markup than the parser. Names are those of IANA, in lower case.
var charsets = map[string]*charmap.Charmap{
	"iso-8859-1": charmap.ISO8859_1, "latin1": charmap.ISO8859_1, "iso_8859-1": charmap.ISO8859_1, "iso8859-1": charmap.ISO8859_1,
	"iso-8859-2": charmap.ISO8859_2, "iso-8859-3": charmap.ISO8859_3, "iso-8859-4": charmap.ISO8859_4, "iso-8859-5": charmap.ISO8859_5,
	"iso-8859-6": charmap.ISO8859_6, "iso-8859-7": charmap.ISO8859_7, "iso-8859-8": charmap.ISO8859_8, "iso-8859-9": charmap.ISO8859_9,
	"iso-8859-10": charmap.ISO8859_10, "iso-8859-13": charmap.ISO8859_13, "iso-8859-14": charmap.ISO8859_14,
	"iso-8859-15": charmap.ISO8859_15, "iso-8859-16": charmap.ISO8859_16,
	"windows-1250": charmap.Windows1250, "windows-1251": charmap.Windows1251, "windows-1252": charmap.Windows1252, "cp1252": charmap.Windows1252,
	"windows-1253": charmap.Windows1253, "windows-1254": charmap.Windows1254, "windows-1255": charmap.Windows1255,
	"windows-1256": charmap.Windows1256, "windows-1257": charmap.Windows1257, "windows-1258": charmap.Windows1258,
	"koi8-r": charmap.KOI8R, "koi8-u": charmap.KOI8U,
}

// isUTF8 reports whether a charset's name means UTF-8 or a part of it.
func isUTF8(name string) bool {
	switch strings.ToLower(name) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// declaredCharset is the encoding that an XML declaration names, "" for none; false: what it says cannot be read. encoding/xml
// looks for it as well, but does not know the blanks that may stand around its equals sign (XML 1.0, section 4.3.3).
func declaredCharset(declaration []byte) (name string, ok bool) {
	_, rest, found := bytes.Cut(bytes.ToLower(declaration), []byte("encoding"))
	if !found {
		return "", true
	}
	const blanks = " \t\r\n"
	rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, blanks), []byte("="))
	rest = bytes.TrimLeft(rest, blanks)
	if !ok || len(rest) == 0 {
		return "", false
	}
	quoted, _, ok := bytes.Cut(rest[1:], rest[:1])
	return string(quoted), ok && len(quoted) > 0
}

// xmlDeclaration returns the declaration that a document begins with, nil for none.
func xmlDeclaration(text []byte) []byte {
	const begin, end = "<?xml", "?>"
	if !bytes.HasPrefix(text, []byte(begin)) || bytes.IndexByte([]byte(" \t\r\n"), text[min(len(begin), len(text)-1)]) < 0 {
		return nil
	}
	i := bytes.Index(text, []byte(end))
	if i < 0 {
		return nil
	}
	return text[:i+len(end)]
}

// wide are the names of encodings of two bytes a character.
var wide = map[string]bool{"utf-16": true, "utf-16le": true, "utf-16be": true, "iso-10646-ucs-2": true, "ucs-2": true}

// wideOrder is the order of bytes of a document in UTF-16, told by its byte order mark or by its first character, and how long the mark is; nil for any
// other (XML 1.0, appendix F).
func wideOrder(text []byte) (order binary.ByteOrder, mark int) {
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")) && !bytes.HasPrefix(text, []byte("\xff\xfe\x00\x00")):
		return binary.LittleEndian, 2
	case bytes.HasPrefix(text, []byte("\xfe\xff")):
		return binary.BigEndian, 2
	case len(text) > 3 && text[0] == '<' && text[1] == 0 && text[2] != 0 && text[3] == 0:
		return binary.LittleEndian, 0
	case len(text) > 3 && text[0] == 0 && text[1] == '<' && text[2] == 0 && text[3] != 0:
		return binary.BigEndian, 0
	}
	return nil, 0
}

// characters is a text that is read as UTF-8, and where in the text as sent its parts are.
type characters struct {
	text     []byte
	from     []byte // as sent; nil when that is text
	charset  *charmap.Charmap
	wide     bool // it is in UTF-16, and what stands before its beginning is
	mark     int  // so long
	at, past int  // a place as sent, and in text
}

// charactersOf reads an XML document in the encoding that it declares, or else in that of its Content-Type. What is in
// another one than those of charsets, or not in the one that it says, is left as it is: the parser says so.
func charactersOf(text []byte, charset string) characters {
	if order, mark := wideOrder(text); order != nil {
		return wideCharacters(text, order, mark)
	}
	name, ok := declaredCharset(xmlDeclaration(text))
	if isUTF8(name) && !utf8.Valid(text) {
		name = strings.ToLower(charset)
	}
	c := characters{text: text}
	if c.charset = charsets[name]; !ok || c.charset == nil {
		return c
	}
	c.from, c.text = text, make([]byte, 0, len(text)+len(text)/8)
	for _, b := range text {
		c.text = utf8.AppendRune(c.text, c.charset.DecodeByte(b))
	}
	return c
}

// wideCharacters reads a document in UTF-16. What is none is left as it is.
func wideCharacters(text []byte, order binary.ByteOrder, mark int) characters {
	c := characters{text: text, from: text, wide: true, mark: mark, at: mark}
	read := make([]byte, 0, len(text)/2+8)
	for at := mark; at < len(text); {
		if len(text)-at < 2 {
			return characters{text: text}
		}
		r := rune(order.Uint16(text[at:]))
		at += 2
		if utf16.IsSurrogate(r) {
			if len(text)-at < 2 {
				return characters{text: text}
			}
			if r = utf16.DecodeRune(r, rune(order.Uint16(text[at:]))); r == utf8.RuneError {
				return characters{text: text}
			}
			at += 2
		}
		read = utf8.AppendRune(read, r)
	}
	c.text = read
	return c
}

// readable reports whether a declaration at a place of the text says the encoding that it is read in: as its beginning UTF-8 or the one
// that was found there, and UTF-8 anywhere else, where no program looks for one.
func (c *characters) readable(declaration []byte, at int) bool {
	name, ok := declaredCharset(declaration)
	if c.wide {
		return ok && at == c.mark && (name == "" || wide[name])
	}
	return ok && (isUTF8(name) || at == 0 && charsets[name] != nil)
}

// place is the place as sent of one in text. Each has to be behind the one before, or the same.
func (c *characters) place(in int) int {
	if c.from == nil {
		return in
	}
	for c.wide && c.past < in {
		_, n := utf8.DecodeRune(c.text[c.past:])
		c.past += n
		c.at += 2
		if n == utf8.UTFMax {
			c.at += 2
		}
	}
	for !c.wide && c.past < in {
		c.past += utf8.RuneLen(c.charset.DecodeByte(c.from[c.at]))
		c.at++
	}
	return c.at
}
