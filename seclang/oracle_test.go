//go:build oracle

package seclang_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"

	"stormdoor/seclang"
)

// The oracle is Coraza, built with the tag coraza.rule.case_sensitive_args_keys: `make oracle`, and `make waf-oracle` for long. It visits
// parameters in no fixed order, so where it differs from this engine it is asked again, and all its answers count.

var (
	levels    = flag.String("levels", "1", "the paranoia levels at which to compare, with commas")
	mutations = flag.Int("mutations", 200, "how many mutated requests to compare, at each paranoia level")
	seed      = flag.Uint64("seed", 1, "of the mutations")
)

type oracle struct {
	waf coraza.WAF
	log []entry
}

// entry is what is compared of a line of the log.
type entry struct {
	id  int
	msg string
}

func newOracle(t testing.TB, directives string) *oracle {
	t.Helper()
	o := &oracle{}
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(directives + "\nSecAuditEngine Off\n").
		WithErrorCallback(func(m types.MatchedRule) {
			o.log = append(o.log, entry{m.Rule().ID(), m.Message()})
		}))
	if err != nil {
		t.Fatal(err)
	}
	o.waf = waf
	return o
}

// judge returns what Coraza logs about an exchange, and how it decides.
func (o *oracle) judge(x *exchange) ([]entry, string) {
	o.log = nil
	tx := o.waf.NewTransactionWithID("UI5Hy8xbPP7N23aEO5QxwvlKs5")
	defer tx.Close()
	tx.ProcessConnection("127.0.0.1", 40000, "127.0.0.1", 80)
	tx.ProcessURI(x.target, x.method, x.protocol)
	for _, h := range x.headers {
		tx.AddRequestHeader(h[0], h[1])
		if strings.EqualFold(h[0], "Host") {
			tx.SetServerName(h[1])
		}
	}
	it := tx.ProcessRequestHeaders()
	if it == nil && x.body != "" {
		it, _, _ = tx.WriteRequestBody([]byte(x.body))
	}
	if it == nil {
		it, _ = tx.ProcessRequestBody()
	}
	if it == nil {
		for _, h := range x.responseHeaders {
			tx.AddResponseHeader(h[0], h[1])
		}
		it = tx.ProcessResponseHeaders(x.status, "HTTP/1.1")
	}
	if it == nil && tx.IsResponseBodyAccessible() && tx.IsResponseBodyProcessable() {
		it, _, _ = tx.WriteResponseBody([]byte(x.responseBody))
	}
	if it == nil {
		it, _ = tx.ProcessResponseBody()
	}
	tx.ProcessLogging()
	decision := "pass 0"
	if it != nil {
		decision = fmt.Sprintf("%s %d", it.Action, it.Status)
	}
	return o.log, decision
}

func ours(rules *seclang.Ruleset, x *exchange) ([]entry, string) {
	tx := judge(rules, x)
	defer tx.Close()
	var log []entry
	for _, m := range tx.Matches() {
		if m.Rule.Log {
			log = append(log, entry{m.Rule.ID, strings.Clone(m.Message)})
		}
	}
	it := tx.Interruption()
	return log, fmt.Sprintf("%s %d", it.Action, it.Status)
}

// asks is how often the oracle is asked before a difference is believed.
const asks = 200

// compare reports how the engine differs from the oracle on an exchange; empty if it does not.
func compare(rules *seclang.Ruleset, o *oracle, x *exchange) string {
	mine, decision := ours(rules, x)
	theirs, theirDecision := o.judge(x)
	if slices.Equal(mine, theirs) && decision == theirDecision || unreadable(mine) && unreadable(theirs) && decision == theirDecision {
		return ""
	}
	all := slices.Clone(theirs)
	for range asks {
		again, d := o.judge(x)
		if slices.Equal(mine, again) && d == decision {
			return ""
		}
		all = append(all, again...)
	}
	var diff []string
	for _, e := range sorted(mine) {
		if !slices.Contains(all, e) {
			diff = append(diff, fmt.Sprintf("ours only: %d %q", e.id, e.msg))
		}
	}
	for _, e := range sorted(all) {
		if !slices.Contains(mine, e) {
			diff = append(diff, fmt.Sprintf("theirs only: %d %q", e.id, e.msg))
		}
	}
	if decision != theirDecision {
		diff = append(diff, "decision: ours "+decision+", theirs "+theirDecision)
	}
	if diff == nil {
		diff = append(diff, fmt.Sprintf("order: ours %v\ntheirs %v", mine, theirs))
	}
	return strings.Join(diff, "\n")
}

// unreadable reports whether rule 200002 says that the body could not be read: both engines then look at what they have
// read, and Coraza's JSON library guesses on behind a mistake.
func unreadable(log []entry) bool {
	return slices.ContainsFunc(log, func(e entry) bool { return e.id == 200002 })
}

func sorted(log []entry) []entry {
	log = slices.Clone(log)
	slices.SortFunc(log, func(a, b entry) int { return cmp.Or(a.id-b.id, strings.Compare(a.msg, b.msg)) })
	return slices.Compact(log)
}

// BenchmarkCoraza is BenchmarkTransaction by Coraza: `make bench-waf` puts them side by side.
func BenchmarkCoraza(b *testing.B) {
	for level := 1; level <= 2; level++ {
		o := newOracle(b, crs("On", "SecResponseBodyAccess Off\n"+paranoid(level)))
		for _, w := range workloads {
			b.Run(fmt.Sprintf("pl%d/%s", level, w.name), func(b *testing.B) {
				x := w.make()
				b.ReportAllocs()
				defer cpu(b)()
				for b.Loop() {
					o.judge(&x)
				}
			})
		}
	}
}

// tooMany differences mean that something is broken, not that something is rare.
const tooMany = 30

// report counts a difference, and gives up when there are too many.
func report(t *testing.T, n *int, name, diff string) {
	t.Helper()
	if diff == "" {
		return
	}
	t.Errorf("%s: %s", name, diff)
	if *n++; *n == tooMany {
		t.FailNow()
	}
}

// TestOracle compares every request of the suite, and mutations of them, at each paranoia level.
func TestOracle(t *testing.T) {
	stages, err := suite()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range strings.Split(*levels, ",") {
		level, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		rules, o := compileRules(t, suiteSetup(level)), newOracle(t, suiteSetup(level))
		t.Run(fmt.Sprintf("suite/pl%d", level), func(t *testing.T) {
			n := 0
			for i := range stages {
				report(t, &n, stages[i].name, compare(rules, o, &stages[i].exchange))
			}
		})
		t.Run(fmt.Sprintf("mutations/pl%d", level), func(t *testing.T) {
			random := rand.New(rand.NewPCG(*seed, uint64(level)))
			n := 0
			for range *mutations {
				s := &stages[random.IntN(len(stages))]
				x := mutate(random, s.exchange, stages)
				report(t, &n, fmt.Sprintf("from %s: %+v", s.name, x), compare(rules, o, &x))
			}
		})
	}
}

// TestOracleBlocking compares the decisions of a rule set that refuses.
func TestOracleBlocking(t *testing.T) {
	stages, err := suite()
	if err != nil {
		t.Fatal(err)
	}
	rules, o := compileRules(t, crs("On", "")), newOracle(t, crs("On", ""))
	n := 0
	for i := range stages {
		report(t, &n, stages[i].name, compare(rules, o, &stages[i].exchange))
	}
}

// tokens are pieces that rules care about.
var tokens = []string{
	"'", `"`, "<script>", "../", "%00", "%2e%2e/", " or 1=1--", "${jndi:", ";cat /etc/passwd", "\\u0027", "&#x27;", "/*x*/", "+",
	"%u0027", "\x00", "\xc0\xaf", "é", "union select ", "<?php ", "$(id)", "`id`", "%", "\r\n", "{{7*7}}", "javascript:", "=", "&",
}

// mutate changes an exchange in one to three places.
func mutate(r *rand.Rand, x exchange, stages []suiteStage) exchange {
	x.headers = slices.Clone(x.headers)
	for range 1 + r.IntN(3) {
		switch r.IntN(6) {
		case 0:
			x.target = mutateText(r, x.target)
		case 1:
			x.body = mutateText(r, x.body)
		case 2:
			if len(x.headers) > 0 {
				i := r.IntN(len(x.headers))
				x.headers[i][1] = mutateText(r, x.headers[i][1])
			}
		case 3: // parts of another request
			other := &stages[r.IntN(len(stages))].exchange
			if _, query, ok := strings.Cut(other.target, "?"); ok {
				mark := "?"
				if strings.Contains(x.target, "?") {
					mark = "&"
				}
				x.target += mark + query
			}
		case 4:
			other := &stages[r.IntN(len(stages))].exchange
			if len(other.headers) > 0 {
				x.headers = append(x.headers, other.headers[r.IntN(len(other.headers))])
			}
		default:
			x.headers = append(x.headers, [2]string{"Cookie", "a=" + mutateText(r, "b") + "; " + mutateText(r, "c") + "=d"})
		}
	}
	return x
}

func mutateText(r *rand.Rand, s string) string {
	at := r.IntN(len(s) + 1)
	switch r.IntN(4) {
	case 0:
		return s[:at] + tokens[r.IntN(len(tokens))] + s[at:]
	case 1:
		return s[:at] + string(rune(r.IntN(256))) + s[at:]
	case 2:
		end := min(len(s), at+1+r.IntN(8))
		return s[:at] + s[end:]
	default:
		b := []byte(s)
		for i := range b {
			if r.IntN(12) == 0 && ('a' <= b[i] && b[i] <= 'z' || 'A' <= b[i] && b[i] <= 'Z') {
				b[i] ^= 0x20
			}
		}
		return string(b)
	}
}
