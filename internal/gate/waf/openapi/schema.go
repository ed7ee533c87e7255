package openapi

import (
	"iter"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// types is a set of the types of JSON. The empty set stands for all of them.
type types uint8

const (
	aNull types = 1 << iota
	aBoolean
	anInteger
	aNumber
	aString
	anArray
	anObject
)

var typeNames = map[string]types{"null": aNull, "boolean": aBoolean, "integer": anInteger, "number": aNumber, "string": aString, "array": anArray, "object": anObject}

// schema is a compiled schema (JSON Schema 2020-12, or what OpenAPI 3.0 makes of it). A nil schema takes everything.
type schema struct {
	node  *node
	never bool // the schema "false"
	types types
	enum  []value         // nil for none
	texts map[string]bool // the texts of enum

	min, max           float64 // NaN for none
	overMin, underMax  bool    // exclusive
	multiple           float64 // 0 for none
	minLength, maxText int     // characters; maxText is -1 for no bound
	pattern            *regexp.Regexp
	format             string

	properties         map[string]*schema
	patterns           []patternSchema
	additional         *schema
	names              *schema
	required           []string
	minFields, maxMany int // -1 for no bound

	items              *schema
	prefix             []*schema
	minItems, maxItems int // -1 for no bound
	unique             bool

	all, any, one      []*schema
	not                *schema
	when, then, orElse *schema
	says               string // what is expected, in words
	described          bool
}

type patternSchema struct {
	pattern *regexp.Regexp
	schema  *schema
}

// annotations are keywords that say nothing about what is valid.
var annotations = []string{"title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "xml", "externalDocs", "discriminator",
	"$comment", "$schema", "$id", "$defs", "definitions", "contentEncoding", "contentMediaType", "contentSchema"}

// schema compiles the schema at a node, once; nil for no schema and for one that was reported.
func (l *loader) schema(n *node) *schema {
	if n == nil {
		return nil
	}
	if s := l.schemas[n]; s != nil {
		return s
	}
	s := &schema{node: n, min: math.NaN(), max: math.NaN(), maxText: -1, maxMany: -1, maxItems: -1}
	l.schemas[n] = s
	switch {
	case n.kind == isBool:
		s.never = n.text == "false"
		return s
	case n.kind != isObject:
		l.wrong(n, "a schema is a mapping, this is %s", n.kind)
		return s
	}
	if ref := n.get("$ref"); ref != nil {
		next, err := l.target(n, ref.text)
		if err != nil {
			l.wrong(ref, "$ref %q: %v", ref.text, err)
			return s
		}
		s.all = append(s.all, l.schema(next))
		if l.old {
			return s // what stands beside it has no meaning (OpenAPI 3.0, Reference Object)
		}
	}
	for i := range n.fields {
		l.keyword(s, n.fields[i].key, n.fields[i].value)
	}
	if n.is("nullable") && l.old && s.types != 0 {
		s.types |= aNull
		if s.enum != nil {
			s.enum = append(s.enum, value{kind: isNull})
		}
	}
	return s
}

// keyword compiles one keyword of a schema.
func (l *loader) keyword(s *schema, name string, v *node) {
	switch name {
	case "$ref", "nullable":
	case "type":
		s.types = l.types(v)
	case "enum":
		if v.kind != isList || len(v.items) == 0 {
			l.wrong(v, "enum is a list of at least one value")
			return
		}
		s.enum = []value{}
		for _, item := range v.items {
			s.enum = append(s.enum, valueOf(item))
		}
		s.texts = texts(s.enum)
	case "const":
		s.enum = []value{valueOf(v)}
		s.texts = texts(s.enum)
	case "properties":
		s.properties = map[string]*schema{}
		for _, f := range v.fields {
			s.properties[f.key] = l.schema(f.value)
		}
	case "patternProperties":
		for _, f := range v.fields {
			if p := l.pattern(f.value, f.key); p != nil {
				s.patterns = append(s.patterns, patternSchema{p, l.schema(f.value)})
			}
		}
	case "additionalProperties":
		s.additional = l.schema(v)
	case "propertyNames":
		s.names = l.schema(v)
	case "required":
		for _, item := range v.items {
			s.required = append(s.required, item.text)
		}
		if v.kind != isList {
			l.wrong(v, "required is a list of names of properties")
		}
	case "items":
		s.items = l.schema(v)
	case "prefixItems":
		s.prefix = l.list(v)
	case "allOf":
		s.all = append(s.all, l.list(v)...)
	case "anyOf":
		s.any = l.list(v)
	case "oneOf":
		s.one = l.list(v)
	case "not":
		s.not = l.schema(v)
	case "if":
		s.when = l.schema(v)
	case "then":
		s.then = l.schema(v)
	case "else":
		s.orElse = l.schema(v)
	case "uniqueItems":
		s.unique = v.text == "true"
	case "pattern":
		s.pattern = l.pattern(v, v.text)
	case "format":
		s.format = v.text
	default:
		if !l.bound(s, name, v) && !slices.Contains(annotations, name) && !strings.HasPrefix(name, "x-") {
			l.note(v, "the keyword %s is not checked", name)
		}
	}
}

// bound compiles a keyword whose value is a number; ok is false where it is none.
func (l *loader) bound(s *schema, name string, v *node) (ok bool) {
	counts := map[string]*int{"minLength": &s.minLength, "maxLength": &s.maxText, "minItems": &s.minItems, "maxItems": &s.maxItems,
		"minProperties": &s.minFields, "maxProperties": &s.maxMany}
	if to := counts[name]; to != nil {
		n, err := strconv.ParseFloat(v.text, 64)
		if err != nil || n < 0 || n != math.Trunc(n) || v.kind != isNumber {
			l.wrong(v, "%s is a whole number from 0 on", name)
			return true
		}
		*to = int(min(n, math.MaxInt32))
		return true
	}
	limits := map[string]struct {
		to   *float64
		over *bool
	}{"minimum": {&s.min, nil}, "maximum": {&s.max, nil}, "multipleOf": {&s.multiple, nil},
		"exclusiveMinimum": {&s.min, &s.overMin}, "exclusiveMaximum": {&s.max, &s.underMax}}
	limit, ok := limits[name]
	if !ok {
		return false
	}
	if limit.over != nil && l.old { // a boolean beside the bound
		*limit.over = v.text == "true"
		return true
	}
	n, err := strconv.ParseFloat(v.text, 64)
	switch {
	case err != nil || v.kind != isNumber || name == "multipleOf" && n <= 0:
		l.wrong(v, "%s is a number%s", name, map[bool]string{true: " above 0"}[name == "multipleOf"])
	case limit.over != nil && !math.IsNaN(*limit.to), limit.over == nil && name != "multipleOf" && !math.IsNaN(*limit.to):
		l.wrong(v, "minimum and exclusiveMinimum, or maximum and exclusiveMaximum, both are given; keep one of them")
	default:
		*limit.to = n
		if limit.over != nil {
			*limit.over = true
		}
	}
	return true
}

func (l *loader) types(v *node) (out types) {
	names := v.items
	if v.kind != isList || l.old {
		names = []*node{v}
	}
	for _, name := range names {
		t := typeNames[name.text]
		if t == 0 || l.old && t == aNull || name.kind != isText && name.kind != isNull {
			l.wrong(name, "%q is no type; string, integer, number, boolean, array and object are", name.text)
		}
		out |= t
	}
	return out
}

func (l *loader) list(v *node) (out []*schema) {
	if v.kind != isList || len(v.items) == 0 {
		l.wrong(v, "a list of at least one schema belongs here")
	}
	for _, item := range v.items {
		out = append(out, l.schema(item))
	}
	return out
}

// pattern compiles a regular expression; nil where RE2, which alone cannot be made to take long, has no such expression.
func (l *loader) pattern(n *node, text string) *regexp.Regexp {
	p, err := regexp.Compile(text)
	if err != nil {
		l.note(n, "the pattern %q is not checked: RE2, which takes time in proportion to the text, does not know it; write it without lookaround, back references and \\u", text)
		return nil
	}
	return p
}

// cyclic finds schemas that refer to themselves about the same value.
func (l *loader) cyclic() iter.Seq[*schema] {
	const open, done = 1, 2
	return func(yield func(*schema) bool) {
		state := map[*schema]int{}
		var visit func(s *schema) bool
		visit = func(s *schema) bool {
			if s == nil || state[s] == done {
				return true
			}
			if state[s] == open {
				return yield(s)
			}
			state[s] = open
			for next := range s.same() {
				if !visit(next) {
					return false
				}
			}
			state[s] = done
			return true
		}
		for _, s := range l.schemas {
			if !visit(s) {
				return
			}
		}
	}
}

// same are the schemas inside of s that are about the same value.
func (s *schema) same() iter.Seq[*schema] {
	return func(yield func(*schema) bool) {
		for _, list := range [][]*schema{s.all, s.any, s.one, {s.not, s.when, s.then, s.orElse}} {
			for _, next := range list {
				if next != nil && !yield(next) {
					return
				}
			}
		}
	}
}

// texts are those among values.
func texts(all []value) map[string]bool {
	out := map[string]bool{}
	for i := range all {
		if all[i].kind == isText {
			out[all[i].text] = true
		}
	}
	return out
}

// lists reports whether a value is one of those that a schema lists, if it lists any. A long list of texts costs no more than a
// short one: a body may hold as many of them as it has room for.
func (s *schema) lists(v *value) bool {
	switch {
	case s.enum == nil:
		return true
	case v.kind == isText && (!v.raw || s.texts[v.text]):
		return s.texts[v.text]
	}
	return slices.ContainsFunc(s.enum, func(e value) bool { return v.equal(&e) })
}
