package seclang_test

import (
	"fmt"
	"slices"
	"testing"

	"stormdoor/seclang"
)

// excuses takes back the matches of a rule in some variable and key; the empty variable stands for all.
type excuses struct {
	rule          int
	variable, key string
}

func (e excuses) Excuses(r *seclang.Rule, variable, key, _ string) bool {
	return r.ID == e.rule && (e.variable == "" || e.variable == variable && e.key == key)
}

// asked takes a request through rules up to phase 2.
func asked(rules *seclang.Ruleset, target string, s seclang.Start) *seclang.Transaction {
	tx := rules.New(s)
	tx.RequestLine("GET", target, "HTTP/1.1")
	tx.RequestHeader("Host", "example.org")
	tx.RequestHeadersEnd()
	tx.RequestEnd()
	return tx
}

func TestNothingFollowsFromAnExcusedMatch(t *testing.T) {
	const score = "SecAction \"id:900,phase:1,nolog,pass,setvar:tx.s=0\"\n"
	const judge = "\nSecRule TX:s \"@ge 5\" \"id:999,phase:2,deny,log\""
	gated := score + `SecRule ARGS "@rx evil" "id:1,phase:2,pass,log,setvar:tx.s=+5"` + judge
	plain := score + `SecRule ARGS_NAMES|ARGS "@validateByteRange 1-126" "id:1,phase:2,pass,log,setvar:tx.s=+5"` + judge
	counted := score + `SecRule &ARGS:a "@gt 0" "id:1,phase:2,pass,log,setvar:tx.s=+5"` + judge
	chain := score + "SecRule ARGS \"@rx evil\" \"id:1,phase:2,pass,log,chain\"\nSecRule ARGS:b \"@rx deed\" \"setvar:tx.s=+5\"" + judge
	for _, c := range []struct {
		name, directives, target string
		by                       excuses
		want                     string
	}{
		{"nobody excuses", gated, "/?a=evil", excuses{}, "[1 999]"},
		{"a field", gated, "/?a=evil", excuses{1, "ARGS", "a"}, "[1 excused]"},
		{"another field", gated, "/?a=evil", excuses{1, "ARGS", "b"}, "[1 999]"},
		{"one field of two", gated, "/?a=evil&b=evil", excuses{1, "ARGS", "a"}, "[1 counts, partly excused 999]"},
		{"the whole rule", gated, "/?a=evil&b=evil", excuses{rule: 1}, "[1 excused]"},
		{"a rule without a gate", plain, "/?a=%7f", excuses{1, "ARGS", "a"}, "[1 excused]"},
		{"a count", counted, "/?a=x", excuses{1, "ARGS", "a"}, "[1 excused]"},
		{"the first link of a chain", chain, "/?a=evil&b=deed", excuses{1, "ARGS", "a"}, "[1 excused]"},
		{"the last link of a chain", chain, "/?a=evil&b=deed", excuses{1, "ARGS", "b"}, "[1 excused]"},
		{"a chain that does not match", chain, "/?a=evil&b=good", excuses{1, "ARGS", "a"}, "[]"},
		{"the rule that decides", gated, "/?a=evil", excuses{rule: 999}, "[1 999 excused]"},
	} {
		tx := asked(compileRules(t, c.directives), c.target, seclang.Start{Excuser: c.by})
		var got []string
		for _, m := range tx.Matches() {
			s := fmt.Sprint(m.Rule.ID)
			switch {
			case m.Excused && m.Doubted:
				s += " excused"
			case m.Excused:
				s += " counts, partly excused"
			}
			got = append(got, s)
		}
		if s := fmt.Sprint(got); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
		if refused := tx.Interruption().Refuses(); refused != slices.Contains(got, "999") {
			t.Errorf("%s: refused %v", c.name, refused)
		}
		tx.Close()
	}
}

func TestMatchesTellWhereAndAfterWhat(t *testing.T) {
	rules := compileRules(t, `SecRule ARGS "@pm union select" "id:1,phase:2,pass,log,t:none,t:urlDecodeUni,t:lowercase"`)
	for _, places := range []bool{false, true} {
		tx := asked(rules, "/?q=a+%2555NION+b", seclang.Start{Places: places})
		if len(tx.Matches()) != 1 || len(tx.Matches()[0].Values) != 1 {
			t.Fatalf("%+v", tx.Matches())
		}
		v := tx.Matches()[0].Values[0]
		if v.Value != "a union b" || v.Sent != "a %55NION b" || v.Operator() != "@pm" || fmt.Sprint(v.Transformations()) != "[urlDecodeUni lowercase]" {
			t.Errorf("%+v, %s %v", v, v.Operator(), v.Transformations())
		}
		if places && v.Value[v.Start:v.End] != "union" {
			t.Errorf("the place is %d to %d", v.Start, v.End)
		}
		tx.Close()
	}
}

// ledger adds up what it is told.
type ledger struct {
	scanned [6]int64
	rules   map[int]int64
	matched []int
}

func (l *ledger) Scanned(phase int, work int64) { l.scanned[phase] += work }

func (l *ledger) Evaluated(r *seclang.Rule, work int64, matched bool) {
	l.rules[r.ID] += work
	if matched {
		l.matched = append(l.matched, r.ID)
	}
}

func TestObserverIsToldAllWork(t *testing.T) {
	rules := compileRules(t, "SecRule ARGS \"@rx (evil)\" \"id:1,phase:2,pass,log,capture\"\nSecRule ARGS \"@rx good\" \"id:2,phase:2,pass,log\"\n"+
		`SecRule TX:0 "@streq good" "id:3,phase:2,pass,log"`)
	l := &ledger{rules: map[int]int64{}}
	tx := asked(rules, "/?a=something+evil", seclang.Start{Observer: l})
	defer tx.Close()
	sum := l.rules[1] + l.rules[2] + l.rules[3]
	for _, n := range l.scanned {
		sum += n
	}
	if sum != tx.Cost().Work || l.rules[1] == 0 || l.rules[2] != 0 || l.rules[3] == 0 || l.scanned[2] == 0 || fmt.Sprint(l.matched) != "[1]" {
		t.Errorf("told %+v of %d", l, tx.Cost().Work)
	}
}
