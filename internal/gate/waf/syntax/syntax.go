// Package syntax answers "would this text do anything, were it taken for SQL, for commands, for a script or for HTML?"
//
// An attack has to hold together where it is run: from the place at which it gets out of what the application has written
// around it, to its end or to a comment that hides the rest. Words of a language in a sentence of people do not. Each
// function reads a value from every place where an injection can begin and says true when one of the readings holds, or
// when it cannot tell; false means that whatever runs the value meets an error of syntax first, or nothing to run. All are
// pure, and linear in the value.
package syntax

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxStarts bounds the places of a value from which it is read.
const maxStarts = 24

// start is a place where an injection can begin: behind what closes the quotes in which the application has put the value.
type start struct {
	at    int
	quote byte // that was closed; 0 at the beginning of a value that stands without quotes
	first bool // no quote of its kind stands before it
}

// starts lists where a value can get out of quotes, its beginning first. complete is false when there are too many.
func starts(s, quotes string) (all []start, complete bool) {
	all = append(all, start{first: true})
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(quotes, s[i]) < 0 {
			continue
		}
		if len(all) == maxStarts {
			return all, false
		}
		all = append(all, start{at: i + 1, quote: s[i], first: strings.IndexByte(s[:i], s[i]) < 0})
	}
	return all, true
}

// closing is where a literal that was opened before i ends: the place behind its quote, or the end of s and false. A
// backslash takes the next character with it.
func closing(s string, i int, quote byte) (end int, closed bool) {
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i + 1, true
		}
	}
	return len(s), false
}

// named reports whether a character can stand in a name.
func named(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// nameEnd is the end of the name or number that begins at i.
func nameEnd(s string, i int) int {
	for i < len(s) && named(s[i]) {
		i++
	}
	return i
}

// words counts the words in s, up to n: runs of two letters or more.
func words(s string, n int) int {
	found, run := 0, 0
	for _, r := range s {
		if unicode.IsLetter(r) {
			if run++; run == 2 {
				if found++; found == n {
					return n
				}
			}
			continue
		}
		run = 0
	}
	return found
}

// set is a set of words.
type set map[string]bool

func setOf(text string) set {
	s := set{}
	for w := range strings.FieldsSeq(text) {
		s[w] = true
	}
	return s
}

// anyFold reports whether s holds one of the words, which are in lower case, in any case.
func anyFold(s string, words ...string) bool {
	for i := range len(s) {
		for _, w := range words {
			if s[i]|0x20 == w[0]|0x20 && len(s)-i >= len(w) && strings.EqualFold(s[i:i+len(w)], w) {
				return true
			}
		}
	}
	return false
}
