package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestCheckPointsIntoTheFile: what only trying the parts brings to light has its line, column and excerpt, all at once.
func TestCheckPointsIntoTheFile(t *testing.T) {
	text := `sites:
  - hosts: [shop.example]
    origins: [{url: https://127.0.0.1:1, ca: /nowhere/ca}, {url: https://127.0.0.1:2, certificate: /nowhere/crt, key: /nowhere/crt.key}]
    tls: {certificate: /nowhere/pem, key: /nowhere/pem.key}
    routes:
      - {path: /x, origins: [{url: https://127.0.0.1:3, ca: /nowhere/route}]}
geo: {country: /nowhere/country, network: /nowhere/network}
lists:
  - {name: one, action: refuse, addresses: [192.0.2.1, 10.1.2.3], file: /nowhere/list}
rules:
  - name: r
    when: |
      path == '/x' &&
        hots == 'x'
    then: refuse
refusals: {page: /nowhere/page, problem: /nowhere/problem}
acme: {ca: /nowhere/acme}
`
	file := writeFile(t, "stormdoor.yaml", text)
	status, out, errs := command(t, t.Context(), "check", file)
	if status != 1 || out != "" {
		t.Fatalf("status %d, %s", status, out)
	}
	lines := strings.Split(text, "\n")
	wrong := []string{"/nowhere/ca}", "/nowhere/crt,", "/nowhere/crt.key", "/nowhere/pem,", "/nowhere/pem.key", "/nowhere/route", "/nowhere/country",
		"/nowhere/network", "/nowhere/list", "hots", "/nowhere/page", "/nowhere/problem", "/nowhere/acme"}
	for _, w := range wrong {
		for i, line := range lines {
			column := strings.Index(line, w)
			if column < 0 {
				continue
			}
			place := fmt.Sprintf("%s:%d:%d: ", file, i+1, column+1)
			excerpt := fmt.Sprintf("%5d | %s\n      | %s^\n", i+1, line, strings.Repeat(" ", column))
			if _, after, ok := strings.Cut(errs, place); !ok || !strings.Contains(after, excerpt) {
				t.Errorf("%s: want %q and\n%s", w, place, excerpt)
			}
		}
	}
	if t.Failed() {
		t.Log(errs)
	}
	if !strings.Contains(errs, fmt.Sprintf("%d mistakes", len(wrong))) {
		t.Errorf("want %d mistakes:\n%s", len(wrong), errs)
	}
}

// TestCheckTellsOfSoundPartsToo: one field that does not exist hides no mistake in another part.
func TestCheckTellsOfSoundPartsToo(t *testing.T) {
	file := writeFile(t, "stormdoor.yaml", `sites:
  - hosts: [shop.example]
    orgins: ['http://127.0.0.1:1']
rules: [{name: r, when: "pth == '/x'", then: refuse}]
lists: [{name: l, action: refuse, file: /nowhere/list}]
refusals: {page: /nowhere/page}
`)
	status, _, errs := command(t, t.Context(), "check", file)
	for _, want := range []string{file + ":3:5: ", file + ":4:", file + ":5:", file + ":6:"} {
		if status != 1 || !strings.Contains(errs, want) {
			t.Errorf("status %d, want %q:\n%s", status, want, errs)
		}
	}
}
