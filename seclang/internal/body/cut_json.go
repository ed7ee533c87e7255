package body

import (
	"bytes"
	"unicode/utf8"
)

// jsonCutter cuts between the tokens of a JSON document. A piece begins with what encloses it and ends with what closes that, so
// that values have their names; elements of an array are numbered from 0 on in each piece. What is no JSON is in a piece as
// it is, for the parser to say so.
type jsonCutter struct {
	enclosing []jsonEnclosing
	names     int // bytes of their names
	state     jsonState
	cut       bool   // the window begins within a string
	lead      []byte // of that string, if it is a value
	broken    bool   // it is no JSON
	head      []byte
	tail      []byte
}

// jsonEnclosing is an object or an array that is open.
type jsonEnclosing struct {
	object bool
	name   []byte // of the member that is read, as written, without its quotes
}

// jsonState is what may come next.
type jsonState uint8

const (
	jsonValue  jsonState = iota
	jsonFirst            // a value, or the end of an array
	jsonName             // a member's name
	jsonMember           // a name, or the end of an object
	jsonColon
	jsonAfter // a comma, or the end of what encloses
)

// The bounds of what a piece begins with. What is nested deeper is no JSON for the parser either.
const (
	jsonDeepest   = 1 << 10
	jsonMostNames = 8 << 10 // bytes; beyond it names are left away
)

// Cut implements Cutter.
func (c *jsonCutter) Cut(window []byte, final, full bool) Piece {
	if tooEarly(window, final, full) {
		return Piece{}
	}
	c.opening()
	at, tokens := 0, 0
	for !c.broken && at < len(window) && tokens < cutTokens {
		n := c.token(window[at:], final)
		if n == 0 {
			break
		}
		at += n
		tokens++
	}
	switch {
	case c.broken || final && tokens < cutTokens:
		return Piece{Head: c.head, Body: window, Settled: len(window)}
	case at == 0 && !full:
		return Piece{}
	case at == 0:
		return c.cutString(window)
	}
	c.closing()
	return Piece{Head: c.head, Body: window[:at], Tail: c.tail, Settled: at}
}

// opening writes the head: what the window stands in.
func (c *jsonCutter) opening() {
	b := c.head[:0]
	for i := range c.enclosing {
		e := &c.enclosing[i]
		if !e.object {
			b = append(b, '[')
			continue
		}
		b = append(b, '{')
		inner := i == len(c.enclosing)-1
		if inner && (c.state == jsonName || c.state == jsonMember) {
			continue
		}
		b = append(append(append(b, '"'), e.name...), '"')
		if !inner || c.state != jsonColon {
			b = append(b, ':')
		}
	}
	switch {
	case c.state == jsonAfter:
		b = append(b, '0')
	case c.cut:
		b = append(append(b, '"'), c.lead...)
	}
	c.head = b
}

// closing writes the tail: what ends what is open.
func (c *jsonCutter) closing() {
	b := c.tail[:0]
	switch c.state {
	case jsonValue:
		b = append(b, '0')
	case jsonName:
		b = append(b, `"":0`...)
	case jsonColon:
		b = append(b, `:0`...)
	}
	for i := len(c.enclosing) - 1; i >= 0; i-- {
		if c.enclosing[i].object {
			b = append(b, '}')
		} else {
			b = append(b, ']')
		}
	}
	c.tail = b
}

// token reads one token with the spaces before it, and returns how long it is; 0: it does not end in s.
func (c *jsonCutter) token(s []byte, final bool) int {
	if c.cut {
		if end, ok := stringEnd(s, 0); ok {
			c.cut, c.lead = false, nil
			c.ended(s[:end-1])
			return end
		}
		return 0
	}
	at := 0
	for at < len(s) && (s[at] == ' ' || s[at] == '\t' || s[at] == '\n' || s[at] == '\r') {
		at++
	}
	if at == len(s) {
		return at
	}
	switch b := s[at]; {
	case b == '"' && c.state != jsonColon && c.state != jsonAfter:
		end, ok := stringEnd(s, at+1)
		if !ok {
			return at
		}
		c.ended(s[at+1 : end-1])
		return end
	case (b == '{' || b == '[') && c.state <= jsonFirst && len(c.enclosing) < jsonDeepest:
		c.enclosing = append(c.enclosing, jsonEnclosing{object: b == '{'})
		c.state = jsonFirst
		if b == '{' {
			c.state = jsonMember
		}
	case b == ':' && c.state == jsonColon:
		c.state = jsonValue
	case b == ',' && c.state == jsonAfter && len(c.enclosing) > 0:
		c.state = jsonValue
		if c.enclosing[len(c.enclosing)-1].object {
			c.state = jsonName
		}
	case b == ']' && (c.state == jsonFirst || c.state == jsonAfter) && c.within(false),
		b == '}' && (c.state == jsonMember || c.state == jsonAfter) && c.within(true):
		last := len(c.enclosing) - 1
		c.names -= len(c.enclosing[last].name)
		c.enclosing, c.state = c.enclosing[:last], jsonAfter
	case c.state <= jsonFirst:
		n := len(s[at:]) - len(bytes.TrimLeft(s[at:], "+-.0123456789Eaeflnrstu"))
		if n == 0 || at+n == len(s) && n > jsonLongest {
			c.broken = true
			return 0
		}
		if at+n == len(s) && !final {
			return at // it may go on
		}
		c.state = jsonAfter
		return at + n
	default:
		c.broken = true
		return 0
	}
	return at + 1
}

// jsonLongest is how long a number may be that is not wholly in the window.
const jsonLongest = 512

func (c *jsonCutter) within(object bool) bool {
	return len(c.enclosing) > 0 && c.enclosing[len(c.enclosing)-1].object == object
}

// ended notes a string that has ended: a name, or a value.
func (c *jsonCutter) ended(text []byte) {
	if c.state != jsonName && c.state != jsonMember {
		c.state = jsonAfter
		return
	}
	c.state = jsonColon
	c.name(text)
}

// name keeps a member's name.
func (c *jsonCutter) name(text []byte) {
	e := &c.enclosing[len(c.enclosing)-1]
	if len(text) > cutName {
		_, at := stringPlaces(text, cutName)
		text = text[:at]
	}
	if c.names += len(text) - len(e.name); c.names > jsonMostNames {
		c.names -= len(text)
		text = nil
	}
	e.name = append(e.name[:0], text...)
}

// cutString cuts the string with which the window begins, and which is longer than that.
func (c *jsonCutter) cutString(window []byte) Piece {
	start := 0
	if !c.cut {
		start = bytes.IndexByte(window, '"') + 1 // there is nothing before it, or it would be settled
	}
	end, settled := stringPlaces(window[start:], len(window)-start-overlapOf(window))
	isName := c.state == jsonName || c.state == jsonMember
	c.closing()
	switch tail := c.tail; {
	case isName && c.state == jsonName:
		c.tail = append([]byte(`":0`), tail[len(`"":0`):]...)
	case isName:
		c.tail = append([]byte(`":0`), tail...)
	case c.state == jsonValue:
		c.tail = append([]byte{'"'}, tail[1:]...)
	default:
		c.tail = append([]byte{'"'}, tail...)
	}
	if !c.cut {
		c.cut = true
		if !isName {
			c.lead = jsonLead(window[start:])
		}
	}
	return Piece{Head: c.head, Body: window[:start+end], Tail: c.tail, Settled: start + settled}
}

// jsonLead is leadOf a string as written, in which slashes may be escaped.
func jsonLead(s []byte) []byte {
	return leadOf(bytes.ReplaceAll(s[:min(len(s), cutName)], []byte(`\/`), []byte("/")))
}

// stringEnd returns the place behind the quote that ends a string; false: it does not end in s.
func stringEnd(s []byte, at int) (end int, ok bool) {
	for at < len(s) {
		i := bytes.IndexAny(s[at:], `"\`)
		switch {
		case i < 0:
			return 0, false
		case s[at+i] == '"':
			return at + i + 1, true
		}
		at += i + 2
	}
	return 0, false
}

// stringPlaces returns the last places of a string, and the last up to near, where it may be cut: where neither an escape nor a
// character is cut in two, if it is UTF-8. The string has no end in s.
func stringPlaces(s []byte, near int) (last, before int) {
	for at := 0; at <= len(s); {
		if at == len(s) || s[at]&0xc0 != 0x80 || at >= last+utf8.UTFMax {
			if last = at; at <= near {
				before = at
			}
		}
		if at == len(s) {
			break
		}
		n := 1
		if s[at] == '\\' {
			if n = 2; at+1 < len(s) && s[at+1] == 'u' {
				n = 6
			}
		}
		if at+n > len(s) {
			break
		}
		at += n
	}
	return last, before
}
