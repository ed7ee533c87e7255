package seclang_test

import (
	"fmt"
	"maps"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"stormdoor/seclang"
)

// twins are the same rules, as they are used and plainly.
func twins(t testing.TB, directives string) (fast, plain *seclang.Ruleset) {
	t.Helper()
	plain, err := seclang.CompilePlain(coreruleset.FS, seclang.Options{Directives: directives})
	if err != nil {
		t.Fatal(err)
	}
	return compileRules(t, directives), plain
}

// compareTwins reports how two rule sets differ about an exchange; empty if they do not.
func compareTwins(fast, plain *seclang.Ruleset, x *exchange) string {
	a, b := judge(fast, x), judge(plain, x)
	defer a.Close()
	defer b.Close()
	if logText(a) != logText(b) {
		return "the log\nfast  " + logText(a) + "\nplain " + logText(b)
	}
	if a.Interruption() != b.Interruption() || a.WouldInterrupt() != b.WouldInterrupt() {
		return "the decision"
	}
	if fast, plain := a.AllTX(), b.AllTX(); !maps.Equal(fast, plain) {
		return fmt.Sprintf("the TX variables\nfast  %v\nplain %v", fast, plain)
	}
	return ""
}

// TestPlainTwin: folding, gates and shared automata change nothing.
func TestPlainTwin(t *testing.T) {
	stages, err := suite()
	if err != nil {
		t.Fatal(err)
	}
	for level, step := range map[int]int{1: 97, 4: 61} {
		fast, plain := twins(t, suiteSetup(level))
		for i := 0; i < len(stages); i += step * sample {
			if diff := compareTwins(fast, plain, &stages[i].exchange); diff != "" {
				t.Errorf("%s at paranoia level %d: %s", stages[i].name, level, diff)
			}
		}
	}
}

// FuzzPlainTwin holds the two against each other on anything.
func FuzzPlainTwin(f *testing.F) {
	stages, err := suite()
	if err != nil {
		f.Fatal(err)
	}
	for i := 0; i < len(stages); i += 200 {
		x := &stages[i].exchange
		f.Add(x.target, x.header("User-Agent"), x.header("Content-Type"), x.body)
	}
	fast, plain := twins(f, suiteSetup(4))
	f.Fuzz(func(t *testing.T, target, agent, kind, body string) {
		x := get(target, "Host: localhost", "User-Agent: "+agent)
		x.method = "POST"
		with := x.with(kind, body)
		if diff := compareTwins(fast, plain, &with); diff != "" {
			t.Error(diff)
		}
	})
}
