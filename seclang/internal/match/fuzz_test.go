package match

import (
	"regexp"
	"testing"
)

// FuzzExpression compares a matcher of two expressions, and of each behind a sticky part, with regexp, along each of a
// scan's ways.
func FuzzExpression(f *testing.F) {
	for _, expr := range []string{`(?i)\bselect\b.*?from`, `(?m)^a.{2,5}$|\B`, `[^\x00-\x7f]+\z`, `(?:x|[^;]*y)\b`, `\xe9`, `(a|b*)*c{2}`, ``} {
		f.Add(expr, `(?s)^.[^a]+\x80?$`, "SELECT a\nfrom \xc3\xa9\xff;y", false)
		f.Add(expr, `(?i)k[[:word:]]*ſ`, "\u212aK k\u017f s", true)
	}
	f.Fuzz(func(t *testing.T, first, second, value string, raw bool) {
		if len(first)+len(second) > 100 || len(value) > 300 {
			return
		}
		patterns := []Pattern{{Expr: first, Raw: raw}, {Expr: second}, {Expr: `a.*(?:` + first + `)`}, {Expr: `[^;]*(?:` + second + `)`},
			{Expr: `(?:` + first + `).*(?:` + second + `)`, Raw: raw}, {Expr: `[^é]*я|` + second}}
		for _, p := range patterns {
			if _, err := regexp.Compile(p.Expr); err != nil {
				return
			}
		}
		set, err := Compile(patterns, Options{Memory: 1, States: 1})
		if err != nil {
			t.Fatal(err)
		}
		tw, ids := newTwin(t, patterns), all(len(patterns))
		for _, budget := range budgets {
			tw.compare(t, set.Subset(ids), ids, value, budget)
		}
		for i := range patterns {
			patterns[i].Superset = true
		}
		set = mustCompile(t, patterns, Options{})
		tw.compare(t, set.Subset(ids), ids, value, budgets[0])
		tw.compare(t, set.Subset(ids), ids, value, budgets[2])
	})
}

// FuzzValue compares a matcher of all patterns of the Core Rule Set with regexp.
func FuzzValue(f *testing.F) {
	for i, p := range crsPayloads(f) {
		if i%50 == 0 {
			f.Add([]byte(p), byte(i))
		}
	}
	patterns := crsPatterns(f, func(crsRule) bool { return true })
	tw, ids := newTwin(f, patterns), all(len(patterns))
	m := mustCompile(f, patterns, Options{}).Subset(ids)
	f.Fuzz(func(t *testing.T, value []byte, budget byte) {
		if len(value) <= 1000 {
			tw.compare(t, m, ids, string(value), budgets[int(budget)%len(budgets)])
		}
	})
}
