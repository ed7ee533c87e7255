package openapi

import (
	"strings"
	"sync"

	"stormdoor/flow"
)

// Kind is what a request has wrong with it.
type Kind uint8

// What a request has wrong with it. The zero value: nothing.
const (
	Conforms       Kind = iota
	WrongPath           // the document has no such path
	WrongMethod         // the path has no such method
	WrongParameter      // in the query, the path, a header or a cookie
	WrongType           // the media type of the body
	WrongBody
	Kinds // how many there are
)

// String names a kind as metrics do.
func (k Kind) String() string {
	return [...]string{"conforms", "path", "method", "parameter", "type", "body"}[k]
}

// Violation is the first thing that a request has wrong with it. The zero Violation is none.
type Violation struct {
	Kind Kind
	// Field is where it stands: "query.limit", "body.items[2].name". Expected says what would have been right, in words that
	// follow "expected". Value is what stood there, a part of it; it comes from the client.
	Field, Expected, Value string
}

// Body is what is known of the body of a request.
type Body struct {
	Bytes []byte
	// Whole says that Bytes are all of it. Otherwise only the media type is looked at.
	Whole bool
}

// Result is what a document says of a request.
type Result struct {
	// Operation is the one that the request is for; nil for one that the document does not have.
	Operation *Operation
	Violation Violation
	// Allowed are the methods of the path, where the method is wrong.
	Allowed string
}

// text is a value as it was sent, with the property that it is of.
type text struct{ property, text string }

// scratch is what the check of a request needs for a while.
type scratch struct {
	places [maxPlaces]string
	sent   [][]text // by parameter
	check  checker
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Match finds the operation that a request is for.
func (d *Document) Match(f *flow.Facts) *Operation {
	var places [maxPlaces]string
	r, _ := d.match(f, places[:0])
	return r.Operation
}

func (d *Document) match(f *flow.Facts, places []string) (r Result, values []string) {
	path, _ := strings.CutPrefix(f.Path.Clean, "/")
	item, values := d.tree.find(path, places)
	if item == nil {
		r.Violation = Violation{Kind: WrongPath, Field: "path", Expected: "a path that this API has"}
		return r, values
	}
	r.Operation = item.operations[f.Method]
	if r.Operation == nil && f.Method == "HEAD" {
		r.Operation = item.operations["GET"]
	}
	if r.Operation == nil && f.Method != "OPTIONS" {
		r.Allowed = strings.Join(item.allowed, ", ")
		r.Violation = Violation{Kind: WrongMethod, Field: "method", Expected: r.Allowed, Value: clipped(f.Method, mostName)}
	}
	return r, values
}

// Options say how closely a request is judged. The zero value: as the document says.
type Options struct {
	// Strict lets no parameter of the query pass that the document does not have.
	Strict bool
	// Bare says that of a request nothing is known but its method, path and query, as of one in a log.
	Bare bool
}

// Judge says what is wrong with a request, the first thing of it. A request for OPTIONS on a path that the document has passes.
func (d *Document) Judge(f *flow.Facts, body Body, o Options) Result {
	s := scratches.Get().(*scratch)
	defer s.release()
	r, places := d.match(f, s.places[:0])
	if r.Operation == nil || r.Violation.Kind != Conforms {
		return r
	}
	op := r.Operation
	s.gather(op, f, places)
	r.Violation = d.parameters(op, f, s, o)
	if r.Violation.Kind == Conforms && !o.Bare {
		r.Violation = op.body(f, body, &s.check)
	}
	return r
}

// release gives the scratch back without anything of the request, however its check has ended.
func (s *scratch) release() {
	for i := range s.sent {
		clear(s.sent[i])
		s.sent[i] = s.sent[i][:0]
	}
	s.places = [maxPlaces]string{}
	scratches.Put(s)
}

// parameterSteps are those that the parameters of a request may take.
const parameterSteps = 20_000

// parameters checks what was gathered.
func (d *Document) parameters(op *Operation, f *flow.Facts, s *scratch, o Options) Violation {
	s.check.steps, s.check.trying = parameterSteps, 0
	for i, p := range op.parameters {
		if o.Bare && p.in >= inHeader {
			continue
		}
		if v := p.judge(s.sent[i], &s.check); v.Kind != Conforms {
			return v
		}
	}
	if !o.Strict || op.free {
		return Violation{}
	}
	var out Violation
	eachPair(f.Query, "&", func(name, value string) bool {
		if _, known := op.slotOf(name); known || d.keys[name] || name == "" {
			return true
		}
		out = Violation{WrongParameter, "query." + clipped(name, mostName), "no such parameter", clipped(value, flow.MaxFindingValue)}
		return false
	})
	return out
}

// judge checks a parameter by what was sent of it.
func (p *parameter) judge(sent []text, c *checker) Violation {
	if len(sent) == 0 {
		if !p.required {
			return Violation{}
		}
		expected := requiredText
		if p.schema != nil && p.schema.says != "" {
			expected += ": " + p.schema.says
		}
		return Violation{Kind: WrongParameter, Field: p.field, Expected: expected}
	}
	if len(sent) == 1 && sent[0].text == "" && p.mayBeEmpty {
		return Violation{}
	}
	wrong := func(field, expected, found string) Violation {
		return Violation{WrongParameter, field, expected, clipped(found, flow.MaxFindingValue)}
	}
	v, ok := p.read(sent)
	switch {
	case !ok:
		return wrong(p.field, "one value", sent[1].text)
	case p.style == asJSON:
		parsed, why := parseJSON([]byte(v.text))
		if why != "" {
			return wrong(p.field, why, v.text)
		}
		v = parsed
	}
	if !c.check(p.schema, &v) {
		return wrong(c.place(p.field), c.expected, c.found)
	}
	return Violation{}
}

// gather collects what was sent of each parameter.
func (s *scratch) gather(op *Operation, f *flow.Facts, places []string) {
	for len(s.sent) < len(op.parameters) {
		s.sent = append(s.sent, nil)
	}
	put := func(i int, property, t string) { s.sent[i] = append(s.sent[i], text{property, t}) }
	if len(op.query) > 0 {
		eachPair(f.Query, "&", func(name, value string) bool {
			if at, ok := op.slotOf(name); ok {
				put(at.parameter, at.property, value)
			}
			return true
		})
	}
	for i, p := range op.parameters {
		switch p.in {
		case inPath:
			if p.place >= 0 && p.place < len(places) {
				put(i, "", places[p.place])
			}
		case inHeader:
			for j := range f.Header.Len() {
				if h := f.Header.At(j); flow.EqualFold(h.Name, p.name) {
					put(i, "", h.Value)
				}
			}
		case inCookie:
			s.cookies(p.name, f, func(t string) { put(i, "", t) })
		}
	}
}

// cookies calls put with the values of a cookie.
func (s *scratch) cookies(name string, f *flow.Facts, put func(string)) {
	for j := range f.Header.Len() {
		h := f.Header.At(j)
		if !flow.EqualFold(h.Name, "Cookie") {
			continue
		}
		for pair := range strings.SplitSeq(h.Value, ";") {
			if n, value, ok := strings.Cut(strings.TrimLeft(pair, " "), "="); ok && n == name {
				put(strings.Trim(value, `"`))
			}
		}
	}
}

// slotOf is where a name of the query belongs.
func (op *Operation) slotOf(name string) (slot, bool) {
	if at, ok := op.query[name]; ok && (op.parameters[at.parameter].style != deep) {
		return at, true
	}
	base, property, found := strings.Cut(name, "[")
	if !found || !strings.HasSuffix(property, "]") {
		return slot{}, false
	}
	at, ok := op.query[base]
	if !ok || op.parameters[at.parameter].style != deep {
		return slot{}, false
	}
	return slot{at.parameter, strings.TrimSuffix(property, "]")}, true
}

// eachPair calls f with the names and values of a query or a form, decoded, until it returns false.
func eachPair(query, separator string, f func(name, value string) bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, separator)
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if !f(unescape(name), unescape(value)) {
			return
		}
	}
}

// unescape decodes a name or a value of a query. A percent sign that begins no escape stands for itself.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && hex(s[i+1]) >= 0 && hex(s[i+2]) >= 0:
			b = append(b, byte(hex(s[i+1])<<4|hex(s[i+2])))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
