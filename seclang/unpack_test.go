package seclang

import (
	"bytes"
	"compress/gzip"
	"os"
	"slices"
	"strings"
	"testing"

	"stormdoor/seclang/internal/body"
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

// What is packed is not taken for a document because its first byte is one that documents begin with: encoders of brotli that know the size,
// above 64 KiB, begin with a bracket, as the one did (of node) that made this list of texts.
func TestPackedBodiesThatBeginAsTextDoes(t *testing.T) {
	r, err := Compile(nil, Options{Directives: bodyRules, Nested: true})
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile("testdata/texts.json.br")
	if err != nil || packed[0] != '[' {
		t.Fatalf("%v, %.5q", err, packed)
	}
	for name, c := range map[string]struct {
		coding, body string
		unreadable   bool
	}{
		"brotli":                           {"br", string(packed), false},
		"brotli with its first byte alone": {"br", "[", true},
	} {
		tx := r.New(Start{})
		tx.RequestLine("POST", "/", "HTTP/1.1")
		tx.RequestHeader("Content-Type", "application/json")
		tx.RequestHeader("Content-Encoding", c.coding)
		tx.RequestHeadersEnd()
		tx.RequestBody([]byte(c.body))
		tx.RequestEnd()
		found := slices.ContainsFunc(tx.Matches(), func(m Match) bool { return m.Rule.ID == 2 })
		if found != c.unreadable {
			t.Errorf("%s: unreadable is %v", name, found)
		}
		tx.Close()
	}
}

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

// A document in packed bytes is found, also where chance follows it; bytes of chance that begin as one does are none.
func TestDocumentsInPackedBytes(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":"b"}`: true, `[1]`: true, `"a"`: true, "\xef\xbb\xbf {}": true, `["1' or 1"` + "\x00\x81\xfe": true, `{"name":` + "\x00": false,
		`[1,22,` + "\x8f": false, `{"$where":1,` + "\x8f": true,
		"<a>text</a>": true, "<a b='text'>\x00": true, "\n<!DOCTYPE a>\x00": true, "<a/>": true,
		"": false, "[": false, "[\xc3\x03\x81": false, "<\x1f\x8b": false, "\x1f\x8b\x08": false, "x\x9c": false, "8\x11[1]": false, `"` + "\x02\x88": false,
	} {
		if got := isDocument([]byte(text), body.Limits{Tokens: true}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
