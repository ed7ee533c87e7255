package seclang

import (
	"bytes"
	"strconv"
	"strings"

	"stormdoor/seclang/internal/body"
)

// readGraphQL sets GRAPHQL from the documents that a request asks a server of GraphQL to execute: its body, if that is one, and the
// field query of JSON, of each object of a JSON array, of a form and of the address (GraphQL over HTTP, July 2025, section 6), and of the
// JSON in the field operations of a form (GraphQL multipart requests). JSON is looked for whatever the body's type says, because servers
// do. Only one operation of a document is executed, the largest counts; of several documents all are. What literals hold in escapes is
// looked at as nested values are.
func (t *Transaction) readGraphQL() {
	if !t.rules.nested {
		return
	}
	g := graphQLReader{t: t}
	t.operations.Reset()
	if kind := t.singles[reqbodyProcessor]; kind != "JSON" && kind != "XML" && kind != "MULTIPART" {
		g.json(t.bodyText)
	}
	ofBody := len(t.operations.Args)
	for i := range t.fields[argsPost] {
		if f := &t.fields[argsPost][i]; strings.EqualFold(f.key, operations) {
			g.json(bytesOf(f.value))
		}
	}
	// The variables of a document may be in any of it, so that documents come afterwards.
	if t.isGraphQL() && len(t.bodyText) > 0 {
		g.document("", stringOf(t.bodyText))
	}
	for i := range t.operations.Args {
		shown := ""
		if i >= ofBody {
			shown = operations
		}
		g.field(shown, t.operations.Args[i].Name, t.operations.Args[i].Value)
	}
	for _, from := range [...]collection{argsGet, argsPost} {
		for i := range t.fields[from] {
			g.field(t.fields[from][i].key, t.fields[from][i].key, t.fields[from][i].value)
		}
	}
	g.tell()
}

// graphQLReader adds up what the documents of a request ask for.
type graphQLReader struct {
	t         *Transaction
	numbers   map[string]int // the variables that are numbers, by the whole name in lower case; nil until one is wanted
	documents int
	sum       body.Operation
}

// json reads the fields of what is JSON and has a field of that name.
func (g *graphQLReader) json(text []byte) {
	if text = bytes.TrimLeft(text, " \t\r\n\ufeff"); len(text) == 0 || text[0] != '{' && text[0] != '[' || !bytes.Contains(bytes.ToLower(text[:min(len(text), jsonLook)]), []byte(query)) {
		return
	}
	t := g.t
	t.cost.Work += int64(len(text))
	body.JSON(text, body.Limits{Fields: t.set.arguments, Depth: t.set.requestJSONDepth, Partial: true}, &t.operations)
}

// jsonLook is how far a body that is not said to be JSON is looked at for the name of a field with a document.
const jsonLook = 128 << 10

// field reads a field in which a document may be. Findings in its literals are reported for the field shown.
func (g *graphQLReader) field(shown, name, text string) {
	if !asksGraphQL(name) || !opensGraphQL(text) {
		return
	}
	g.document(name, text)
	t := g.t
	for _, v := range t.documents.Args {
		if strings.IndexByte(text[v.Start:v.End], '\\') >= 0 {
			t.addNested(shown, t.arena.keep(append(t.arena.free(), v.Value...)))
		}
	}
}

// document counts one document. Where we cannot read it to its end, or where programs read lines differently, whoever executes it may, so
// that at least what its tokens ask for counts; where its end is in another piece of the body it counts as too deep.
func (g *graphQLReader) document(name, text string) {
	t := g.t
	t.cost.Work += int64(len(text))
	d := &t.documents
	d.Reset()
	body.GraphQL(bytesOf(text), body.Limits{Fields: t.set.arguments, Depth: t.set.requestJSONDepth, Variable: func(variable string) (int, bool) { return g.number(name, variable) }}, d)
	var most body.Operation
	for _, o := range d.Operations {
		most = largest(most, o)
	}
	if d.Problem.Kind != body.None || body.Ambiguous(bytesOf(text)) {
		t.cost.Work += int64(len(text))
		most = largest(most, body.Loose(bytesOf(text)))
	}
	if most.Fields == 0 && most.Depth == 0 {
		return // it is none
	}
	if d.Problem.Kind == body.TooDeep || t.piece && len(text) > t.set.requestLimit/2 {
		most.Depth = max(most.Depth, t.set.requestJSONDepth+1)
	}
	g.documents++
	s := &g.sum
	s.Depth = max(s.Depth, most.Depth)
	s.Fields, s.Aliases, s.Introspection = s.Fields+most.Fields, s.Aliases+most.Aliases, s.Introspection+most.Introspection
	s.Cost += most.Cost
}

func largest(a, b body.Operation) body.Operation {
	return body.Operation{
		Depth: max(a.Depth, b.Depth), Fields: max(a.Fields, b.Fields), Aliases: max(a.Aliases, b.Aliases),
		Cost: max(a.Cost, b.Cost), Introspection: max(a.Introspection, b.Introspection),
	}
}

// number is what is sent for a variable of the document in a field: "json.variables.n" for one in "json.query".
func (g *graphQLReader) number(field, variable string) (int, bool) {
	if len(field) < len(query) {
		return 0, false
	}
	const variables = "variables."
	if g.numbers == nil {
		g.numbers = map[string]int{}
		note := func(name, value string) {
			if n, err := strconv.Atoi(value); err == nil {
				if name = strings.ToLower(name); strings.Contains(name, variables) {
					g.numbers[name] = max(g.numbers[name], n)
				}
			}
		}
		for i := range g.t.fields[argsPost] {
			note(g.t.fields[argsPost][i].key, g.t.fields[argsPost][i].value)
		}
		for i := range g.t.operations.Args {
			note(g.t.operations.Args[i].Name, g.t.operations.Args[i].Value)
		}
	}
	n, ok := g.numbers[strings.ToLower(field[:len(field)-len(query)]+variables+variable)]
	return n, ok
}

// tell sets the variable.
func (g *graphQLReader) tell() {
	if g.documents == 0 {
		return
	}
	t := g.t
	add := func(key string, n int) {
		t.fields[graphQL] = append(t.fields[graphQL], field{key: key, folded: key, value: t.arena.number(n)})
	}
	add("documents", g.documents)
	add("depth", g.sum.Depth)
	add("fields", g.sum.Fields)
	add("aliases", g.sum.Aliases)
	add("cost", g.sum.Cost)
	add("introspection", g.sum.Introspection)
}

// The names of the fields with a document, and with JSON that holds some.
const (
	query      = "query"
	operations = "operations"
)

// asksGraphQL reports whether a field is one in which a document of GraphQL comes: query, json.query or json.<number>.query. There are
// servers that do not mind the case.
func asksGraphQL(key string) bool {
	if len(key) < len(query) || !strings.EqualFold(key[len(key)-len(query):], query) {
		return false
	}
	key = key[:len(key)-len(query)]
	if key == "" || key == "json." {
		return true
	}
	number, ok := strings.CutPrefix(key, "json.")
	number, dot := strings.CutSuffix(number, ".")
	return ok && dot && number != "" && strings.Trim(number, "0123456789") == ""
}

// blankGraphQL is what may stand before a document.
const blankGraphQL = " \t\r\n,\ufeff\u2028\u2029"

// opensGraphQL reports whether a text begins as a document of GraphQL does.
func opensGraphQL(s string) bool {
	for s = strings.TrimLeft(s, blankGraphQL); strings.HasPrefix(s, "#"); s = strings.TrimLeft(s, blankGraphQL) {
		end := strings.IndexAny(s, "\r\n\u2028\u2029")
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	for _, begin := range [...]string{"{", "query", "mutation", "subscription", "fragment", `"`} {
		if strings.HasPrefix(s, begin) {
			return true
		}
	}
	return false
}
