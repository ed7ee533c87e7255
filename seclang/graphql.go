package seclang

import (
	"strings"

	"stormdoor/seclang/internal/body"
)

// readGraphQL sets GRAPHQL from the documents that a request asks a server of GraphQL to execute: its body, if that is one, and the
// field query of JSON, of each object of a JSON array, of a form and of the address (GraphQL over HTTP, July 2025, section 6).
// Only one operation of a document is executed, the largest counts; of several documents all are. What its literals hold in escapes is
// looked at as nested values are.
func (t *Transaction) readGraphQL() {
	if !t.rules.nested {
		return
	}
	sum := graphQLCounts{depth: -1}
	if len(t.parsed.Operations) > 0 {
		sum.add(&t.parsed, 0)
	}
	t.documents.Reset()
	for _, from := range [...]collection{argsGet, argsPost} {
		for i := range t.fields[from] {
			if f := &t.fields[from][i]; asksGraphQL(f.key) && opensGraphQL(f.value) {
				t.graphQLDocument(f.key, f.value, &sum)
			}
		}
	}
	if sum.depth < 0 {
		return
	}
	add := func(key string, n int) {
		t.fields[graphQL] = append(t.fields[graphQL], field{key: key, folded: key, value: t.arena.number(n)})
	}
	add("documents", sum.documents)
	add("depth", sum.depth)
	add("fields", sum.fields)
	add("aliases", sum.aliases)
	add("cost", sum.cost)
	add("introspection", sum.introspection)
}

// graphQLDocument adds one document. Where it cannot be read to its end, what was read counts: nothing of it, if it is none.
func (t *Transaction) graphQLDocument(key, text string, sum *graphQLCounts) {
	t.cost.Work += int64(len(text))
	d := &t.documents
	before, values := len(d.Operations), len(d.Args)
	d.Problem = body.Problem{}
	body.GraphQL(bytesOf(text), body.Limits{Fields: t.set.arguments, Depth: t.set.requestJSONDepth}, d)
	if len(d.Operations) == before {
		return
	}
	sum.add(d, before)
	cut := t.piece && len(text) > t.set.requestLimit/2 // it is so long that its end is in another piece
	switch kind := d.Problem.Kind; {
	case kind == body.TooDeep, kind != body.None && cut:
		sum.depth = max(sum.depth, t.set.requestJSONDepth+1)
	case kind == body.TooManyFields:
		sum.fields = max(sum.fields, t.set.arguments+1)
	}
	for _, v := range d.Args[values:] {
		if strings.IndexByte(text[v.Start:v.End], '\\') >= 0 {
			t.addNested(key, v.Value)
		}
	}
}

// graphQLCounts are what the documents of a request add up to.
type graphQLCounts struct {
	documents, depth, fields, aliases, cost, introspection int
}

// add adds a document, whose operations are those of d from first on.
func (c *graphQLCounts) add(d *body.Fields, first int) {
	var most graphQLCounts
	for _, o := range d.Operations[first:] {
		most.depth, most.fields, most.aliases, most.cost = max(most.depth, o.Depth), max(most.fields, o.Fields), max(most.aliases, o.Aliases), max(most.cost, o.Cost)
		most.introspection = max(most.introspection, o.Introspection)
	}
	c.documents++
	c.depth = max(c.depth, most.depth)
	c.fields, c.aliases, c.cost, c.introspection = c.fields+most.fields, c.aliases+most.aliases, c.cost+most.cost, c.introspection+most.introspection
}

// asksGraphQL reports whether a field is one in which a document of GraphQL comes: query, json.query or json.<number>.query.
func asksGraphQL(key string) bool {
	const name = "query"
	if !strings.HasSuffix(key, name) {
		return false
	}
	key = key[:len(key)-len(name)]
	if key == "" || key == "json." {
		return true
	}
	number, ok := strings.CutPrefix(key, "json.")
	number, dot := strings.CutSuffix(number, ".")
	return ok && dot && number != "" && strings.Trim(number, "0123456789") == ""
}

// opensGraphQL reports whether a text begins as a document of GraphQL does.
func opensGraphQL(s string) bool {
	for s = strings.TrimLeft(s, " \t\r\n,\ufeff"); strings.HasPrefix(s, "#"); s = strings.TrimLeft(s, " \t\r\n,\ufeff") {
		end := strings.IndexAny(s, "\r\n")
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
