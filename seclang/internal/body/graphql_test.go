package body

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestGraphQL(t *testing.T) {
	for text, want := range map[string]string{
		`{a}`: "query  depth 1 fields 1 aliases 0 cost 1",
		`query Q($n: Int = 5, $s: [String!]! = ["x"]) @d(a: "y") { user(id: "1' or 1=1") { n: name, friends(first: 50) { name posts(last: $n) { title } } } }`: "query Q depth 4 fields 6 aliases 1 cost 353",
		"mutation M { a(in: {k: \"\"\"b\"c\"\"\", l: [1, -2.5e+3, true, E]}) } # end":                                                                          "mutation M depth 1 fields 1 aliases 0 cost 1",
		`query { ...F ... on T @include(if: $x) { b } } fragment F on T { c { d ...G } } fragment G on T { e: f }`:                                             "query  depth 2 fields 4 aliases 1 cost 4",
		`{ a(limit: 1000) { b(first: 1000) { ...F } } } fragment F on T { c(limit: 1000000) { d(limit: 1000000) { e } } }`:                                     "query  depth 5 fields 5 aliases 0 cost 1099511627776",
		`query A { a } subscription B { b c }`: "query A depth 1 fields 1 aliases 0 cost 1|subscription B depth 1 fields 2 aliases 0 cost 2",
	} {
		var f Fields
		GraphQL([]byte(text), Limits{}, &f)
		var got []string
		for _, o := range f.Operations {
			got = append(got, fmt.Sprintf("%s %s depth %d fields %d aliases %d cost %d", o.Type, o.Name, o.Depth, o.Fields, o.Aliases, o.Cost))
		}
		if strings.Join(got, "|") != want || f.Problem.Kind != None {
			t.Errorf("%s:\n%s %+v, want\n%s", text, strings.Join(got, "|"), f.Problem, want)
		}
	}
}

func TestGraphQLStrings(t *testing.T) {
	text := `query($v: S = "d\u0065f") { a(id: "1' or \"1\"=1", in: {k: ["x", """b"c"""]}) @d(z: "") { b } } # x`
	var f Fields
	GraphQL([]byte(text), Limits{}, &f)
	if got, want := list(f.Args), `graphql.v=def;graphql.id=1' or "1"=1;graphql.k=x;graphql.k=b"c;graphql.z=;graphql.#= x;`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestGraphQLProblems(t *testing.T) {
	for text, want := range map[string]Kind{
		`{a`: Malformed, `{a(b:)}`: Malformed, `{a(b:"x)}`: Malformed, `{a(b:"\`: Malformed, `type T { a: B }`: Malformed, `{}}`: Malformed,
		`{a{b{c{d}}}}`: TooDeep, `{...{...{...{d}}}}`: TooDeep, `{a(b:[[[[1]]]])}`: TooDeep, `{a(b:"1",c:"2",d:"3",e:"4")}`: TooManyFields,
		`{a} {b} {c} {d}`: TooManyFields, `{...F} fragment F on T {...F}`: Malformed, `{...F} fragment F on T {a ...G} fragment G on T {...F}`: Malformed,
		`{...A}fragment A on T{...B}`: None,
	} {
		var f Fields
		GraphQL([]byte(text), Limits{Depth: 3, Fields: 3}, &f)
		if f.Problem.Kind != want {
			t.Errorf("%s: %+v, want %v", text, f.Problem, want)
		}
	}
}

// TestHostileGraphQLIsReadOnce: none of these texts sends the readers to its end again and again. With that they would take hours.
func TestHostileGraphQLIsReadOnce(t *testing.T) {
	for name, part := range map[string]string{
		"comments that end in half a line end": "#\r", "block strings that never end": "\\\"\"\"\n", "strings that never end": "\\\"\\\n", "quotes": "\"\n",
		"variables": "$a=", "names": "a ", "brackets": "{(", "separators": "#\u2028",
	} {
		text := []byte("\"\"\"\n{ a(first: $n) " + strings.Repeat(part, 8<<20/len(part)))
		Loose(text)
		var f Fields
		GraphQL(text[4:], Limits{Fields: 1 << 20, Depth: 1 << 20}, &f)
		if f.Problem.Kind == None {
			t.Errorf("%s: read to its end", name)
		}
	}
}

func FuzzGraphQL(f *testing.F) {
	f.Add([]byte(`query Q($n: Int = 5) @d { a: b(first: $n, in: {k: "\u0041"}) { ...F ... on T { c } } } fragment F on T { d """x""" }`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var out Fields
		limits := Limits{Fields: 10, Depth: 5}
		GraphQL(text, limits, &out)
		checkSane(t, &out, len(text), limits)
		for _, o := range out.Operations {
			if o.Cost < 0 || o.Cost > costCeiling || o.Depth > 40 || o.Fields < 0 {
				t.Errorf("%q: %+v", text, o)
			}
		}
		// What is read word by word is a document that fragments do not multiply: its tokens tell as much.
		loose := Loose(text)
		if out.Problem.Kind != None || bytes.Contains(text, []byte("...")) {
			return
		}
		for _, o := range out.Operations {
			if loose.Depth < o.Depth || loose.Fields < o.Fields || loose.Aliases < o.Aliases || loose.Introspection < o.Introspection || loose.Cost < o.Cost && !bytes.Contains(text, []byte("$")) {
				t.Errorf("%q: %+v, by its tokens %+v", text, o, loose)
			}
		}
	})
}
