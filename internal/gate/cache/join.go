package cache

import (
	"time"

	"stormdoor/flow"
)

// join waits for a flight that another visitor began, and is served from it. It is not done when the flight ended because of
// that visitor: he left, or the door would not forward for him.
func (w *walk) join(f *flight, e *entry, past past) (reason flow.Reason, done bool) {
	most := waitUnknown
	if e != nil || past == cacheable {
		most = waitProven
	}
	began := w.c.now()
	phase, gone, ok := w.wait(f, most)
	if !ok {
		return w.pass(), true
	}
	w.o.Waited += w.c.now().Sub(began)
	switch {
	case gone:
		return flow.ClientGone, true
	case phase == settled && f.entry.serves(w.ask, w.req.Header):
		return w.answer(f.entry, outcome{result: f.how.result, detail: f.how.detail + "; collapsed"}), true
	case phase == settled:
		return w.lead(w.solo(), nil), true
	case phase == streaming || phase == complete:
		return w.share(f), true
	case e != nil && (phase == asking || phase == failed && standsIn(f.reason)) && w.mayStandIn(e, w.c.now(), 0):
		return w.answer(e, outcome{result: flow.CacheStale, detail: "hit; fwd=stale; detail=no-answer"}), true
	case phase == failed && originFailed(f.reason):
		w.o.Err = f.err
		return f.reason, true
	case phase == failed:
		return "", false
	}
	return w.pass(), true
}

// wait waits for the flight's head; ok is false when too many wait already.
func (w *walk) wait(f *flight, most time.Duration) (p phase, gone, ok bool) {
	defer w.c.waiting.Add(-1)
	if w.c.waiting.Add(1) > waitersMost {
		return asking, false, false
	}
	f.mu.Lock()
	if f.waiting >= flightMost {
		f.mu.Unlock()
		return asking, false, false
	}
	f.waiting++
	f.mu.Unlock()
	p, gone = f.await(w.ex.Context(), most)
	f.mu.Lock()
	f.waiting--
	f.mu.Unlock()
	return p, gone, true
}

// share serves the visitor from a flight whose answer comes in, if it is an answer for him.
func (w *walk) share(f *flight) flow.Reason {
	e := f.entry
	if !e.serves(w.ask, w.req.Header) {
		return w.lead(w.solo(), nil)
	}
	r := f.subscribe()
	if r == nil {
		return w.pass()
	}
	h := e.header.Clone()
	if age := e.at(w.c.now()).age; age >= time.Second {
		h.Add("Age", itoa(int(age/time.Second)))
	}
	h.Add("Cache-Status", cacheName+"; fwd="+w.why+"; collapsed")
	o := w.o
	o.Status, o.Cache = e.status, flow.CacheCollapsed
	n, err := f.sendTo(w.ex, r, h, w.rules.idle())
	o.BytesOut = n
	if err != nil {
		return w.lost(err)
	}
	return ""
}

// originFailed reports whether a flight ended in a way that it would end again for whoever asks now.
func originFailed(r flow.Reason) bool {
	return r == flow.OriginDown || r == flow.OriginTimeout || r == flow.OriginBroken
}
