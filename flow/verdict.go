package flow

import (
	"context"
	"time"
)

// Action is what a verdict asks for. Higher actions are stronger.
type Action uint8

// The actions, weakest first. The zero value is "no opinion".
const (
	Continue  Action = iota // no opinion: ask the next stage
	Admit                   // let it through, ask nobody else
	Challenge               // let the visitor prove something first
	Refuse                  // answer with a refusal
	Hangup                  // close the connection without an answer
)

// String returns the action's name in logs and explanations.
func (a Action) String() string {
	switch a {
	case Continue:
		return "continue"
	case Admit:
		return "admit"
	case Challenge:
		return "challenge"
	case Refuse:
		return "refuse"
	case Hangup:
		return "hangup"
	}
	return "unknown"
}

// Verdict is what a stage says of a request. The zero Verdict means "no opinion". A refusal is a value; a failure to
// judge is an error.
type Verdict struct {
	Action Action
	Reason Reason
	// Rule names the list, limit or rule of the policy that spoke.
	Rule string
	// Status is the status of a refusal; 0 stands for the reason's usual one (429 for limits, 403 otherwise).
	Status int
	// Dry marks a verdict that is only noted, because its rule is on a dry run: the chain goes on.
	Dry bool
	// RetryIn is how long the visitor should wait before it tries again; 0 says nothing about it.
	RetryIn time.Duration
	// Found is what an inspection found, also where it does not refuse; nil for nothing.
	Found *Findings
	// Work is what the inspection took, in the firewall's units of work: a millionth of a millisecond each, whatever the machine.
	Work int64
	// Delay asks that the request wait this long before it goes on; it goes with Continue only. The roof bounds
	// how many wait.
	Delay time.Duration
}

// Sure reports whether the verdict ends the walk along the chain.
func (v Verdict) Sure() bool { return v.Action > Continue && !v.Dry }

// Stage judges requests. Decide must not block, start a goroutine, read a clock, nor write to the Facts or keep a pointer
// to them: they are the request's own, and used again for another one. An error means "could not tell": the policy, not
// the stage, says what follows. It is called concurrently.
type Stage interface {
	Name() string
	Decide(context.Context, *Facts) (Verdict, error)
}

// Settler is a Stage that wants to know what a request has cost once it has ended (bytes, origin time). Settle is
// called once for each request whose walk reached the stage, in the request's own goroutine.
type Settler interface {
	Settle(*Outcome)
}

// Previewer is a Stage whose Decide has an effect (it spends from a limit). Preview gives the same verdict without it,
// for explain.
type Previewer interface {
	Preview(context.Context, *Facts) (Verdict, error)
}
