package openapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stormdoor/flow"
)

const declaredAPI = `
openapi: 3.1.0
info: {title: Pages, version: "1"}
paths:
  /pages:
    post:
      operationId: save
      parameters:
        - {name: limit, in: query, schema: {type: integer}}
        - {name: sort, in: query, schema: {enum: ["name; drop", date]}}
        - {name: q, in: query, schema: {type: string}}
        - {name: day, in: query, schema: {type: string, format: date}}
        - {name: mail, in: query, schema: {type: string, format: email}}
        - {name: ids, in: query, schema: {type: array, items: {type: string, format: uuid}}}
        - {name: filter, in: query, style: deepObject, explode: true, schema: {type: object, properties: {n: {type: number}}}}
        - {name: slug, in: query, schema: {type: string, pattern: "^(?i:[a-z0-9]+(?:-[a-z0-9]+)*)$"}}
        - {name: words, in: query, schema: {type: string, pattern: "^[a-z ]+$"}}
        - {name: loose, in: query, schema: {type: string, pattern: "[a-z]+"}}
        - {name: any, in: query, schema: {type: string, pattern: "^[^<]+$"}}
        - {name: X-Kind, in: header, schema: {enum: [select]}}
        - {name: theme, in: cookie, schema: {enum: ["a=1"]}}
      requestBody:
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Page"}
          application/x-www-form-urlencoded:
            schema: {type: object, properties: {answer: {type: boolean}}}
components:
  schemas:
    Page:
      type: object
      properties:
        title: {type: string}
        html: {type: string, contentMediaType: text/html}
        notes: {type: string, contentMediaType: text/markdown}
        statement: {type: string, contentMediaType: application/sql}
        script: {type: string, contentMediaType: text/x-python; charset=utf-8}
        kind: {allOf: [{type: string}, {enum: [union select]}]}
        either: {oneOf: [{type: integer}, {type: boolean}]}
        open: {anyOf: [{type: integer}, {type: string}]}
        pages: {type: array, items: {$ref: "#/components/schemas/Page"}}
        tree: {anyOf: [{$ref: "#/components/schemas/Page"}, {$ref: "#/components/schemas/Page"}]}
        sizes: {type: object, additionalProperties: {type: integer}}
`

func declaredBy(t testing.TB) *Operation {
	t.Helper()
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(declaredAPI), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	f := flow.Facts{Method: "POST"}
	f.Path.Clean = "/pages"
	return d.Match(&f)
}

func TestWhatIsDeclaredOfAValue(t *testing.T) {
	op := declaredBy(t)
	for _, c := range []struct {
		at         Place
		name, sent string
		want       Nature
	}{
		{AtQuery, "limit", "5", Closed},
		{AtQuery, "limit", "5'--", Undeclared},
		{AtQuery, "sort", "name; drop", Closed},
		{AtQuery, "sort", "name; drop table", Undeclared},
		{AtQuery, "q", "5", Undeclared},
		{AtQuery, "day", "2026-11-28", Closed},
		{AtQuery, "mail", "'or'1'='1'@x", Undeclared},
		{AtQuery, "ids", "123e4567-e89b-12d3-a456-426614174000", Closed},
		{AtQuery, "ids", "123e4567-e89b-12d3-a456-426614174000,123e4567-e89b-12d3-a456-426614174001", Closed},
		{AtQuery, "ids", "123e4567-e89b-12d3-a456-426614174000,<script>", Undeclared},
		{AtQuery, "filter[n]", "1.5", Closed},
		{AtQuery, "filter[n]", "sleep(9)", Undeclared},
		{AtQuery, "filter[m]", "1", Undeclared},
		{AtQuery, "slug", "cat-etc-passwd", Closed},
		{AtQuery, "slug", "cat /etc/passwd", Undeclared},
		{AtQuery, "loose", "abc", Undeclared},
		{AtQuery, "words", "union select", Undeclared},
		{AtQuery, "any", "abc", Undeclared},
		{AtQuery, "answer", "true", Undeclared},
		{AtHeader, "x-kind", "select", Closed},
		{AtCookie, "theme", "a=1", Closed},
		{AtCookie, "limit", "5", Undeclared},
		{AtBody, "answer", "true", Closed},
		{AtBody, "answer", "1 or 1", Undeclared},
		{AtBody, "json.title", "5", Undeclared},
		{AtBody, "json.html", "<b>bold</b>", HTML},
		{AtBody, "json.notes", "<b>bold</b>", Undeclared},
		{AtBody, "json.statement", "SELECT 1", SQL},
		{AtBody, "json.script", "import os", Program},
		{AtBody, "json.kind", "union select", Closed},
		{AtBody, "json.kind", "union all select", Undeclared},
		{AtBody, "json.either", "true", Closed},
		{AtBody, "json.either", "maybe", Undeclared},
		{AtBody, "json.open", "5", Undeclared},
		{AtBody, "json.pages.3.pages.0.html", "x", HTML},
		{AtBody, "json.sizes.door", "3", Closed},
		{AtBody, "json.sizes.door", "' or 1", Undeclared},
		{AtBody, "json.tree.html", "x", HTML},
		{AtBody, "json" + strings.Repeat(".tree", 500) + ".html", "x", Undeclared}, // it would take 2 to the 500th steps to tell
		{AtBody, "json", "x", Undeclared},
		{AtBody, "", "x", Undeclared},
	} {
		if got := op.Declared(c.at, c.name, c.sent); got != c.want {
			t.Errorf("%d %.60s %q: %d, want %d", c.at, c.name, c.sent, got, c.want)
		}
	}
}
