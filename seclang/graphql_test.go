package seclang

import (
	"fmt"
	"strings"
	"testing"
)

// asked is what GRAPHQL holds of a request, "" for nothing.
func asked(t *testing.T, target, contentType, body string) string {
	t.Helper()
	r, err := Compile(nil, Options{Directives: "SecRuleEngine On\nSecRequestBodyAccess On\nSecRule REQUEST_HEADERS:Content-Type \"json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\nSecRule GRAPHQL \"@unconditionalMatch\" \"id:2,phase:2,log,pass\"\n", Nested: true})
	if err != nil {
		t.Fatal(err)
	}
	tx := r.New(Start{})
	defer tx.Close()
	tx.RequestLine("POST", target, "HTTP/1.1")
	tx.RequestHeader("Content-Type", contentType)
	tx.RequestHeadersEnd()
	tx.RequestBody([]byte(body))
	tx.RequestEnd()
	var b strings.Builder
	for _, m := range tx.Matches() {
		for _, v := range m.Values {
			fmt.Fprintf(&b, "%s %s ", v.Key, v.Value)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestGraphQLIsCountedWhereverItStands(t *testing.T) {
	const json, form = "application/json", "application/x-www-form-urlencoded"
	const document = `{ user(id: 7) { friends(first: 50) { n: name } } }`
	const counts = "documents 1 depth 3 fields 3 aliases 1 cost 52 introspection 0"
	for _, c := range []struct{ name, target, contentType, body, want string }{
		{"a document as the body", "/graphql", "application/graphql", document, counts},
		{"in JSON", "/graphql", json, `{"operationName":null,"variables":{"query":"{a}"},"query":"` + document + `"}`, counts},
		{"behind a remark and a byte order mark", "/graphql", json, `{"query":"\ufeff # x\n query Q { a }"}`, "documents 1 depth 1 fields 1 aliases 0 cost 1 introspection 0"},
		{"in a list of JSON", "/graphql", json, `[{"query":"{a{b}}"},{"query":"mutation{c:d}"}]`, "documents 2 depth 2 fields 3 aliases 1 cost 3 introspection 0"},
		{"in a form", "/graphql", form, "query=" + strings.ReplaceAll(document, " ", "+"), counts},
		{"in the address", "/graphql?query=" + strings.ReplaceAll(document, " ", "+"), "", "", counts},
		{"of several operations the largest", "/graphql", json, `{"query":"query A { a b c } query B { a: b }"}`, "documents 1 depth 1 fields 3 aliases 1 cost 3 introspection 0"},
		{"what asks for the schema", "/graphql", json, `{"query":"{ s: __schema { types { name } } ...F } fragment F on Query { __type(name: \"T\") { name } }"}`, "documents 1 depth 3 fields 5 aliases 1 cost 5 introspection 2"},
		{"with a description", "/graphql", json, `{"query":"\"\"\"what it is for\"\"\" query Q(\"a number\" $n: Int) { a(n: $n) }"}`, "documents 1 depth 1 fields 1 aliases 0 cost 1 introspection 0"},
		{"a fragment with variables", "/graphql", json, `{"query":"{ ...F } fragment F($n: Int = 1) on T { a: b }"}`, "documents 1 depth 1 fields 1 aliases 1 cost 1 introspection 0"},
		{"what breaks off counts as far as it goes", "/graphql", json, `{"query":"{ a: b { c: d"}`, "documents 1 depth 2 fields 2 aliases 2 cost 2 introspection 0"},
		{"a search", "/search?query=oak+door", json, `{"query":"fragment of a door"}`, ""},
		{"a query of another kind", "/search", json, `{"query":{"match":{"title":"{a}"}}}`, ""},
		{"another field", "/graphql", json, `{"subquery":"{a}","x":{"query":"{a}"},"queries":["{a}"]}`, ""},
	} {
		if got := asked(t, c.target, c.contentType, c.body); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestGraphQLThatIsTooDeepToReadIsDeep(t *testing.T) {
	got := asked(t, "/", "application/json", `{"query":"`+strings.Repeat("{a", 2000)+`"}`)
	if !strings.Contains(got, "depth 1025 ") {
		t.Errorf("%q", got)
	}
}

// A program reads in a literal what its escapes stand for, and so do the rules.
func TestGraphQLLiteralsAreUnescaped(t *testing.T) {
	found := looked(t, true, "/", "application/x-www-form-urlencoded", `query={a(b:"needle\u0028")}`, "")
	if v, ok := found[1]; !ok || v.Key != "query" {
		t.Errorf("%v", found)
	}
}
