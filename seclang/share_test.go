package seclang_test

import (
	"sync"
	"testing"
	"testing/fstest"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"stormdoor/seclang"
)

// TestBeside: a rule set that shares with another says what it would say alone.
func TestBeside(t *testing.T) {
	stages, err := suite()
	if err != nil {
		t.Fatal(err)
	}
	const extra = "SecRule ARGS \"@rx ^[a-z]+[0-9]$\" \"id:1,phase:2,pass,log,t:none\"\nSecRuleRemoveById 942100\n"
	alone := compileRules(t, suiteSetup(2)+extra)
	beside, err := seclang.Compile(coreruleset.FS, seclang.Options{Beside: compileRules(t, suiteSetup(1)), Directives: suiteSetup(2) + extra})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(stages); i += 20 * sample {
		a, b := judge(alone, &stages[i].exchange), judge(beside, &stages[i].exchange)
		if logText(a) != logText(b) {
			t.Errorf("%s: alone %v, beside %v", stages[i].name, logged(a), logged(b))
		}
		a.Close()
		b.Close()
	}
}

// TestBesideReadsFiles: an operator is not shared when its file has changed.
func TestBesideReadsFiles(t *testing.T) {
	const directives = `SecRule ARGS "@pmFromFile words.data" "id:1,phase:1,deny,log"`
	load := func(words string, beside *seclang.Ruleset) *seclang.Ruleset {
		fsys := fstest.MapFS{"words.data": {Data: []byte(words)}}
		rules, err := seclang.Compile(fsys, seclang.Options{Directives: directives, Beside: beside})
		if err != nil {
			t.Fatal(err)
		}
		return rules
	}
	first := load("apple", nil)
	second := load("pear", first)
	for rules, target := range map[*seclang.Ruleset]string{first: "/?a=apple", second: "/?a=pear"} {
		tx := judge(rules, get(target))
		if !tx.Interruption().Refuses() {
			t.Errorf("%s is not refused", target)
		}
		tx.Close()
	}
}

// TestManyAtOnce: one rule set serves many goroutines.
func TestManyAtOnce(t *testing.T) {
	stages, err := suite()
	if err != nil {
		t.Fatal(err)
	}
	rules := compileRules(t, suiteSetup(4))
	var all sync.WaitGroup
	for first := range 4 {
		all.Go(func() {
			for i := first; i < len(stages); i += 40 * sample {
				tx := judge(rules, &stages[i].exchange)
				if wrong := stages[i].verdict(tx); wrong != "" && exceptions[stages[i].name].reason == "" {
					t.Errorf("%s: %s", stages[i].name, wrong)
				}
				tx.Close()
			}
		})
	}
	all.Wait()
}

// TestFirstRequest holds what a browser's GET costs a rule set that was only compiled, charged or not: at most three times what the
// third one does.
func TestFirstRequest(t *testing.T) {
	rules := compileRules(t, crs("On", ""))
	x := browserGET()
	var work [3]int64
	for i := range work {
		tx := judge(rules, &x)
		work[i] = tx.Cost().Work + tx.Cost().Cold
		tx.Close()
	}
	if most := 3 * work[2]; work[0] > most {
		t.Errorf("the first request took %d work, the third %d", work[0], work[2])
	}
}
