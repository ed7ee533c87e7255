package openapi

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is a value of JSON, or the text of a parameter, which is what its schema takes it for.
type value struct {
	kind   kind
	raw    bool // a text that may be read as a number, a boolean or nothing
	text   string
	items  []value
	fields []member
}

type member struct {
	name  string
	value value
}

func (v *value) get(name string) *value {
	for i := range v.fields {
		if v.fields[i].name == name {
			return &v.fields[i].value
		}
	}
	return nil
}

// valueOf is a value that a document holds.
func valueOf(n *node) value {
	v := value{kind: n.kind, text: n.text}
	for _, item := range n.items {
		v.items = append(v.items, valueOf(item))
	}
	for _, f := range n.fields {
		v.fields = append(v.fields, member{f.key, valueOf(f.value)})
	}
	return v
}

// equal reports whether two values are the same; a raw one is the same as what it can be read as.
func (v *value) equal(o *value) bool {
	switch {
	case v.raw && o.kind <= isText:
		return v.text == o.text || o.kind == isNumber && sameNumber(v.text, o.text)
	case v.kind != o.kind:
		return false
	case v.kind == isNumber:
		return v.text == o.text || sameNumber(v.text, o.text)
	case v.kind <= isText:
		return v.text == o.text
	case v.kind == isList:
		return slices.EqualFunc(v.items, o.items, func(a, b value) bool { return a.equal(&b) })
	}
	if len(v.fields) != len(o.fields) {
		return false
	}
	for i := range v.fields {
		if other := o.get(v.fields[i].name); other == nil || !v.fields[i].value.equal(other) {
			return false
		}
	}
	return true
}

func sameNumber(a, b string) bool {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	return errA == nil && errB == nil && x == y
}

// canonical appends a form of a value that two values share if they are equal.
func (v *value) canonical(b []byte) []byte {
	switch v.kind {
	case isNumber:
		if n, err := strconv.ParseFloat(v.text, 64); err == nil && !v.raw {
			return strconv.AppendFloat(append(b, '#'), n, 'g', -1, 64)
		}
		return strconv.AppendQuote(b, v.text)
	case isNull, isBool:
		return append(append(b, '!'), v.text...)
	case isText:
		return strconv.AppendQuote(b, v.text)
	case isList:
		b = append(b, '[')
		for i := range v.items {
			b = append(v.items[i].canonical(b), ',')
		}
		return append(b, ']')
	}
	fields := slices.Clone(v.fields)
	slices.SortFunc(fields, func(x, y member) int { return strings.Compare(x.name, y.name) })
	b = append(b, '{')
	for i := range fields {
		b = append(strconv.AppendQuote(b, fields[i].name), ':')
		b = append(fields[i].value.canonical(b), ',')
	}
	return append(b, '}')
}

// The bounds of a JSON text.
const (
	maxJSONDepth = 100
	manyFields   = 16 // from which on names are looked up in a map
)

// parseJSON reads a JSON text (RFC 8259). why says what is wrong with it, "" for nothing: also a name that an object has twice,
// of which programs take different ones.
func parseJSON(text []byte) (v value, why string) {
	if !json.Valid(text) {
		return v, "JSON"
	}
	if !utf8.Valid(text) {
		return v, "JSON in UTF-8"
	}
	p := jsonReader{rest: string(text)}
	v = p.value(0)
	return v, p.why
}

// jsonReader reads a text that is known to be JSON.
type jsonReader struct {
	rest string
	why  string
}

// next skips white space and returns the byte behind it.
func (p *jsonReader) next() byte {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	return p.rest[0]
}

func (p *jsonReader) skip() { p.rest = p.rest[1:] }

func (p *jsonReader) value(depth int) value {
	if depth > maxJSONDepth {
		p.why = "JSON of at most " + strconv.Itoa(maxJSONDepth) + " levels"
	}
	if p.why != "" {
		return value{}
	}
	switch p.next() {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth)
	case '"':
		return value{kind: isText, text: p.text()}
	case 't', 'f':
		return value{kind: isBool, text: p.word()}
	case 'n':
		p.word()
		return value{kind: isNull}
	}
	return value{kind: isNumber, text: p.word()}
}

// word takes what reaches to the next delimiter.
func (p *jsonReader) word() string {
	end := strings.IndexAny(p.rest, ",]} \t\r\n")
	if end < 0 {
		end = len(p.rest)
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

func (p *jsonReader) text() string {
	end, plain := 1, true
	for p.rest[end] != '"' {
		if p.rest[end] == '\\' {
			plain = false
			end++
		}
		end++
	}
	quoted := p.rest[:end+1]
	p.rest = p.rest[end+1:]
	if plain {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal([]byte(quoted), &s); err != nil {
		p.why = "JSON" // never: the whole text is
	}
	return s
}

func (p *jsonReader) list(depth int) value {
	v := value{kind: isList}
	p.skip()
	for p.next() != ']' {
		v.items = append(v.items, p.value(depth+1))
		if p.why != "" {
			return v
		}
		if p.next() == ',' {
			p.skip()
		}
	}
	p.skip()
	return v
}

func (p *jsonReader) object(depth int) value {
	v := value{kind: isObject}
	var seen map[string]bool
	p.skip()
	for p.next() != '}' {
		name := p.text()
		twice := seen[name]
		if seen == nil {
			twice = v.get(name) != nil
		}
		if twice {
			p.why = "JSON that has each name once in an object"
			return v
		}
		p.next()
		p.skip() // the colon
		v.fields = append(v.fields, member{name, p.value(depth + 1)})
		if p.why != "" {
			return v
		}
		switch {
		case seen != nil:
			seen[name] = true
		case len(v.fields) == manyFields:
			seen = map[string]bool{}
			for i := range v.fields {
				seen[v.fields[i].name] = true
			}
		}
		if p.next() == ',' {
			p.skip()
		}
	}
	p.skip()
	return v
}
