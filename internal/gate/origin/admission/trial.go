package admission

import "time"

const (
	trialAfter = time.Second            // a limit that has bound for so long, and not moved
	trialMoved = 0.1                    // by more than this part of it, is tried
	trialStep  = 1.5                    // this much higher
	trialFull  = 32                     // for so many answers,
	trialLeast = 300 * time.Millisecond // at least for so long
	trialMost  = 2 * time.Second        // and at most,
	trialDoubt = 2 * overload           // where answers take no longer than this beyond what they should,
	trialTook  = trialMost / 4          // nor than this in all: what is sent in the trial has to be back before its end;
	trialAgain = 30 * time.Second       // so long after one that was in vain comes the next, and then after twice as long,
	trialRare  = 5 * time.Minute        // up to this
)

// trial is the limiter's own experiment where it has nothing else to go by: a limit that binds and stays, with answers that take longer
// than they should, but not by so much that they must be queueing. The limit goes up for a moment. Where the origin queues, answers
// take longer in proportion; where it has become slower, they do not. Nobody is refused to find out.
type trial struct {
	on             bool
	limit          float64       // the limit that is tried, or may be
	since          time.Duration // when the trial began, or since when the limit binds and stays
	before, during crowdSum
	next           time.Duration // no trial before
	pause          time.Duration // between the last two
}

// try looks at a window. done says that nothing else is to be learned from it, and factor is what the trial has found: see judge.
func (l *limiter) try(now time.Duration) (done bool, factor float64) {
	t, w := &l.trial, &l.w
	if t.on {
		t.during.add(w.sum, 1)
		return true, l.tryOn(now)
	}
	if !w.bound || l.limit < t.limit*(1-trialMoved) || l.limit > t.limit*(1+trialMoved) {
		t.restart(now, l.limit)
		return false, 0
	}
	t.before.add(w.sum, 1)
	b := &t.before
	if now-t.since < trialAfter || now < t.next || b.n < trialFull || !b.sure() || l.limit*trialStep > limitMost ||
		b.surplus() < comfort.Seconds() || b.surplus() > trialDoubt.Seconds() || b.mean(b.took) > trialTook.Seconds() {
		return false, 0
	}
	t.on, t.since, t.limit = true, now, l.limit
	l.limit, l.changed = max(l.limit*trialStep, l.limit+1), now
	return true, 0
}

// tryOn ends a trial when it is time. Answers that would come later are not waited for, so that it is no finding when few have come.
func (l *limiter) tryOn(now time.Duration) (factor float64) {
	t := &l.trial
	b, d := &t.before, &t.during
	worse := d.n >= crowdLeast && d.mean(d.took) > trialStep*b.mean(b.took)+overload.Seconds()
	switch span := now - t.since; {
	case worse || span >= trialMost:
	case span < max(trialLeast, seconds(4*b.mean(b.took))) || d.n < trialFull:
		return 0
	}
	if more := d.mean(d.crowd)/b.mean(b.crowd) - 1; !worse && d.n >= trialFull && d.sure() && more >= elastic*(trialStep-1) && 1/b.part(d)-1 <= elastic*more && l.believes(now, d.mean(d.crowd)) {
		factor = d.ratio()
		t.next, t.pause = 0, 0
		t.restart(now, l.limit)
		l.absolve(now)
		return factor
	}
	l.endTrial(now)
	return 0
}

// endTrial takes back what was in vain.
func (l *limiter) endTrial(now time.Duration) {
	t := &l.trial
	l.lower(now, t.limit)
	t.pause = min(max(2*t.pause, trialAgain), trialRare)
	t.next = now + t.pause
	t.restart(now, l.limit)
}

func (t *trial) restart(now time.Duration, limit float64) {
	*t = trial{limit: limit, since: now, next: t.next, pause: t.pause}
}
