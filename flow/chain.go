package flow

import (
	"context"
	"fmt"
)

// Chain is the ordered list of stages that judge a request, cheapest first. It is immutable and safe for concurrent
// use. The zero Chain has no opinion about anything.
type Chain struct {
	stages []Stage
	failed func(stage string, err error) Verdict
}

// NewChain returns a chain over the stages in their order. failed says what follows when a stage could not tell
// (an error or a panic): the zero Verdict goes on to the next stage. A nil failed always goes on.
func NewChain(stages []Stage, failed func(stage string, err error) Verdict) *Chain {
	if failed == nil {
		failed = func(string, error) Verdict { return Verdict{} }
	}
	return &Chain{stages: stages, failed: failed}
}

// Decide asks the stages in order until one is sure, and writes Verdict, Stage, Dry, DryStage and the sum of the
// delays (in Verdict.Delay) to o, whose Facts it judges. It returns how many stages were asked, for Settle.
func (c *Chain) Decide(ctx context.Context, o *Outcome) (asked int) {
	if c == nil {
		return 0
	}
	var delay Verdict
	o.Work = 0
	for i, s := range c.stages {
		v := c.ask(ctx, s, &o.Facts)
		if o.take(v, s.Name()) {
			return i + 1
		}
		if v.Delay > delay.Delay && !v.Dry {
			delay = v
		}
	}
	o.Verdict = delay
	return len(c.stages)
}

// take writes down what a stage has said, and reports whether that ends the walk.
func (o *Outcome) take(v Verdict, stage string) (sure bool) {
	if v.Found != nil {
		o.Found = v.Found
	}
	o.Work += v.Work
	if v.Dry && v.Action > Admit && o.Dry.Action == Continue {
		o.Dry, o.DryStage = v, stage
	}
	if !v.Sure() {
		return false
	}
	o.Verdict, o.Stage = v, stage
	return true
}

// Late asks a stage that can judge only once more is known than the facts: what came of the body. It writes its verdict
// to o, as Decide does, and reports whether it is sure. A failure or a panic of judge counts as one of the stage.
func (c *Chain) Late(o *Outcome, stage string, judge func(*Facts) (Verdict, error)) (sure bool) {
	v, err := guarded(nil, stage, func(_ context.Context, f *Facts) (Verdict, error) { return judge(f) }, &o.Facts)
	if err != nil {
		v = c.failed(stage, err)
	}
	return o.take(v, stage)
}

// Settle tells the first asked stages what the request has cost.
func (c *Chain) Settle(o *Outcome, asked int) {
	if c == nil {
		return
	}
	for _, s := range c.stages[:asked] {
		if t, ok := s.(Settler); ok {
			t.Settle(o)
		}
	}
}

// Step is what one stage said, for explain.
type Step struct {
	Stage   string
	Verdict Verdict
	Err     error
	// Decided marks the step that settled the matter; what follows was asked only to explain it.
	Decided bool
}

// Explain asks every stage, also those behind the one that decides, and returns what each said.
func (c *Chain) Explain(ctx context.Context, f *Facts) []Step {
	if c == nil {
		return nil
	}
	steps, decided := make([]Step, 0, len(c.stages)), false
	for _, s := range c.stages {
		decide := s.Decide
		if p, ok := s.(Previewer); ok {
			decide = p.Preview
		}
		v, err := guarded(ctx, s.Name(), decide, f)
		if err != nil {
			v = c.failed(s.Name(), err)
		}
		st := Step{Stage: s.Name(), Verdict: v, Err: err, Decided: !decided && v.Sure()}
		decided = decided || st.Decided
		steps = append(steps, st)
	}
	return steps
}

func (c *Chain) ask(ctx context.Context, s Stage, f *Facts) Verdict {
	v, err := guarded(ctx, s.Name(), s.Decide, f)
	if err != nil {
		return c.failed(s.Name(), err)
	}
	return v
}

// guarded turns a panic of a stage into an error: a module's failure is not the request's.
func guarded(ctx context.Context, name string, decide func(context.Context, *Facts) (Verdict, error), f *Facts) (v Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = Verdict{}, fmt.Errorf("stage %s panicked: %v", name, p)
		}
	}()
	return decide(ctx, f)
}
