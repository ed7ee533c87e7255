package policy

import (
	"errors"
	"strings"
	"testing"
)

const faulty = `sites:
  - hosts: [shop.example]
    origins: [http://10.0.0.5:8080]
lists:
  - {name: office, action: allow, file: /nowhere.txt}
rules:
  - {name: plain, when: path == 'x' && nope, then: refuse}
  - {name: single, when: 'path == ''x'' && nope', then: refuse}
  - name: double
    when: "path == \"x\" && nope"
    then: refuse
  - name: block
    when: |
      path == 'x' &&
        nope
    then: refuse
  - name: folded
    when: >
      path == 'x' &&

      nope
    then: refuse
  - name: several-lines
    when: path == 'x'
      && nope
    then: refuse
`

// TestLocate finds the place of "nope" in every way to write a condition.
func TestLocate(t *testing.T) {
	p, err := Parse("stormdoor.yaml", []byte(faulty))
	if err != nil {
		t.Fatal(err)
	}
	p = p.WithDefaults()
	var errs []error
	for i, r := range p.Rules {
		before, _, _ := strings.Cut(r.When, "nope")
		line := 1 + strings.Count(before, "\n")
		column := len(before) - strings.LastIndex(before, "\n")
		errs = append(errs, &Fault{Path: Item("rules", i) + ".when", Line: line, Column: column, Msg: "what is nope?", Err: errors.New("not told")})
	}
	gone := errors.New("no such file")
	errs = append(errs, At("lists[0]", errors.Join(At("file", gone), errors.New("names nobody"))), errors.New("elsewhere"))
	var all *Errors
	if err := p.Locate(errors.Join(errs...)); !errors.As(err, &all) {
		t.Fatalf("%v is no *Errors", err)
	}
	lines := strings.Split(faulty, "\n")
	for _, pr := range all.Problems {
		switch {
		case strings.HasPrefix(pr.Path, "rules"):
			if pr.Msg != "what is nope?" || !strings.HasPrefix(lines[pr.Line-1][pr.Column-1:], "nope") {
				t.Errorf("%v", pr)
			}
		case pr.Path == "lists[0].file":
			if pr.Msg != "no such file" || pr.Line != 5 || !strings.Contains(pr.Excerpt, "/nowhere.txt") {
				t.Errorf("%v", pr)
			}
		case pr.Path == "lists[0]":
			if pr.Msg != "names nobody" || pr.Line != 5 {
				t.Errorf("%v", pr)
			}
		case pr.Path != "" || pr.Msg != "elsewhere" || pr.File != "stormdoor.yaml":
			t.Errorf("%v", pr)
		}
	}
	if n := len(p.Rules) + 3; len(all.Problems) != n {
		t.Errorf("%d problems, want %d", len(all.Problems), n)
	}
	if p.Locate(nil) != nil {
		t.Error("nothing is wrong, and it is said")
	}
}

// TestLocateWithoutFile: a policy made in Go has no places, and nothing is lost.
func TestLocateWithoutFile(t *testing.T) {
	err := new(Policy).Locate(At("rules[0].when", errors.New("it is wrong")))
	if err == nil || err.Error() != "rules[0].when: it is wrong" {
		t.Errorf("%v", err)
	}
}
