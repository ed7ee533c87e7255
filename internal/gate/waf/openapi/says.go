package openapi

import (
	"math"
	"strconv"
	"strings"
)

// typeWords are the types in the order in which they are told.
var typeWords = []struct {
	of   types
	word string
}{{anInteger, "an integer"}, {aNumber, "a number"}, {aBoolean, "true or false"}, {aString, "a text"}, {anArray, "a list"}, {anObject, "an object"}, {aNull, "null"}}

// The bounds of what is told of a schema.
const (
	mostSaid   = 200 // bytes
	mostListed = 8   // values of an enum
)

// describe says what a schema expects, as far as a sentence can.
func (s *schema) describe() {
	if s.described {
		return
	}
	s.described = true
	for next := range s.same() {
		next.describe()
	}
	s.says = clipped(s.words(), mostSaid)
}

func (s *schema) words() string {
	if s.enum != nil {
		return oneOf(s.enum)
	}
	var kinds []string
	for _, t := range typeWords {
		if s.types&t.of != 0 {
			kinds = append(kinds, t.word)
		}
	}
	what := strings.Join(kinds, " or ")
	if formatTexts[s.format] != "" && s.types&^aNull == aString {
		what = formatTexts[s.format]
	}
	var more []string
	say := func(ok bool, text string) {
		if ok {
			more = append(more, text)
		}
	}
	say(!math.IsNaN(s.min), map[bool]string{false: "at least ", true: "above "}[s.overMin]+decimalText(s.min))
	say(!math.IsNaN(s.max), map[bool]string{false: "at most ", true: "below "}[s.underMax]+decimalText(s.max))
	say(s.multiple > 0, "a multiple of "+decimalText(s.multiple))
	say(s.format == "int32" || s.format == "int64", s.format)
	say(s.minLength > 0, "at least "+count(s.minLength, "character"))
	say(s.maxText >= 0, "at most "+count(s.maxText, "character"))
	if s.pattern != nil {
		say(true, "of the form "+s.pattern.String())
	}
	say(s.minItems > 0, "at least "+count(s.minItems, "item"))
	say(s.maxItems >= 0, "at most "+count(s.maxItems, "item"))
	say(s.unique, "no item twice")
	say(s.minFields > 0, "at least "+count(s.minFields, "propert"))
	say(s.maxMany >= 0, "at most "+count(s.maxMany, "propert"))
	if what == "" && len(more) == 0 {
		for next := range s.same() {
			if next != s.not && next.says != "" && len(s.any)+len(s.one) == 0 {
				return next.says
			}
		}
		what = "what the description of this API allows here"
	}
	return strings.Join(append(nonEmpty(what), more...), ", ")
}

var formatTexts = map[string]string{"uuid": "a UUID", "date": "a date such as 2026-12-31", "date-time": "a time such as 2026-12-31T23:59:59Z", "email": "an address of mail",
	"ipv4": "an IPv4 address", "ipv6": "an IPv6 address"}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func decimalText(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func count(n int, word string) string {
	one, many := word, word+"s"
	if word == "propert" {
		one, many = "property", "properties"
	}
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// oneOf lists the values of an enum.
func oneOf(values []value) string {
	if len(values) > mostListed {
		return "one of " + strconv.Itoa(len(values)) + " values"
	}
	words := make([]string, 0, len(values))
	for i := range values {
		if v := &values[i]; v.kind <= isText {
			text := v.text
			if v.kind == isNull {
				text = "null"
			}
			words = append(words, text)
		} else {
			words = append(words, string(v.canonical(nil)))
		}
	}
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}
