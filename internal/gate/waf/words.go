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
	set := map[string]bool{}
	for line := range strings.Lines(grammarText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			set[word] = true
		}
	}
	return set
}()
