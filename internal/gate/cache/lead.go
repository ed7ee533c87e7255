package cache

import (
	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// lead fetches for everybody who waits for the flight, and serves the visitor who came first. A flight that nobody can join
// ends with its visitor and needs no goroutine.
func (w *walk) lead(f *flight, old *entry) flow.Reason {
	x := &filler{Exchange: w.ex, w: w, f: f, ctx: w.ex.Context(), old: old, stamp: w.c.stamps.of(w.hash), begun: w.c.now()}
	x.req = w.asked(old, f)
	if f.id != "" {
		ctx, cancel, stop := wire.Share(w.ex.Context(), f.leaderLeft)
		defer stop()
		x.ctx = ctx
		f.mayEnd(cancel)
	}
	defer f.release()
	defer f.end(failed, flow.DoorFault, "") // does nothing unless what follows panics
	defer w.c.land(f)
	reason := w.origin.Forward(x)
	return w.conclude(x, reason)
}

// asked is the request as the origin sees it.
func (w *walk) asked(old *entry, f *flight) wire.Request {
	r := *w.req
	switch {
	case old != nil:
		r.Header = validating(r.Header, old)
	case f.id != "" && (w.conditional || r.Header.Has("If-Range")):
		r.Header = withoutConditions(r.Header)
	}
	if len(w.rules.IgnoreQuery) > 0 {
		r.Target = w.ask.path
		if w.query != "" {
			r.Target += "?" + w.query
		}
	}
	return r
}

// conclude ends the flight and serves its first visitor, if that is not done yet.
func (w *walk) conclude(x *filler, reason flow.Reason) flow.Reason {
	f := x.f
	switch x.mode {
	case modePass:
		w.o.Cache = flow.CachePass
		return reason
	case modeTee:
		x.store()
		w.o.Cache = flow.CacheMiss
		return reason
	case modeDrop:
		w.c.land(f)
		return w.answer(f.entry, f.how)
	case modeFill:
		f.end(broken, reason, w.o.Err) // does nothing when it is complete
		x.store()
		w.c.land(f)
		return w.first(x, reason)
	}
	if x.old != nil && standsIn(reason) && w.mayStandIn(x.old, w.c.now(), 0) {
		how := outcome{result: flow.CacheStale, detail: "hit; fwd=stale; detail=" + string(reason)}
		f.settle(x.old, how)
		w.c.land(f)
		return w.answer(x.old, how)
	}
	w.c.land(f) // first: whoever is woken must not wait for it once more
	f.end(failed, reason, w.o.Err)
	return reason
}

// first serves the visitor who began the flight, or waits until he has been served.
func (w *walk) first(x *filler, reason flow.Reason) flow.Reason {
	if x.serving != nil {
		<-x.serving
	} else if r := x.f.subscribe(); r != nil {
		x.send(r)
	}
	o := w.o
	o.Status, o.BytesOut, o.Cache = x.f.entry.status, x.sent, flow.CacheMiss
	if x.sendErr != nil {
		err := o.Err
		if r := w.lost(x.sendErr); reason == "" || r != flow.OriginBroken {
			return r
		}
		o.Err = err
		return reason
	}
	o.Err = ""
	return ""
}

// standsIn reports whether a stored answer may stand in for what ended so: nobody could be asked, or the door would not
// ask. What is the visitor's own matter stays his.
func standsIn(reason flow.Reason) bool {
	switch reason {
	case "", flow.ClientGone, flow.ClientSlow, flow.RequestMalformed, flow.RequestTooLarge, flow.RequestLoop, flow.DoorFault:
		return false
	}
	return true
}
