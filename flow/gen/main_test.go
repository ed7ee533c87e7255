package main

import (
	"os"
	"strings"
	"testing"

	"stormdoor/flow"
)

func TestReasonsPageIsFresh(t *testing.T) {
	b, err := os.ReadFile("../../docs/manual/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != page() {
		t.Error("docs/manual/reasons.md is not what flow.Reasons says: run make generate")
	}
}

func TestEveryReasonHasItsRow(t *testing.T) {
	p := page()
	for _, r := range flow.Reasons {
		if n := strings.Count(p, "\n| `"+string(r.Reason)+"` |"); n != 1 {
			t.Errorf("reason %s has %d rows", r.Reason, n)
		}
	}
	if got, want := strings.Count(p, "\n| `"), len(flow.Reasons); got != want {
		t.Errorf("%d rows for %d reasons", got, want)
	}
}
