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
		{"in JSON of any type", "/graphql", "text/plain", `{"query":"` + document + `"}`, counts},
		{"in JSON said to be a document", "/graphql", "application/graphql", `{"query":"` + document + `"}`, "documents 2 depth 3 fields 3 aliases 1 cost 52 introspection 0"},
		{"in a field of any case", "/graphql", json, `{"Query":"` + document + `"}`, counts},
		{"in the operations of a form", "/graphql", form, "operations=" + strings.ReplaceAll(`{"query":"`+document+`","variables":{}}`, " ", "+"), counts},
		{"with variables in the operations, behind another document", "/graphql", form, "query={a(first:$n){b}}&operations=" + `{"variables":{"n":50},"query":"query($n:Int){a(first:$n){b}}"}`, "documents 2 depth 2 fields 4 aliases 0 cost 62 introspection 0"},
		{"behind more comments than are kept", "/graphql", json, `{"query":"` + strings.Repeat(`#\n`, 20_000) + document + `"}`, counts},
		{"behind a line separator", "/graphql", json, "{\"query\":\"\u2028# x\u2028" + document + "\"}", "documents 1 depth 3 fields 3 aliases 1 cost 52 introspection 0"},
		{"in what is a comment for others", "/graphql", json, "{\"query\":\"{ a # x\u2028 b { c } }\"}", "documents 1 depth 2 fields 3 aliases 0 cost 3 introspection 0"},
		{"a number that a name follows", "/graphql", json, `{"query":"{ a(x:1y:2,first:5) { b { c } } }"}`, "documents 1 depth 3 fields 3 aliases 0 cost 11 introspection 0"},
		{"a word that others take for two", "/graphql", json, `{"query":"queryX{ a { b { c } } }"}`, "documents 1 depth 3 fields 3 aliases 0 cost 3 introspection 0"},
		{"a length that is sent for a variable", "/graphql", json, `{"variables":{"n":50,"id":700},"query":"query($n: Int, $id: ID) { a(first: $n, id: $id) { b } }"}`, "documents 1 depth 2 fields 2 aliases 0 cost 51 introspection 0"},
		{"a length that a variable has by default", "/graphql", json, `{"query":"{ ...F } fragment F on Q { a(first: $n) { b } } query Q($n: Int = 50) { ...F }"}`, "documents 1 depth 2 fields 2 aliases 0 cost 51 introspection 0"},
		{"a search", "/search?query=oak+door", json, `{"query":"fragment of a door"}`, ""},
		{"a query of another kind", "/search", json, `{"query":{"match":{"title":"{a}"}}}`, ""},
		{"another field", "/graphql", json, `{"subquery":"{a}","x":{"query":"{a}"},"queries":["{a}"]}`, ""},
	} {
		if got := asked(t, c.target, c.contentType, c.body); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestGraphQLOfOneRequestIsNotAnothers: transactions are used again.
func TestGraphQLOfOneRequestIsNotAnothers(t *testing.T) {
	r, err := Compile(nil, Options{Directives: "SecRuleEngine On\nSecRequestBodyAccess On\nSecRule GRAPHQL:depth \"@gt 2\" \"id:1,phase:2,deny\"\n", Nested: true})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(body string) bool {
		tx := r.New(Start{})
		defer tx.Close()
		tx.RequestLine("POST", "/graphql", "HTTP/1.1")
		tx.RequestHeader("Content-Type", "application/graphql")
		tx.RequestHeadersEnd()
		tx.RequestBody([]byte(body))
		return tx.RequestEnd().Refuses()
	}
	for range 100 {
		if !ask("{a{b{c}}}") {
			t.Fatal("a deep document passes")
		}
		if ask("") {
			t.Fatal("a request is refused for the document of another")
		}
	}
}

func TestGraphQLThatIsTooDeepToReadIsDeep(t *testing.T) {
	got := asked(t, "/", "application/json", `{"query":"`+strings.Repeat("{a", 2000)+`"}`)
	if !strings.Contains(got, "depth 2000 ") {
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
