package seclang_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestChargeKnowsNoWarmth: what a request costs is the same for a rule set that was just compiled, for one that knows the request, and
// for one that has seen attacks of every kind.
func TestChargeKnowsNoWarmth(t *testing.T) {
	stages, err := suite()
	if err != nil {
		t.Fatal(err)
	}
	directives := crs("DetectionOnly", "")
	used := compileRules(t, directives)
	for i := 0; i < len(stages); i += 120 * sample {
		judge(used, &stages[i].exchange).Close()
	}
	random := rand.New(rand.NewPCG(1, 2))
	requests := map[string]exchange{
		"browser": browserGET(), "form10": form(10, 12), "json": jsonPOST(4 << 10), "text": textPOST(3 << 10),
		"cyrillic": form(1, 1).with("application/x-www-form-urlencoded", "q="+strings.Repeat("Мы заказали две пары обуви. ", 15)+"&r=обувь"),
		"soup":     form(1, 1).with("application/x-www-form-urlencoded", "a="+soup(random, 600)+"&b="+soup(random, 100)),
	}
	if sample > 1 { // the race detector is slow, and this has no goroutines
		requests = map[string]exchange{"browser": requests["browser"], "soup": requests["soup"]}
	}
	rules := compileRules(t, directives)
	for name, x := range requests {
		var work []int64
		for range 3 {
			tx := judge(rules, &x)
			work = append(work, tx.Cost().Work)
			tx.Close()
		}
		tx := judge(used, &x)
		work = append(work, tx.Cost().Work)
		tx.Close()
		for _, w := range work[1:] {
			if w != work[0] {
				t.Errorf("%s: the request took %d work, first and again; the last is of a rule set in use", name, work)
				break
			}
		}
	}
}
