package operator

import (
	"errors"
	"fmt"
	"strings"
	"sync"
)

// pm searches for phrases, without regard to the case of ASCII letters.
type pm struct {
	phrases []string
	// find is built on first use, as most lists never run.
	find func() *phrases
}

func compilePM(argument string, _ ReadFile) (Operator, error) {
	if macro.MatchString(argument) {
		return nil, errors.New("a macro is not expanded in a list of phrases")
	}
	return newPM(strings.Split(argument, " "))
}

func compilePMFromFile(argument string, file ReadFile) (Operator, error) {
	lines, err := readLines(argument, file)
	if err != nil {
		return nil, err
	}
	return newPM(lines)
}

func newPM(list []string) (Operator, error) {
	o := &pm{}
	for _, phrase := range list {
		if phrase != "" {
			o.phrases = append(o.phrases, strings.ToLower(phrase))
		}
	}
	if len(o.phrases) == 0 {
		return nil, errors.New("the list of phrases is empty")
	}
	o.find = sync.OnceValue(func() *phrases { return buildPhrases(o.phrases) })
	return o, nil
}

func (o *pm) Match(value, _ string, c *Captures) bool {
	find := o.find()
	start, end := find.next(value, 0, c != nil)
	if start < 0 {
		return false
	}
	if c == nil {
		return true
	}
	c.clear()
	for start >= 0 && c.N < len(c.At) {
		c.At[c.N] = [2]int{start, end}
		c.N++
		start, end = find.next(value, end, true)
	}
	return true
}

func (o *pm) Gate() (Gate, bool) {
	var b strings.Builder
	for i, phrase := range o.phrases {
		if i > 0 {
			b.WriteByte('|')
		}
		if isASCII(phrase) {
			b.WriteString(quoteBytes(phrase))
			continue
		}
		for j := 0; j < len(phrase); j++ { // case folding would take \xe4 for \xc4
			if phrase[j] < 0x80 {
				b.WriteString(quoteBytes(phrase[j : j+1]))
			} else {
				fmt.Fprintf(&b, `(?-i:\x%02x)`, phrase[j])
			}
		}
	}
	return Gate{Expr: "(?i:" + b.String() + ")", Raw: true, Exact: true}, true
}
