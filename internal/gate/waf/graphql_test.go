package waf

import (
	"fmt"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// introspection is what tools ask a server of GraphQL to learn its schema.
const introspection = `query IntrospectionQuery { __schema { queryType { name } mutationType { name } types { ...FullType } directives { name locations args { ...InputValue } } } }
fragment FullType on __Type { kind name fields(includeDeprecated: true) { name args { ...InputValue } type { ...TypeRef } } inputFields { ...InputValue } enumValues(includeDeprecated: true) { name } possibleTypes { ...TypeRef } }
fragment InputValue on __InputValue { name type { ...TypeRef } defaultValue }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }`

func inspectGraphQL(t *testing.T, s *Stage, document string) flow.Verdict {
	t.Helper()
	body := fmt.Sprintf(`{"operationName":null,"variables":{},"query":%q}`, document)
	f := facts("POST", "/graphql", "", "Content-Type", "application/json")
	f.Length = int64(len(body))
	v, held := s.Inspect(f, strings.NewReader(body))
	held.Release()
	return v
}

// What exhausts a server of GraphQL is refused by its own rule, and what clients ask for is not.
func TestGraphQLIsBounded(t *testing.T) {
	guesses := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `a%d: login(user: "bob", password: "%06d") { token } `, i, i)
		}
		return "mutation { " + b.String() + "}"
	}
	bomb := "{ ...F0 }"
	for i := range 14 {
		bomb += fmt.Sprintf(" fragment F%d on T { ...F%d ...F%d }", i, i+1, i+1)
	}
	bomb += " fragment F14 on T { a }"
	refusing := func(p *policy.Policy) { p.WAF.GraphQL.Introspection = policy.IntrospectionRefused }
	for _, c := range []struct {
		name, document string
		rule           int // 0: it passes
		change         func(*policy.Policy)
	}{
		{"a page of a shop", `query Products($n: Int!) { products(first: $n) { edges { node { id title variants(first: 10) { edges { node { price } } } } } } }`, 0, nil},
		{"the whole schema", introspection, 0, nil},
		{"the whole schema, which is nobody's business", introspection, 9001105, refusing},
		{"the type of what is there", "{ node(id: 7) { __typename id } }", 0, refusing},
		{"a few logins", guesses(20), 0, nil},
		{"many passwords at once", guesses(700), 9001101, nil},
		{"friends of friends", strings.Repeat("{ friends ", 40) + strings.Repeat("}", 40), 9001100, nil},
		{"lists of lists", "{ a(first: 200) { b(first: 100) { c(first: 100) { d(first: 100) { e } } } } }", 9001103, nil},
		{"fragments that double", bomb, 9001102, nil},
		{"the policy's own bound", "{ a { b { c { d } } } }", 9001100, func(p *policy.Policy) { p.WAF.GraphQL.Depth = 3 }},
	} {
		change := c.change
		if change == nil {
			change = func(*policy.Policy) {}
		}
		v := inspectGraphQL(t, stage(t, policy.WAFBlocks, change), c.document)
		found := 0
		if v.Found != nil {
			for _, f := range v.Found.Matches {
				if f.Rule/100 == 90011 {
					found = f.Rule
				}
			}
		}
		if found != c.rule || (v.Action == flow.Refuse) != (c.rule != 0) {
			t.Errorf("%s: %+v, %+v", c.name, v, v.Found)
		}
	}
	batch := "[" + strings.Repeat(`{"query":"{a}"},`, 60) + `{"query":"{a}"}]`
	f := facts("POST", "/graphql", "", "Content-Type", "application/json")
	f.Length = int64(len(batch))
	v, held := stage(t, policy.WAFBlocks, func(*policy.Policy) {}).Inspect(f, strings.NewReader(batch))
	held.Release()
	if v.Action != flow.Refuse {
		t.Errorf("61 documents at once: %+v", v)
	}
}

// A document behind much else is bounded as any, and so is one of which no piece of a long body holds the end.
func TestGraphQLInALongBodyIsBounded(t *testing.T) {
	padding := strings.Repeat("door ", 3*small/5)
	deep := strings.Repeat("{ friends ", 40) + strings.Repeat("}", 40)
	for name, c := range map[string]struct {
		document string
		refused  bool
	}{
		"a plain one":                      {"{ user { name } }", false},
		"a deep one":                       {deep, true},
		"a deep one behind a long comment": {"query A { a } # " + strings.Repeat("door ", 3*small/5) + "\n" + deep, true},
		"a deep one behind many fields":    {"{" + strings.Repeat(" a", 3*small/2) + deep + "}", true},
	} {
		body := fmt.Sprintf(`{"variables":{"text":"%s"},"query":%q}`, padding, c.document)
		f := facts("POST", "/graphql", "", "Content-Type", "application/json")
		f.Length = int64(len(body))
		if v, got, _ := read(t, followed(t, policy.WAFBlocks), f, strings.NewReader(body)); (v.Action == flow.Refuse) != c.refused || c.refused && got == body {
			t.Errorf("%s: %+v, %d of %d bytes went on", name, v, len(got), len(body))
		}
	}
}
