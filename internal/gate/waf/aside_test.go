package waf

import (
	"context"
	"strings"
	"testing"

	"stormdoor/internal/gate/waf/openapi"

	"stormdoor/flow"
)

// A large request waits for a turn, a small one does not, and both get the verdict that they get without turns.
func TestLargeRequestsTakeTurns(t *testing.T) {
	s := *one()
	s.turns = newTurns(1)
	s.turns.request() // it is somebody else's turn
	large := facts("GET", "/", injection, "X-Large", strings.Repeat("a", large))
	if v, _ := s.Decide(context.Background(), facts("GET", "/", injection)); v.Action != flow.Refuse {
		t.Errorf("a small one: %+v", v)
	}
	done := make(chan flow.Verdict)
	go func() {
		v, _ := s.Decide(context.Background(), large)
		done <- v
	}()
	select {
	case v := <-done:
		t.Fatalf("a large one did not wait: %+v", v)
	default:
	}
	s.turns.done()
	if v := <-done; v.Action != flow.Refuse || v.Reason != flow.WAFScore {
		t.Errorf("a large one: %+v", v)
	}
	if len(s.turns.all) != 0 {
		t.Error("a turn is never given back")
	}
}

// A failure aside is the stage's, as if it had been in its own goroutine.
func TestFailureAsideIsTheStages(t *testing.T) {
	s := Stage{turns: newTurns(1)} // without rules: judging panics
	defer func() {
		if recover() == nil || len(s.turns.all) != 0 {
			t.Errorf("the panic is lost, or the turn: %d", len(s.turns.all))
		}
	}()
	s.judgeUnder(context.Background(), facts("GET", "/", strings.Repeat("a", large)), "block", openapi.Body{})
}
