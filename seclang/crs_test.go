package seclang_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stormdoor/seclang"
)

// exceptions are the tests of the suite that are about something else than this engine: why, and the id of the rule that
// logs the request instead, if one does.
var exceptions = map[string]struct {
	reason  string
	instead int
}{
	"920430-5": {"no protocol at all: an HTTP server refuses it before any rule", 0},
	"920620-1": {"two Content-Type fields: the suite knows a server that joins them, and wants no match", 920620},
	"921140-1": {"a carriage return in a field: an HTTP server refuses it before any rule", 921140},
	"922130-1": {"the suite knows the text of ModSecurity's parser: the part is refused here too", 200003},
	"922130-2": {"as 922130-1", 200003},
	"922130-7": {"as 922130-1", 200003},
}

func TestCoreRuleSetSuite(t *testing.T) {
	stages, err := suite()
	if err != nil {
		t.Fatal(err)
	}
	rules := compileRules(t, suiteSetup(4))
	passed := 0
	for i := 0; i < len(stages); i += sample {
		s := &stages[i]
		tx := judge(rules, &s.exchange)
		wrong, ids := s.verdict(tx), logged(tx)
		tx.Close()
		switch e, excepted := exceptions[s.name]; {
		case wrong == "" && excepted:
			t.Errorf("%s passes, though it is excepted: %s", s.name, e.reason)
		case excepted && e.instead != 0 && !slices.Contains(ids, e.instead):
			t.Errorf("%s: %d is missing among %v", s.name, e.instead, ids)
		case wrong != "" && !excepted:
			t.Errorf("%s: %s", s.name, wrong)
		case wrong == "":
			passed++
		}
	}
	t.Logf("%d of %d passed, %d excepted", passed, len(stages), len(exceptions))
}

// verdict says what is wrong with a transaction's log; empty if nothing is.
func (s *suiteStage) verdict(tx *seclang.Transaction) string {
	ids := logged(tx)
	for _, id := range s.expect {
		if !slices.Contains(ids, id) {
			return fmt.Sprintf("%d is missing among %v", id, ids)
		}
	}
	for _, id := range s.forbid {
		if slices.Contains(ids, id) {
			return fmt.Sprintf("%d should not be among %v", id, ids)
		}
	}
	log := logText(tx)
	if s.match != "" && !regexp.MustCompile(s.match).MatchString(log) {
		return fmt.Sprintf("nothing matches %q in\n%s", s.match, log)
	}
	if s.mismatch != "" && regexp.MustCompile(s.mismatch).MatchString(log) {
		return fmt.Sprintf("%q should not match\n%s", s.mismatch, log)
	}
	return ""
}

// logText is the log in the form that the suite's expressions are about.
func logText(tx *seclang.Transaction) string {
	var b strings.Builder
	for _, m := range tx.Matches() {
		if m.Rule.Log {
			fmt.Fprintf(&b, "[id \"%d\"] [msg \"%s\"] [data \"%s\"] ", m.Rule.ID, m.Message, m.Data)
		}
	}
	return strings.ReplaceAll(b.String(), "\n", " ")
}
