package waf

import (
	_ "embed"
	"strings"
)

// grammar.txt holds words by which sentences are made, in several languages. Names of commands are not among them.
//
//go:embed grammar.txt
var grammarText string

var grammatical = func() map[string]bool {
	var list strings.Builder
	for line := range strings.Lines(grammarText) {
		if !strings.HasPrefix(line, "#") {
			list.WriteString(line)
		}
	}
	return words(list.String())
}()

// words is the set of the words in list.
func words(list string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}
