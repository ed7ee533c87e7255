package body

import "bytes"

// formCutter cuts between the pairs of a form.
type formCutter struct {
	name []byte // of the pair that was cut, with its equals sign, and what leads its value
}

// Cut implements Cutter.
func (c *formCutter) Cut(window []byte, final, full bool) Piece {
	if tooEarly(window, final, full) {
		return Piece{}
	}
	if i := nthByte(window, '&', cutTokens); i >= 0 {
		window, final = window[:i+1], false
	}
	if final {
		return Piece{Head: c.name, Body: window, Settled: len(window)}
	}
	if i := bytes.LastIndexByte(window, '&'); i >= 0 {
		p := Piece{Head: c.name, Body: window[:i], Settled: i + 1}
		c.name = nil
		return p
	}
	if !full {
		return Piece{}
	}
	p := Piece{Head: c.name, Body: window[:wholeEscape(window, len(window))], Settled: wholeEscape(window, len(window)-overlapOf(window))}
	if c.name == nil {
		if i := bytes.IndexByte(window, '='); i >= 0 {
			name := window[:wholeEscape(window, min(i, cutName))]
			c.name = append(append(bytes.Clone(name), '='), leadOf(window[i+1:])...)
		}
	}
	return p
}

// nthByte is where the byte is in s for the nth time, negative if it is not.
func nthByte(s []byte, b byte, nth int) int {
	at := -1
	for range nth {
		i := bytes.IndexByte(s[at+1:], b)
		if i < 0 {
			return -1
		}
		at += 1 + i
	}
	return at
}

// wholeEscape is the last place of s up to at where neither an escape nor a character is cut in two.
func wholeEscape(s []byte, at int) int {
	for back := 1; back <= 2 && back <= at; back++ {
		if s[at-back] == '%' {
			return at - back
		}
	}
	return wholeRune(s, at)
}
