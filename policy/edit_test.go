package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestAddExclusions(t *testing.T) {
	const sites = "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:3000']}]\n"
	add := []WAFExclusion{{Rule: 942100, Field: "ARGS:q", Path: "/search", Until: "2027-02-24", Why: `it's "so"`}, {Rule: 1, Field: "ARGS:x*", Site: "on"}}
	const one = `- {rule: 942100, field: "ARGS:q", path: /search, until: 2027-02-24, why: "it's \"so\""}`
	const two = `- {rule: 1, field: "ARGS:x*", site: "on"}`
	for _, c := range []struct{ name, text, want string }{
		{"no firewall", sites, sites + "waf:\n  exclude:\n    " + one + "\n    " + two + "\n"},
		{"no end of line", strings.TrimSuffix(sites, "\n"), sites + "waf:\n  exclude:\n    " + one + "\n    " + two + "\n"},
		{"no exclusions", "waf:\n   mode: block # so\n\n" + sites, "waf:\n   mode: block # so\n   exclude:\n     " + one + "\n     " + two + "\n\n" + sites},
		{"exclusions", "waf:\n  exclude: # here\n    - rule: 7\n      field: ARGS:a\n    # why not\n  mode: block\n" + sites,
			"waf:\n  exclude: # here\n    - rule: 7\n      field: ARGS:a\n    " + one + "\n    " + two + "\n    # why not\n  mode: block\n" + sites},
		{"items as deep as their list", "waf:\n  exclude:\n  - {rule: 7}\n  mode: block\n" + sites, "waf:\n  exclude:\n  - {rule: 7}\n  " + one + "\n  " + two + "\n  mode: block\n" + sites},
		{"lines of Windows", "waf:\r\n  mode: block\r\n" + sites, "waf:\r\n  mode: block\r\n  exclude:\r\n    " + one + "\r\n    " + two + "\r\n" + sites},
		{"in one line", "waf: {mode: block}\n" + sites, ""},
		{"a list in one line", "waf:\n  exclude: [{rule: 7}]\n" + sites, ""},
	} {
		add := add
		add[1].Site = "on"
		text := strings.Replace(c.text, "{hosts", "{name: \"on\", hosts", 1)
		got, _, _, err := AddExclusions("p.yaml", []byte(text), add)
		want := strings.Replace(c.want, "{hosts", "{name: \"on\", hosts", 1)
		if c.want == "" {
			if !errors.Is(err, ErrPlace) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\ngot\n%s\nwant\n%s", c.name, err, got, want)
		}
	}
}

// Whatever the policy looks like, it either gets just what was to be added, or stays as it is.
func FuzzAddExclusions(f *testing.F) {
	f.Add("waf:\n  exclude:\n  - {rule: 7}\nsites: [{hosts: [a.example], origins: ['http://127.0.0.1:1']}]\n", "ARGS:q", "why")
	f.Fuzz(func(t *testing.T, text, field, why string) {
		x := WAFExclusion{Rule: 1, Field: field, Why: why}
		edited, at, lines, err := AddExclusions("p.yaml", []byte(text), []WAFExclusion{x})
		if err != nil {
			return
		}
		p, err := Parse("p.yaml", edited)
		if err != nil || p.WAF.Exclude[len(p.WAF.Exclude)-1] != x || at < 1 || len(lines) == 0 {
			t.Errorf("%v in %q", err, edited)
		}
	})
}
