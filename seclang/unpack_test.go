package seclang

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const bodyRules = `SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "@beginsWith application/json" "id:3,phase:1,nolog,pass,ctl:requestBodyProcessor=JSON"
SecRule ARGS "@contains needle" "id:1,phase:2,log,pass,t:none"
SecRule REQBODY_ERROR "!@eq 0" "id:2,phase:2,log,pass"
`

// Compressed bodies are judged by what they hold, and what unfolds beyond measure is a body that cannot be read.
func TestCompressedBodies(t *testing.T) {
	form := "application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, coding, contentType, body string
		nested                          bool
		want                            int
	}{
		{"gzip", "gzip", "application/json", zipped(t, `{"a":"needle"}`), true, 1},
		{"two codings", "gzip, gzip", "application/json", zipped(t, zipped(t, `{"a":"needle"}`)), true, 1},
		{"a form", "gzip", form, zipped(t, "a=b"), true, 2},
		{"only where it is asked for", "gzip", form, zipped(t, "a=needle"), false, 0},
		{"not what it says", "gzip", form, "a=needle", true, 2},
		{"a coding that nobody knows", "lzma", form, "a=needle", true, 2},
		{"a bomb", "gzip", form, zipped(t, "a="+strings.Repeat("x", 4<<20)), true, 2},
		{"GraphQL", "", "application/graphql; charset=utf-8", `{ user(id: "needle") { name } }`, true, 1},
		{"GraphQL only where it is asked for", "", "application/graphql", `{ user(id: "needle") { name } }`, false, 0},
		{"broken GraphQL", "", "application/graphql", `{ user(id: `, true, 2},
	} {
		r, err := Compile(nil, Options{Directives: bodyRules, Nested: c.nested})
		if err != nil {
			t.Fatal(err)
		}
		tx := r.New(Start{})
		tx.RequestLine("POST", "/", "HTTP/1.1")
		tx.RequestHeader("Content-Type", c.contentType)
		if c.coding != "" {
			tx.RequestHeader("Content-Encoding", c.coding)
		}
		tx.RequestHeadersEnd()
		tx.RequestBody([]byte(c.body))
		tx.RequestEnd()
		got := 0
		for _, m := range tx.Matches() {
			got = m.Rule.ID
		}
		if got != c.want {
			t.Errorf("%s: rule %d matched, want %d", c.name, got, c.want)
		}
		tx.Close()
	}
}
