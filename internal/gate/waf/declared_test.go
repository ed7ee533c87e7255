package waf

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

const pagesAPI = `
openapi: 3.1.0
info: {title: Pages, version: "1"}
paths:
  /pages:
    post:
      parameters:
        - {name: sort, in: query, schema: {enum: ["1' UNION SELECT password FROM users--", date]}}
      requestBody:
        content:
          application/json:
            schema:
              properties:
                title: {type: string}
                html: {type: string, contentMediaType: text/html}
                statement: {type: string, contentMediaType: application/sql}
                program: {type: string, contentMediaType: text/x-php}
`

// What a site's document says of a value counts for the rules too, in either mode: what may only be what is listed is no attack, and a text for pages
// may have what pages are made of, but nothing that runs.
func TestWhatIsDeclaredIsNoAttack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(pagesAPI), 0o600); err != nil {
		t.Fatal(err)
	}
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) {
		for i := range p.Sites {
			p.Sites[i].OpenAPI = &policy.OpenAPI{File: file}
		}
	})
	const sql, image = "1' UNION SELECT password FROM users--", `<img src=\"/a.png\"><form action=\"/b\"><input name=\"c\"></form>`
	for _, c := range []struct {
		name, path, query, body string
		refused                 bool
	}{
		{"listed", "/pages", "sort=1'+UNION+SELECT+password+FROM+users--", `{}`, false},
		{"not listed", "/pages", "sort=2'+UNION+SELECT+password+FROM+users--", `{}`, true},
		{"listed, in another field", "/pages", "title=1'+UNION+SELECT+password+FROM+users--", `{}`, true},
		{"listed, on another path", "/page", "sort=1'+UNION+SELECT+password+FROM+users--", `{}`, true},
		{"HTML", "/pages", "", `{"html":"` + image + `"}`, false},
		{"HTML where none is expected", "/pages", "", `{"title":"` + image + `"}`, true},
		{"HTML that runs", "/pages", "", `{"html":"` + image + `<script>alert(1)</script>"}`, true},
		{"HTML that runs otherwise", "/pages", "", `{"html":"<img src=x onerror=alert(1)>"}`, true},
		{"SQL in HTML", "/pages", "", `{"html":"` + sql + `"}`, true},
		{"SQL", "/pages", "", `{"statement":"` + sql + `"}`, false},
		{"a script in SQL", "/pages", "", `{"statement":"<script>alert(1)</script>"}`, true},
		{"a program", "/pages", "", `{"program":"<?php system($_GET['c']); ?>"}`, false},
	} {
		q := facts("POST", c.path, c.query, "Content-Type", "application/json", "Content-Length", strconv.Itoa(len(c.body)))
		q.Length = int64(len(c.body))
		v, held := s.Inspect(q, strings.NewReader(c.body))
		held.Release()
		if (v.Action == flow.Refuse) != c.refused {
			t.Errorf("%s: %+v %+v", c.name, v, v.Found)
		}
		x := s.Examine(q, []byte(c.body))
		why := slices.ContainsFunc(x.Matches, func(m Matched) bool { return strings.Contains(m.Why, "OpenAPI document says") })
		if declared := !c.refused; declared != why && c.name != "HTML that runs" {
			t.Errorf("%s: examined as %.300v", c.name, x.Matches)
		}
	}
}
