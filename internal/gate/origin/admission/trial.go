package admission

import "time"

const (
	trialAfter = time.Second            // a limit that has bound for so long, and not moved
	trialMoved = 0.1                    // by more than this part of it, is tried
	trialStep  = 1.5                    // this much higher
	trialFull  = 32                     // for so many answers,
	trialLeast = 300 * time.Millisecond // at least for so long
	trialMost  = 2 * time.Second        // and at most;
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
	of := w.sum()
	if t.on {
		t.during.plus(of)
		return true, l.endTrial(now)
	}
	if !w.bound || l.limit < t.limit*(1-trialMoved) || l.limit > t.limit*(1+trialMoved) {
		t.restart(now, l.limit)
		return false, 0
	}
	t.before.plus(of)
	if now-t.since < trialAfter || now < t.next || t.before.n < trialFull || t.before.surplus() < comfort.Seconds() {
		return false, 0
	}
	t.on, t.since, t.limit = true, now, l.limit
	l.limit, l.changed = max(l.limit*trialStep, l.limit+1), now
	return true, 0
}

// endTrial ends a trial when it is time.
func (l *limiter) endTrial(now time.Duration) (factor float64) {
	t := &l.trial
	if span := now - t.since; span < trialMost && (span < trialLeast || t.during.n < trialFull) {
		return 0
	}
	defer func() { t.restart(now, l.limit) }()
	if t.during.n < crowdLeast {
		return 0
	}
	more := t.during.mean(t.during.crowd)/t.before.mean(t.before.crowd) - 1
	switch {
	case more < elastic*(trialStep-1): // nobody wanted the places
		return 0
	case 1/t.before.part(&t.during)-1 > elastic*more:
		l.lower(now, t.limit)
		t.pause = min(max(2*t.pause, trialAgain), trialRare)
		t.next = now + t.pause
		return 0
	}
	t.next, t.pause = 0, 0
	l.absolve()
	return t.during.ratio()
}

func (t *trial) restart(now time.Duration, limit float64) {
	*t = trial{limit: limit, since: now, next: t.next, pause: t.pause}
}
