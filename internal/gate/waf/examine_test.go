package waf

import (
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

func TestExamineTellsWhatDecideDecides(t *testing.T) {
	x := one().Examine(facts("GET", "/", "id=1%2527+UNION+SELECT+password+FROM+users--"), nil)
	if x.Verdict.Action != flow.Refuse || x.Score < 5 || x.Threshold != 5 || x.Work == 0 || x.Most < x.Work {
		t.Fatalf("%+v", x)
	}
	sum := 0
	for _, s := range x.Scores {
		sum += s.Score
	}
	if sum != x.Score || x.Scores[0].Class != "sqli" {
		t.Errorf("the classes add up to %d of %d: %v", sum, x.Score, x.Scores)
	}
	placed := false
	for _, m := range x.Matches {
		for _, v := range m.Values {
			if m.Rule == 942190 || m.Rule == 942270 {
				placed = placed || v.Field == "ARGS:id" && v.End > v.Start && v.SentAt >= 0 && len(v.Transformations) > 0 && v.Operator == "@rx"
			}
		}
	}
	if !placed {
		t.Errorf("no match says where: %+v", x.Matches)
	}
}

func TestExamineLooksAtBodiesAsInspectDoes(t *testing.T) {
	if x := one().Examine(post(injection), []byte(injection)); x.Verdict.Action != flow.Refuse || x.Body != len(injection) {
		t.Errorf("a form: %+v", x)
	}
	f := facts("POST", "/", "", "Content-Type", "image/png")
	f.Length = 10
	if x := one().Examine(f, []byte("0123456789")); !x.Streamed || x.Body != 0 {
		t.Errorf("a picture: %+v", x)
	}
	f = facts("GET", "/off", injection)
	f.Route = "off"
	if x := one().Examine(f, nil); x.Mode != policy.WAFOff || len(x.Matches) != 0 {
		t.Errorf("off: %+v", x)
	}
}

func TestExamineSaysWhyAMatchDoesNotCount(t *testing.T) {
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) {
		p.WAF.Detect = 2
		p.WAF.Exclude = []policy.WAFExclusion{{Rule: 942100, Field: "ARGS:id"}}
	})
	why := map[string]bool{}
	for _, m := range s.Examine(facts("GET", "/", injection), nil).Matches {
		if (m.Score == 0) != (m.Why != "") && !scored(m.Rule) {
			t.Errorf("%+v", m)
		}
		why[m.Why] = true
	}
	if !why["an exclusion of the policy takes it back"] || !why["its paranoia level is detected and does not count"] {
		t.Errorf("%v", why)
	}
}
