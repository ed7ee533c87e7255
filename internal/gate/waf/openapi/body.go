package openapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"

	"stormdoor/flow"
)

// media is what an operation takes as a body of a media type.
type media struct {
	name   string // "application/json", "text/*", "*/*"; in lower case
	schema *schema
	read   func(m *media, body []byte) (v value, why string) // nil for a type of which only the name is checked
}

// isJSON reports whether a media type is JSON (RFC 8259, and RFC 6839 for +json).
func isJSON(name string) bool {
	name = mediaType(name)
	return name == "application/json" || name == "text/json" || strings.HasSuffix(name, "+json")
}

const form = "application/x-www-form-urlencoded"

// mediaType is a Content-Type without its parameters, in lower case.
func mediaType(field string) string {
	name, _, _ := strings.Cut(field, ";")
	return strings.ToLower(strings.TrimSpace(name))
}

// body compiles the description of a body.
func (l *loader) body(op *Operation, n *node) {
	if n = l.resolve(n); n == nil {
		return
	}
	op.hasBody, op.required = true, n.is("required")
	content := n.get("content")
	if content == nil || len(content.fields) == 0 {
		l.wrong(n, "the body of %s has no content; name its media types", op.ID)
		return
	}
	for _, f := range content.fields {
		m := media{name: mediaType(f.key), schema: l.schema(f.value.get("schema"))}
		switch {
		case m.schema == nil:
		case isJSON(m.name):
			m.read = func(_ *media, body []byte) (value, string) { return parseJSON(body) }
		case m.name == form:
			m.read = readForm
			if e := f.value.get("encoding"); e != nil {
				l.note(e, "how the properties of a form are written is not looked at: each is read as one value, and a list as values of one name")
			}
			l.formProperties(f.value, m.schema)
		default:
			l.note(f.value, "bodies of the type %s are not looked into: JSON and forms are", m.name)
		}
		op.media = append(op.media, m)
	}
	slices.SortStableFunc(op.media, func(a, b media) int { return strings.Count(a.name, "*") - strings.Count(b.name, "*") })
}

// formProperties notes properties of a form that are no single values or lists of them.
func (l *loader) formProperties(n *node, s *schema) {
	for each := range s.objects(0) {
		for name, p := range each.properties {
			if p.shape(0) == anObject {
				l.note(n, "the property %q of a form is an object, which forms have no one way to write; it is not checked", name)
				each.properties[name] = nil
			}
		}
	}
}

// readForm reads a form as an object.
func readForm(m *media, body []byte) (v value, why string) {
	v.kind = isObject
	n := 0
	eachPair(string(body), "&", func(name, text string) bool {
		if n++; n > mostFormFields {
			why = "a form of fewer fields"
			return false
		}
		v.add(m.schema.propertyOf(name), name, text)
		return true
	})
	return v, why
}

// mostFormFields bounds the fields of a form: each is compared with those before.
const mostFormFields = 1000

// find is what the operation takes of a media type, nil for nothing.
func (op *Operation) find(name string) *media {
	for i := range op.media {
		m := &op.media[i]
		main, _, _ := strings.Cut(name, "/")
		if m.name == name || m.name == "*/*" || m.name == main+"/*" {
			return m
		}
	}
	return nil
}

// WantsBody reports whether a body has to be read to say whether the request is one of the operation.
func (op *Operation) WantsBody(f *flow.Facts) bool {
	m := op.find(mediaType(f.Header.Get("Content-Type")))
	return m != nil && m.read != nil
}

// bodySteps are those that a body may take, and one for each of so many bytes more.
const (
	bodySteps     = 20_000
	bytesOfOneTry = 2
)

// body checks the body of a request.
func (op *Operation) body(f *flow.Facts, b Body, c *checker) Violation {
	if f.Length == 0 || b.Whole && len(b.Bytes) == 0 {
		if op.required {
			return Violation{Kind: WrongBody, Field: "body", Expected: requiredText}
		}
		return Violation{}
	}
	if !op.hasBody {
		return Violation{}
	}
	sent := f.Header.Get("Content-Type")
	m := op.find(mediaType(sent))
	if m == nil {
		return Violation{WrongType, "header.Content-Type", op.types(), clipped(sent, flow.MaxFindingValue)}
	}
	if m.read == nil || !b.Whole {
		return Violation{}
	}
	body, ok := unpacked(f.Header.Get("Content-Encoding"), b.Bytes)
	if !ok {
		return Violation{WrongType, "header.Content-Encoding", "none, or gzip, of at most 50 times its size", clipped(f.Header.Get("Content-Encoding"), flow.MaxFindingValue)}
	}
	v, why := m.read(m, body)
	if why != "" {
		return Violation{WrongBody, "body", why, clipped(string(body[:min(len(body), 2*flow.MaxFindingValue)]), flow.MaxFindingValue)}
	}
	c.steps, c.trying = bodySteps+len(body)/bytesOfOneTry, 0
	if !c.check(m.schema, &v) {
		return Violation{WrongBody, clipped(c.place("body"), 2*flow.MaxFindingValue), c.expected, clipped(c.found, flow.MaxFindingValue)}
	}
	return Violation{}
}

func (op *Operation) types() string {
	names := make([]string, 0, len(op.media))
	for i := range op.media {
		names = append(names, op.media[i].name)
	}
	if len(names) == 1 {
		return names[0]
	}
	return clipped("one of "+strings.Join(names, ", "), mostSaid)
}

// mostUnpacked bounds what a body may unfold to, times its size.
const mostUnpacked = 50

// unpacked undoes a Content-Encoding; ok is false for one that is not known, and for what is not packed so.
func unpacked(encoding string, body []byte) (_ []byte, ok bool) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, true
	case "gzip", "x-gzip":
	default:
		return nil, false
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	most := int64(mostUnpacked * len(body))
	out, err := io.ReadAll(io.LimitReader(z, most+1))
	return out, err == nil && int64(len(out)) <= most
}
