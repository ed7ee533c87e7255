package openapi

import (
	"slices"
	"strings"
)

// in is where a parameter stands.
type in uint8

const (
	inQuery in = iota
	inPath
	inHeader
	inCookie
)

var ins = []string{"query", "path", "header", "cookie"}

// style is how the values of a list or an object are written (OpenAPI 3.1, section 4.8.12.3).
type style uint8

const (
	separated style = iota // by separator
	repeated               // the name comes again for each item, and each property has its own name
	deep                   // name[property]=value
	asJSON                 // the parameter has a media type
)

// parameter is a compiled parameter of an operation.
type parameter struct {
	name, field string // field is the name as it is told: "query.limit"
	in          in
	place       int // of a parameter in the path
	required    bool
	mayBeEmpty  bool
	style       style
	separator   string
	pairs       bool // an object is written as a=1,b=2 and not as a,1,b,2
	schema      *schema
	shape       types // anArray, anObject, or 0 for one value
}

// slot is where in an operation a name of the query belongs.
type slot struct {
	parameter int
	property  string // of an object whose properties have their own names
}

// Operation is an operation of a document: what may be done with a path by a method.
type Operation struct {
	// ID is its operationId, or its method and path where it has none.
	ID               string
	Method, Template string

	parameters []*parameter
	query      map[string]slot
	free       bool // an object takes names of the query that nobody declares
	media      []media
	hasBody    bool
	required   bool // its body is
}

// ignored are fields that are described elsewhere in a document (OpenAPI 3.1, section 4.8.12).
var ignored = []string{"accept", "content-type", "authorization"}

// parameter compiles a parameter, unless the operation has one of that name and place already.
func (l *loader) parameter(op *Operation, n *node) {
	if n = l.resolve(n); n == nil {
		return
	}
	p := &parameter{name: n.str("name"), required: n.is("required"), mayBeEmpty: n.is("allowEmptyValue"), separator: ",", place: -1}
	where := slices.Index(ins, n.str("in"))
	switch {
	case p.name == "":
		l.wrong(n, "a parameter without a name")
		return
	case where < 0:
		l.wrong(n, "the parameter %q is in %q; query, path, header and cookie are known", p.name, n.str("in"))
		return
	}
	p.in, p.field = in(where), ins[where]+"."+p.name
	if p.in == inHeader && slices.Contains(ignored, strings.ToLower(p.name)) || slices.ContainsFunc(op.parameters, p.same) {
		return
	}
	p.schema = l.schema(n.get("schema"))
	p.shape = p.schema.shape(0)
	switch content := n.get("content"); {
	case content == nil:
		l.style(p, n)
	case len(content.fields) == 1 && isJSON(content.fields[0].key):
		p.schema, p.style, p.shape = l.schema(content.fields[0].value.get("schema")), asJSON, 0
	default:
		l.note(content, "the parameter %q is not checked: of parameters with a media type, JSON is", p.name)
		p.schema, p.shape = nil, 0
	}
	op.parameters = append(op.parameters, p)
	if p.in == inQuery {
		l.names(op, p)
	}
}

func (p *parameter) same(o *parameter) bool {
	return p.in == o.in && (p.name == o.name || p.in == inHeader && strings.EqualFold(p.name, o.name))
}

// style finds out how the parameter is written.
func (l *loader) style(p *parameter, n *node) {
	usual := []string{"form", "simple", "simple", "form"}[p.in]
	written := n.str("style")
	if written == "" {
		written = usual
	}
	explode := written == "form"
	if n.get("explode") != nil {
		explode = n.is("explode")
	}
	switch {
	case written == "form" && p.in == inQuery && explode:
		p.style = repeated
	case written == "form" && (p.in == inQuery || p.in == inCookie && (!explode || p.shape == 0)):
	case written == "simple" && (p.in == inPath || p.in == inHeader):
		p.pairs = explode
	case written == "spaceDelimited" && p.in == inQuery:
		p.separator = " "
	case written == "pipeDelimited" && p.in == inQuery:
		p.separator = "|"
	case written == "deepObject" && p.in == inQuery && p.shape == anObject:
		p.style = deep
	default:
		l.note(n, "the parameter %q is not checked: it is written as %s, which is not read", p.name, written)
		p.schema, p.shape = nil, 0
	}
	if (written == "spaceDelimited" || written == "pipeDelimited") && explode {
		p.style = repeated
	}
}

// names writes down which names in the query belong to a parameter.
func (l *loader) names(op *Operation, p *parameter) {
	i := len(op.parameters) - 1
	if p.shape != anObject || p.style != repeated {
		op.query[p.name] = slot{parameter: i}
		return
	}
	open := false
	for s := range p.schema.objects(0) {
		for name := range s.properties {
			if _, taken := op.query[name]; !taken {
				op.query[name] = slot{i, name}
			}
		}
		open = open || s.additional != nil && !s.additional.never || len(s.patterns) > 0
	}
	op.free = op.free || open
}

// shape is what a text has to be taken apart for: a list, an object, or 0 for nothing.
func (s *schema) shape(depth int) types {
	if s == nil || depth > 8 {
		return 0
	}
	switch {
	case s.types&^aNull == anArray:
		return anArray
	case s.types&^aNull == anObject, s.types == 0 && s.properties != nil:
		return anObject
	}
	for _, list := range [][]*schema{s.all, s.any, s.one} {
		for _, next := range list {
			if shape := next.shape(depth + 1); shape != 0 {
				return shape
			}
		}
	}
	return 0
}

// objects are the schemas about the same object that name properties.
func (s *schema) objects(depth int) func(yield func(*schema) bool) {
	return func(yield func(*schema) bool) {
		if s == nil || depth > 8 || !yield(s) {
			return
		}
		for next := range s.same() {
			for each := range next.objects(depth + 1) {
				if !yield(each) {
					return
				}
			}
		}
	}
}

// propertyOf is the schema of a property of an object, nil where nothing is said.
func (s *schema) propertyOf(name string) *schema {
	for each := range s.objects(0) {
		if p := each.properties[name]; p != nil {
			return p
		}
	}
	return nil
}

// read makes a value of the texts under which a parameter was sent. ok is false where more than one stands for one value.
func (p *parameter) read(sent []text) (v value, ok bool) {
	switch {
	case p.shape == anObject && p.style != separated:
		v.kind = isObject
		for _, t := range sent {
			v.add(p.schema.propertyOf(t.property), t.property, t.text)
		}
		return v, true
	case p.shape == anArray && p.style == repeated:
		v.kind = isList
		for _, t := range sent {
			v.items = append(v.items, value{kind: isText, raw: true, text: t.text})
		}
		return v, true
	case len(sent) != 1:
		return v, false
	case p.shape == 0:
		return value{kind: isText, raw: true, text: sent[0].text}, true
	}
	parts := strings.Split(sent[0].text, p.separator)
	if sent[0].text == "" {
		parts = nil
	}
	if p.shape == anArray {
		v.kind = isList
		for _, t := range parts {
			v.items = append(v.items, value{kind: isText, raw: true, text: t})
		}
		return v, true
	}
	v.kind = isObject
	for i := 0; i < len(parts); i++ {
		name, t, _ := strings.Cut(parts[i], "=")
		if !p.pairs {
			name, t = parts[i], ""
			if i++; i < len(parts) {
				t = parts[i]
			}
		}
		v.add(p.schema.propertyOf(name), name, t)
	}
	return v, true
}

// add adds a text as a property; one that comes again is another item, where the schema has a list.
func (v *value) add(s *schema, name, t string) {
	raw := value{kind: isText, raw: true, text: t}
	switch have := v.get(name); {
	case s.shape(0) == anArray && have != nil:
		have.items = append(have.items, raw)
	case s.shape(0) == anArray:
		v.fields = append(v.fields, member{name, value{kind: isList, items: []value{raw}}})
	case have != nil:
		*have = value{kind: isList, items: []value{*have, raw}} // more than one in the place of one: no schema of one takes it
	default:
		v.fields = append(v.fields, member{name, raw})
	}
}
