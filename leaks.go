package stormdoor

import (
	"stormdoor/flow"
	"stormdoor/internal/gate/leak"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// watched forwards a request, and keeps the answer back where the policy says so and it tells what nobody outside is to read.
// What is kept back is stored nowhere.
func (d *Door) watched(ex wire.Exchange, v *visit) flow.Reason {
	o := &v.outcome
	mode := v.edition.leaks.Mode(&o.Facts)
	if mode == policy.WAFOff {
		return d.forward(ex, v)
	}
	g := v.edition.leaks.Guard(ex, &o.Facts, mode == policy.WAFBlocks)
	defer g.Close()
	reason := d.forward(g, v)
	name, message, sent := g.Leak()
	switch {
	case name == "":
		return reason
	case mode == policy.WAFCounts:
		if o.Dry.Action == flow.Continue {
			o.Dry, o.DryStage = flow.Verdict{Action: flow.Refuse, Reason: flow.LeakFound, Rule: name}, leak.Name
		}
		return reason
	case !sent:
		o.Status, o.BytesOut = 0, 0 // the visitor gets the door's own answer
	}
	o.Err = "the answer holds " + message + " (" + name + ")"
	return flow.LeakFound
}

// leakMetrics tells how often each check has found something.
func (d *Door) leakMetrics() {
	d.metrics.Counts("stormdoor_leaks_total", "Answers of origins that told what nobody outside is to read, kept back or not, by what it was.", []string{"check"}, func(add func(float64, ...string)) {
		d.deployed.Load().Stable.leaks.Found(func(check string, times int64) { add(float64(times), check) })
	})
}

// watch is what an edition looks for leaks with, nil for no edition.
func (e *Edition) watch() *leak.Stage {
	if e == nil {
		return nil
	}
	return e.leaks
}
