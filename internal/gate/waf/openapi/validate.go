package openapi

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// checker checks values and notes where one fails first. The zero checker needs steps.
type checker struct {
	steps    int // that may still be taken, whatever the value and the schema are
	trying   int // above 0: failures are not noted
	path     []string
	expected string
	found    string
}

// stepBytes is how many bytes of text are one step.
const stepBytes = 32

// fail notes what was expected in place of a value, and returns false.
func (c *checker) fail(v *value, expected string) bool {
	if c.trying == 0 {
		c.path, c.expected, c.found = c.path[:0], expected, ""
		if v != nil && v.kind <= isText {
			c.found = v.text
		}
	}
	return false
}

// under notes that what failed is part of something.
func (c *checker) under(part string) bool {
	if c.trying == 0 {
		c.path = append(c.path, part)
	}
	return false
}

// place is where the failure is, below a root such as "body".
func (c *checker) place(root string) string {
	var b strings.Builder
	b.WriteString(root)
	for i := len(c.path) - 1; i >= 0; i-- {
		if !strings.HasPrefix(c.path[i], "[") {
			b.WriteByte('.')
		}
		b.WriteString(c.path[i])
	}
	return b.String()
}

// holds reports whether a schema takes a value without noting a failure.
func (c *checker) holds(s *schema, v *value) bool {
	c.trying++
	ok := c.check(s, v)
	c.trying--
	return ok
}

// check reports whether a schema takes a value.
func (c *checker) check(s *schema, v *value) bool {
	if s == nil {
		return true
	}
	if c.steps--; c.steps < 0 {
		return c.fail(nil, "less to check")
	}
	switch {
	case s.never:
		return c.fail(v, "nothing here")
	case !s.takes(v), !s.lists(v):
		return c.fail(v, s.says)
	}
	switch {
	case v.kind == isList:
		if !c.list(s, v) {
			return false
		}
	case v.kind == isObject:
		if !c.object(s, v) {
			return false
		}
	case !c.scalar(s, v):
		return c.fail(v, s.says)
	}
	return c.combined(s, v)
}

// combined checks what a schema says by other schemas about the same value.
func (c *checker) combined(s *schema, v *value) bool {
	for _, each := range s.all {
		if !c.check(each, v) {
			return false
		}
	}
	if s.any != nil && !slices.ContainsFunc(s.any, func(one *schema) bool { return c.holds(one, v) }) {
		return c.fail(v, s.says)
	}
	if s.one != nil {
		n := 0
		for _, one := range s.one {
			if c.holds(one, v) {
				n++
			}
		}
		if n != 1 {
			return c.fail(v, s.says)
		}
	}
	if s.not != nil && c.holds(s.not, v) {
		return c.fail(v, s.says)
	}
	switch {
	case s.when == nil:
	case c.holds(s.when, v):
		return c.check(s.then, v)
	default:
		return c.check(s.orElse, v)
	}
	return true
}

// takes reports whether a value is, or can be read as, one of the types of a schema.
func (s *schema) takes(v *value) bool {
	if s.types == 0 {
		return true
	}
	switch v.kind {
	case isNull:
		return s.types&aNull != 0
	case isBool:
		return s.types&aBoolean != 0
	case isNumber:
		return s.types&aNumber != 0 || s.types&anInteger != 0 && whole(v.text)
	case isList:
		return s.types&anArray != 0
	case isObject:
		return s.types&anObject != 0
	}
	if s.types&aString != 0 {
		return true
	}
	return v.raw && (s.types&(aNumber|anInteger) != 0 && s.number(v) || s.types&aBoolean != 0 && (v.text == "true" || v.text == "false") ||
		s.types&aNull != 0 && (v.text == "" || v.text == "null"))
}

// number reports whether a raw text reads as a number of the types of a schema.
func (s *schema) number(v *value) bool {
	return decimal.MatchString(v.text) && (s.types&aNumber != 0 || s.types == 0 || whole(v.text))
}

// decimal is a number as JSON writes it, of a length that is nobody's attempt.
var decimal = regexp.MustCompile(`^-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,100})?(?:[eE][+-]?[0-9]{1,3})?$`)

// whole reports whether a number has no fraction.
func whole(text string) bool {
	if !strings.ContainsAny(text, ".eE") {
		return true
	}
	n, err := strconv.ParseFloat(text, 64)
	return err == nil && n == math.Trunc(n)
}

// scalar checks a value that holds no others.
func (c *checker) scalar(s *schema, v *value) bool {
	switch v.kind {
	case isNumber:
		return s.inBounds(v.text)
	case isText:
	default:
		return true
	}
	numeric := s.types & (anInteger | aNumber)
	if v.raw && s.types&aString == 0 && (numeric != 0 || s.types == 0) && s.number(v) {
		if !s.inBounds(v.text) {
			return false
		}
		if numeric != 0 {
			return true
		}
	}
	if v.raw && s.types != 0 && s.types&aString == 0 {
		return true // a boolean, or nothing
	}
	c.steps -= len(v.text) / stepBytes
	if s.minLength > 0 || s.maxText >= 0 {
		n := utf8.RuneCountInString(v.text)
		if n < s.minLength || s.maxText >= 0 && n > s.maxText {
			return false
		}
	}
	return (s.pattern == nil || s.pattern.MatchString(v.text)) && formatted(s.format, v.text)
}

// inBounds reports whether a number is within the bounds of a schema.
func (s *schema) inBounds(text string) bool {
	switch s.format {
	case "int32":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n != int64(int32(n)) {
			return false
		}
	case "int64":
		if _, err := strconv.ParseInt(text, 10, 64); err != nil && !strings.ContainsAny(text, ".eE") {
			return false
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	if n < s.min || s.overMin && n == s.min || n > s.max || s.underMax && n == s.max {
		return false
	}
	if s.multiple > 0 {
		times := n / s.multiple
		return math.Abs(times-math.Round(times)) < 1e-9*max(1, math.Abs(times))
	}
	return true
}

var (
	uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	mail = regexp.MustCompile(`^[^@\s]{1,64}@[^@\s]{1,255}$`)
	zulu = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$`)
)

// formatted reports whether a text has a format. What is no format that is checked takes every text.
func formatted(format, s string) bool {
	switch format {
	case "uuid":
		return uuid.MatchString(s)
	case "date":
		_, err := time.Parse(time.DateOnly, s)
		return err == nil
	case "date-time":
		if !zulu.MatchString(s) {
			return false
		}
		_, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
		return err == nil
	case "email":
		return mail.MatchString(s)
	case "ipv4":
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	case "ipv6":
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	return true
}

// list checks a list and its items.
func (c *checker) list(s *schema, v *value) bool {
	if len(v.items) < s.minItems || s.maxItems >= 0 && len(v.items) > s.maxItems {
		return c.fail(v, s.says)
	}
	for i := range v.items {
		each := s.items
		if i < len(s.prefix) {
			each = s.prefix[i]
		}
		if each != nil && !c.check(each, &v.items[i]) {
			return c.under("[" + strconv.Itoa(i) + "]")
		}
	}
	if !s.unique {
		return true
	}
	seen := make(map[string]bool, len(v.items))
	for i := range v.items {
		key := string(v.items[i].canonical(nil))
		if seen[key] {
			return c.fail(v, s.says)
		}
		c.steps -= len(key) / stepBytes
		seen[key] = true
	}
	return true
}

// object checks an object and its properties.
func (c *checker) object(s *schema, v *value) bool {
	if len(v.fields) < s.minFields || s.maxMany >= 0 && len(v.fields) > s.maxMany {
		return c.fail(v, s.says)
	}
	for i := range v.fields {
		f := &v.fields[i]
		if !c.property(s, f) {
			return c.under(clipped(f.name, mostName))
		}
	}
	for _, name := range s.required {
		if v.get(name) != nil {
			continue
		}
		expected := requiredText
		if p := s.properties[name]; p != nil && p.says != "" {
			expected += ": " + p.says
		}
		c.fail(nil, expected)
		return c.under(name)
	}
	return true
}

const requiredText = "something here, for it is required"

// mostName is how much of a name that a client sent is told, in bytes.
const mostName = 60

func (c *checker) property(s *schema, f *member) bool {
	if s.names != nil && !c.check(s.names, &value{kind: isText, text: f.name}) {
		return false
	}
	own, known := s.properties[f.name]
	if known && !c.check(own, &f.value) {
		return false
	}
	for _, p := range s.patterns {
		c.steps -= 1 + len(f.name)/stepBytes
		if !p.pattern.MatchString(f.name) {
			continue
		}
		known = true
		if !c.check(p.schema, &f.value) {
			return false
		}
	}
	if known || s.additional == nil {
		return true
	}
	if s.additional.never {
		return c.fail(&f.value, "no such property")
	}
	return c.check(s.additional, &f.value)
}

// clipped is the beginning of a text.
func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
