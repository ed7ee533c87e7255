package waf

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
)

// Shadows judges requests by rule sets that are on trial, beside the path and one after the other. It belongs to a door, and
// outlives its editions. What it cannot take in time is left out, and counted: no request waits for it.
type Shadows struct {
	jobs  chan *shadowJob
	bytes atomic.Int64 // of the requests that wait
}

// The bounds of what waits for a shadow.
const (
	shadowJobs  = 256
	shadowBytes = 4 << 20
)

// NewShadows returns Shadows that judge nothing until Run runs.
func NewShadows() *Shadows { return &Shadows{jobs: make(chan *shadowJob, shadowJobs)} }

// shadowJob is a request that was judged, with all of it that rules read.
type shadowJob struct {
	shadow *shadow
	facts  *flow.Facts
	body   []byte
	mode   policy.WAFMode
	size   int64
	judged flow.Verdict
}

// shadow is the rule set on trial of a stage.
type shadow struct {
	stage    *Stage
	queue    *Shadows
	share    int // of a processor, in per cent
	outcomes [shadowOutcomes]atomic.Int64
}

// ShadowOutcome is how a shadow's verdict compares with that of the rules in force.
type ShadowOutcome uint8

// How a shadow's verdict compares.
const (
	ShadowAgrees   ShadowOutcome = iota
	ShadowRefuses                // what the rules in force let pass
	ShadowAdmits                 // what they refuse
	ShadowLeftOut                // it had no time or no room to judge
	shadowOutcomes               // how many there are
)

// String is the outcome as metrics and logs name it.
func (o ShadowOutcome) String() string {
	return [...]string{"same", "would_refuse", "would_admit", "left_out"}[o]
}

// Difference is a request of which a shadow says something else than the rules in force.
type Difference struct {
	Facts          *flow.Facts // a copy
	Outcome        ShadowOutcome
	Judged, Shadow flow.Verdict
}

// newShadow compiles the rule set on trial of a policy beside the stage of the one in force; nil for none.
func newShadow(p *policy.Policy, beside *Stage, o Options) (*shadow, error) {
	if p.WAF.Shadow == nil || o.Shadows == nil || beside.Off() {
		return nil, nil
	}
	q := *p
	q.WAF = p.WAF.Shadow.Rules(p.WAF)
	stage, err := New(&q, Options{Before: beside, Held: o.Held, at: "waf.shadow"})
	if err != nil {
		return nil, err
	}
	stage.contracts = beside.contracts // what is declared of values is no part of the trial
	return &shadow{stage: stage, queue: o.Shadows, share: p.WAF.Shadow.Processor}, nil
}

// offer hands a request that was judged to the shadow, which may do without it. It copies what it keeps.
func (s *shadow) offer(f *flow.Facts, mode policy.WAFMode, body []byte, judged flow.Verdict) {
	if s == nil {
		return
	}
	if !s.queue.put(s, f, mode, body, judged) {
		s.outcomes[ShadowLeftOut].Add(1)
	}
}

// put copies a request into the queue, and reports whether there was room.
func (q *Shadows) put(s *shadow, f *flow.Facts, mode policy.WAFMode, body []byte, judged flow.Verdict) bool {
	if len(q.jobs) == cap(q.jobs) { // before anything is copied
		return false
	}
	size := int64(sizeOf(f, body))
	if q.bytes.Add(size) <= shadowBytes {
		select {
		case q.jobs <- &shadowJob{shadow: s, facts: f.Clone(), body: bytes.Clone(body), mode: mode, size: size, judged: judged}:
			return true
		default:
		}
	}
	q.bytes.Add(-size)
	return false
}

// Run judges until ctx ends, and tells differ of each request of which the shadow says something else. It takes the share of a
// processor that the policy says: after each request it rests for as long as that asks.
func (q *Shadows) Run(ctx context.Context, differ func(Difference)) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-q.jobs:
			began := time.Now()
			q.bytes.Add(-job.size)
			job.judge(differ)
			rest(ctx, time.Since(began)*time.Duration(100-job.shadow.share)/time.Duration(job.shadow.share))
		}
	}
}

// judge never fails: what a rule set on trial does wrong is nobody's fault but its own, and counts as left out.
func (j *shadowJob) judge(differ func(Difference)) {
	s := j.shadow
	defer func() {
		if recover() != nil {
			s.outcomes[ShadowLeftOut].Add(1)
		}
	}()
	v, _ := s.stage.inspect(j.facts, j.mode, j.body)
	outcome := ShadowAgrees
	switch would, did := v.Action > flow.Admit, j.judged.Action > flow.Admit; {
	case would && !did:
		outcome = ShadowRefuses
	case did && !would:
		outcome = ShadowAdmits
	}
	s.outcomes[outcome].Add(1)
	if outcome != ShadowAgrees {
		differ(Difference{Facts: j.facts, Outcome: outcome, Judged: j.judged, Shadow: v})
	}
}

// rest waits, until ctx ends at the latest.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ShadowOutcomes calls f for each outcome with how often the rule set on trial came to it, since the policy is in force; not at all
// without one.
func (s *Stage) ShadowOutcomes(f func(outcome string, times int64)) {
	if s.shadow == nil {
		return
	}
	for i := range s.shadow.outcomes {
		f(ShadowOutcome(i).String(), s.shadow.outcomes[i].Load())
	}
}

// Shadow is the stage of the rule set on trial, whose hits and costs are its own; nil for none.
func (s *Stage) Shadow() *Stage {
	if s.shadow == nil {
		return nil
	}
	return s.shadow.stage
}
