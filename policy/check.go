package policy

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// checker looks for what is wrong with a policy beyond the types of its values. It works on the policy as written, before
// defaults, and leaves its names in their one spelling.
type checker struct {
	policy   *Policy
	report   *report
	marks    map[string]*node // where each value stood, by path; empty for a policy made in Go
	embedded bool             // a handler stands behind every site: no origin is needed
}

func (c *checker) all() {
	c.policy.normalise(func(path string, err error) { c.wrong(path, err) })
	c.walk(reflect.ValueOf(c.policy).Elem(), fieldTag{}, "")
	names := c.sites()
	c.listen()
	c.trust()
	c.acme()
	c.rest()
	c.lists()
	c.limits(names)
	c.rules()
	c.waf(names)
}

// bad reports a problem at path, unless it follows from one that was reported already.
func (c *checker) bad(path, msg, hint string) {
	if !c.report.isBroken(path) {
		c.report.add(c.place(path), path, msg, hint)
	}
}

func (c *checker) wrong(path string, err error) {
	if !c.report.isBroken(path) {
		c.report.wrong(c.place(path), path, err)
	}
}

// place finds the value at path, or what would hold it.
func (c *checker) place(path string) pos {
	for {
		if n := c.marks[path]; n != nil && n.at != (pos{}) {
			return n.at
		}
		if path == "" {
			return pos{}
		}
		path = parentPath(path)
	}
}

// written reports whether the file gives a value at path.
func (c *checker) written(path string) bool { return c.marks[path] != nil }

// raw returns the scalar at path as it was written, "" when there is none.
func (c *checker) raw(path string) string {
	if n := c.marks[path]; n != nil {
		return n.text
	}
	return ""
}

// line says where the value at path stands, for a message about another one.
func (c *checker) line(path string) string {
	if at := c.place(path); at.line > 0 {
		return " (line " + strconv.Itoa(at.line) + ")"
	}
	return ""
}

// walk checks what the tags of the fields say.
func (c *checker) walk(v reflect.Value, f fieldTag, path string) {
	if v.Kind() == reflect.Pointer {
		if !v.IsNil() {
			c.walk(v.Elem(), f, path)
		}
		return
	}
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Kind() == reflect.Struct && !isText:
		for i, tag := range fieldsOf(v.Type()) {
			c.field(v.Field(i), tag, path)
		}
	case v.Kind() == reflect.Slice:
		item := f
		item.required, item.example = false, ""
		for i := range v.Len() {
			c.walk(v.Index(i), item, itemPath(path, i))
		}
	case v.Kind() == reflect.String:
		c.str(v.String(), f, path)
	default:
		c.bounds(v, f, path)
	}
}

func (c *checker) field(v reflect.Value, f fieldTag, parent string) {
	path := joinPath(parent, f.name)
	missing := v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
	switch {
	case missing && f.required && !c.written(path):
		c.bad(path, "is missing", "it is needed"+f.suchAs())
	case v.Kind() == reflect.Slice && v.Len() == 0 && c.written(path) && f.empty == "":
		hint := "name at least one" + f.suchAs()
		if !f.required {
			hint += ", or remove the line"
		}
		c.bad(path, "is an empty list", hint)
	case v.IsZero() && !c.written(path):
	default:
		c.walk(v, f, path)
	}
}

func (c *checker) str(s string, f fieldTag, path string) {
	switch {
	case s == "":
		hint := "give it a value" + f.suchAs()
		if !f.required {
			hint += ", or remove the line"
		}
		c.bad(path, "is empty", hint)
	case len(f.enum) > 0:
		for _, e := range f.enum {
			if s == e {
				return
			}
		}
		c.bad(path, quote(s)+" is none of "+list(f.enum, "and"), mayMean(s, f.enum))
	case strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || r == '\n' && f.name != "when"
	}):
		c.bad(path, quote(s)+" holds a control character or a line end", "write it on one line")
	}
}

// mayMean is the hint for a word that is none of an enumeration's values.
func mayMean(s string, values []string) string {
	if n := nearestValue(s, values); n != "" {
		return "did you mean " + quote(n) + "?"
	}
	return ""
}

// bounds checks a value against the tags min and max.
func (c *checker) bounds(v reflect.Value, f fieldTag, path string) {
	low, high := number(v, f.min), number(v, f.max)
	x, ok := asFloat(v)
	if !ok {
		return
	}
	switch {
	case f.min == "" && x < 0:
		c.bad(path, "is negative", "give it a value"+f.suchAs())
	case f.min != "" && x < low, f.max != "" && x > high:
		c.bad(path, fmt.Sprint(v.Interface())+" is out of range", outOfRangeHint(f)+zeroHint(x, f))
	}
}

// zeroHint explains why zero is refused where people may mean something by it.
func zeroHint(x float64, f fieldTag) string {
	if x != 0 || f.def == "" {
		return ""
	}
	return ", and " + f.def + " is in force without the line"
}

// number reads a tag's bound as a value of v's type.
func number(v reflect.Value, bound string) float64 {
	if bound == "" {
		return 0
	}
	n := reflect.New(v.Type())
	setText(n.Elem(), bound)
	x, _ := asFloat(n.Elem())
	return x
}

func asFloat(v reflect.Value) (float64, bool) {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return float64(v.Int()), true
	case reflect.Uint32:
		return float64(v.Uint()), true
	case reflect.Float64:
		return v.Float(), true
	}
	return 0, false
}

// setText sets a scalar to what a tag says. The tags are part of the program: one that does not fit its field is a
// mistake of ours, which the tests find.
func setText(v reflect.Value, text string) {
	var err error
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		err = t.UnmarshalText([]byte(text))
	} else {
		switch v.Kind() {
		case reflect.Pointer:
			p := reflect.New(v.Type().Elem())
			setText(p.Elem(), text)
			v.Set(p)
		case reflect.String:
			v.SetString(text)
		case reflect.Bool:
			v.SetBool(text == "true")
		case reflect.Float64:
			var x float64
			x, err = strconv.ParseFloat(text, 64)
			v.SetFloat(x)
		case reflect.Uint32:
			var x uint64
			x, err = strconv.ParseUint(text, 10, 32)
			v.SetUint(x)
		default:
			var x int64
			x, err = strconv.ParseInt(text, 10, 64)
			v.SetInt(x)
		}
	}
	if err != nil {
		panic(fmt.Sprintf("policy: the tag %q does not fit %s: %v", text, v.Type(), err))
	}
}
