package origin

import "time"

// When a pool counts as hot. Failures count over the last heatSpan seconds; the response time is judged once a second.
const (
	heatSpan     = 5                // seconds of failures that are looked at together
	heatLeast    = 20               // fewer forwards than this in the span prove nothing
	heatShare    = 20               // hot when one in heatShare of them failed (5 %)
	heatFailed   = 3                // but fewer failures than this are bad luck
	heatCrowd    = 32               // waiting forwards below this are no queue worth the name
	heatSlower   = 3.0              // hot when the response time is this many times the baseline
	heatQueueing = 0.020            // and this many seconds longer: queueing above 20 ms is overload (DAGOR, SoCC'18)
	heatStays    = 10 * time.Second // hysteresis: how long it stays hot after the last sign of trouble
	heatWarmUp   = 10               // seconds with answers before the baseline may be used
	heatFast     = 0.3              // weight of the newest second in the fast average
	heatSlow     = 1.0 / 300        // weight of the newest second in the baseline
	heatDrift    = 1.0 / 3600       // the baseline changes by at most this share in a second: it doubles in an hour or so
	heatForget   = 10               // seconds without answers after which the fast average is no evidence any more
	heatBlind    = 5.0              // seconds without any head that are a stall while there is no baseline
)

// heat decides whether the origins of a pool are in trouble. It has no clock and no lock: the times are arguments, and
// the caller serialises the calls. The zero heat is cold and has learned nothing.
//
// Four signs make it hot, and it stays hot for heatStays after the last of them:
//
//   - failures: of at least 20 forwards of the last 5 seconds, 5 % and no fewer than 3 ended in a failed connection, a timeout, no HTTP, or
//     a 502, 503 or 504;
//   - slowness: more than 32 forwards wait, and the fast moving average of the response time is over 3 times its slow
//     one and at least 20 ms longer;
//   - a stall: more than 32 forwards wait, and no answer has begun for 3 times the usual response time, at least 1 s.
//     The first two need answers; an origin that hangs gives none;
//   - shedding: admission (see admission.Gate) has sent a visitor away. Where it is in force it comes first, because it keeps
//     the crowd out of the origin by which slowness and stalls are seen; those are for pools without it.
//
// The slow average is the baseline. It learns nothing while hot, so that an attack does not become the normal state,
// and it changes only by a bounded share at any time.
type heat struct {
	ring    [heatSpan]heatWindow
	second  int64   // the unix second of the newest window
	fast    float64 // moving averages of the response time, in seconds
	slow    float64
	learned int       // how many seconds the baseline has learned from
	head    time.Time // when an answer began last
	crowded time.Time // since when more than heatCrowd forwards wait; zero when they don't
	until   time.Time // hot before this time
}

// heatWindow counts what ended in one second.
type heatWindow struct {
	total, failed int
	timed         int
	sum           float64 // of the response times, in seconds
}

// forward is how one forward went, as heat sees it.
type forward struct {
	failed bool
	// headed is true when the head of an answer came; took is the response time then. Otherwise took is how long the
	// forward waited before its visitor left, 0 when that says nothing.
	headed bool
	took   time.Duration
}

// hot reports whether the origins are in trouble at now.
func (h *heat) hot(now time.Time) bool { return now.Before(h.until) }

// arrived notes that a forward has begun to wait, one of waiting.
func (h *heat) arrived(now time.Time, waiting int) {
	h.advance(now, waiting)
	h.crowd(now, waiting)
	if h.crowded.IsZero() {
		return
	}
	since := h.crowded
	if h.head.After(since) {
		since = h.head
	}
	if now.Sub(since).Seconds() > h.patience() {
		h.until = now.Add(heatStays)
	}
}

// ended notes how a forward went; waiting is how many wait still.
func (h *heat) ended(now time.Time, f forward, waiting int) {
	h.advance(now, waiting)
	h.crowd(now, waiting)
	w := &h.ring[h.second%heatSpan]
	took := f.took.Seconds()
	switch {
	case f.headed:
		h.head = now
		w.timed, w.sum = w.timed+1, w.sum+took
	case took > h.slow:
		// A visitor that left early tells only that the answer would have taken longer.
		w.timed, w.sum = w.timed+1, w.sum+took
	}
	if !f.headed && !f.failed {
		return
	}
	w.total++
	if f.failed {
		w.failed++
	}
	total, failed := 0, 0
	for i := range h.ring {
		total, failed = total+h.ring[i].total, failed+h.ring[i].failed
	}
	if total >= heatLeast && failed >= heatFailed && failed*heatShare >= total {
		h.until = now.Add(heatStays)
	}
}

// shed notes that admission has sent a visitor away: there is more to do than the origin can.
func (h *heat) shed(now time.Time) { h.until = now.Add(heatStays) }

func (h *heat) crowd(now time.Time, waiting int) {
	switch {
	case waiting <= heatCrowd:
		h.crowded = time.Time{}
	case h.crowded.IsZero():
		h.crowded = now
	}
}

// patience is how many seconds without any head are a stall.
func (h *heat) patience() float64 {
	if h.learned < heatWarmUp {
		return heatBlind
	}
	return max(1, heatSlower*h.slow)
}

// advance closes the windows that are over at now.
func (h *heat) advance(now time.Time, waiting int) {
	second := now.Unix()
	if second <= h.second {
		return
	}
	h.judge(now, h.ring[h.second%heatSpan], waiting)
	gone := second - h.second
	if gone >= heatForget {
		h.fast = h.slow
	}
	for i := int64(1); i <= min(gone, heatSpan); i++ {
		h.ring[(h.second+i)%heatSpan] = heatWindow{}
	}
	if gone > heatSpan {
		h.ring = [heatSpan]heatWindow{}
	}
	h.second = second
}

// judge learns from a second that is over.
func (h *heat) judge(now time.Time, w heatWindow, waiting int) {
	if w.timed == 0 {
		return
	}
	mean := w.sum / float64(w.timed)
	if h.learned == 0 {
		h.fast = mean
	} else {
		h.fast += heatFast * (mean - h.fast)
	}
	if h.learned >= heatWarmUp && waiting > heatCrowd && h.fast > heatSlower*h.slow && h.fast-h.slow > heatQueueing {
		h.until = now.Add(heatStays)
	}
	if !h.hot(now) {
		h.learn(mean)
	}
}

// learn lets the baseline follow: a plain mean at first, then a slow average whose steps are bounded.
func (h *heat) learn(mean float64) {
	h.learned++
	if n := float64(h.learned); n*heatSlow < 1 && h.learned <= 6*heatWarmUp {
		h.slow += (mean - h.slow) / n
		return
	}
	step, most := heatSlow*(mean-h.slow), heatDrift*h.slow
	h.slow += min(max(step, -most), most)
}
