package waf

import (
	"strings"
	"unicode"
)

// fileName reports whether a value with an apostrophe or a "=" is the name of a file as people and programs give it: "l'été.png",
// "Bob's photo.jpg", "watch?v=1.mp4". Each apostrophe stands where languages have one, so that neither SQL nor a shell reads more
// than a word that is wrong, and nothing is in it that ends a parameter of Content-Disposition.
func fileName(s string) bool {
	if strings.ContainsFunc(s, unicode.IsControl) || strings.ContainsAny(s, "\"\\;/<>|`$*{}#%") || strings.Contains(s, "--") {
		return false
	}
	before, after, found := strings.Cut(s, "'")
	if !found {
		return true
	}
	if strings.Contains(s, "=") {
		return false
	}
	for ; found; before, after, found = strings.Cut(after, "'") {
		last := word(before, true)
		if !elided[last] && (last == "" || !shortened[word(after, false)]) {
			return false
		}
	}
	return true
}

// word is the last word of s in lower case, or the first, when it stands at that end.
func word(s string, last bool) string {
	letter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	if last {
		s = s[len(strings.TrimRightFunc(s, letter)):]
	} else {
		s = s[:len(s)-len(strings.TrimLeftFunc(s, letter))]
	}
	return strings.ToLower(s)
}

// elided stand before an apostrophe: in French, Italian, and Irish names.
var elided = words("l d j m s t c qu jusqu lorsqu puisqu presqu quelqu aujourd o " +
	"un all dall dell nell sull coll quell quest bell sant dev")

// shortened stand behind one in English.
var shortened = words("s t d m re ll ve")
