package state

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// MaxDebt bounds the time that a rate needs to refill its burst, and any debt.
const MaxDebt = 90 * 24 * time.Hour

// Quota says what a key may use: Amount units in each Per, Burst units at once.
type Quota struct {
	Amount int64
	Per    time.Duration
	Burst  int64
	// Patience is how long a request that is over the rate may be held back instead of refused. 0: not at all.
	Patience time.Duration
	// Overdraft is how far settled debt may go beyond the burst, as time of refilling. What is over it is forgiven.
	Overdraft time.Duration
}

// Rate is a Quota compiled for the generic cell rate algorithm (GCRA, ITU-T I.371, annex A; in its form as a virtual
// schedule): all that is kept of a key is one number, the theoretical arrival time (TAT), at which its debt is paid. A
// Rate is immutable. The zero Rate charges nothing and lets everything pass.
//
// A unit costs Per/Amount, the emission interval, rounded down to whole nanoseconds and at least one: a key never gets
// less than its rate, and no more than 1e9 requests of one unit a second.
type Rate struct {
	amount, per uint64
	unit        uint64 // cost of one unit, ns
	burst       uint64 // burst tolerance, ns
	patience    uint64 // ns beyond burst that a request may be held back
	ceiling     uint64 // most debt, ns; more is a clock that went back
}

// NewRate compiles a quota. It reports every mistake at once.
func NewRate(q Quota) (Rate, error) {
	var errs []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(q.Amount < 1, "the rate's amount is %d: it must be at least 1", q.Amount)
	check(q.Per < 1, "the rate's time is %v: it must be more than nothing", q.Per)
	check(q.Burst < 1, "the burst is %d: it must be at least 1", q.Burst)
	check(q.Patience < 0, "the longest wait is %v: it must not be negative", q.Patience)
	check(q.Overdraft < 0, "the overdraft is %v: it must not be negative", q.Overdraft)
	if len(errs) > 0 {
		return Rate{}, errors.Join(errs...)
	}
	r := Rate{amount: uint64(q.Amount), per: uint64(q.Per)}
	r.unit = max(1, r.per/r.amount)
	r.burst = r.cost(uint64(q.Burst))
	if r.burst > uint64(MaxDebt) {
		return Rate{}, fmt.Errorf("a burst of %d takes more than %d days to refill at %d per %v: lower the burst or raise the rate",
			q.Burst, MaxDebt/(24*time.Hour), q.Amount, q.Per)
	}
	r.patience = uint64(min(q.Patience, MaxDebt))
	r.ceiling = min(r.burst+max(r.patience, uint64(min(q.Overdraft, MaxDebt))), uint64(MaxDebt))
	r.patience = min(r.patience, r.ceiling-r.burst)
	return r, nil
}

// Refill is how long a used-up burst takes to be whole again.
func (r Rate) Refill() time.Duration { return time.Duration(r.burst) }

// Spend is the decision as a pure function. tat is the key's theoretical arrival time and now the time, both in
// nanoseconds on one scale; it returns the TAT to keep, which is never before now, and the answer. Both may have any
// value: a debt is at most what the rate can have run up, so that a clock that goes back costs a key no more than its
// burst and overdraft, and one that leaps ahead forgives.
func (r Rate) Spend(tat, now, units int64, settle bool) (int64, Answer) {
	return r.spend(tat, now, units, settle)
}

// spend is Spend without a copy of the rate; nil is the zero Rate.
func (r *Rate) spend(tat, now, units int64, settle bool) (int64, Answer) {
	if r == nil {
		return now, Answer{}
	}
	debt := r.debt(tat, now)
	if settle {
		debt = r.settled(debt, units)
		return later(now, debt), Answer{}
	}
	if units < 0 {
		units = 0
	}
	cost := r.cost(uint64(units))
	after, most := debt+cost, r.burst+r.patience
	if after > most {
		if cost > most {
			return later(now, debt), Answer{Finding: Exceeds, Wait: Never}
		}
		return later(now, debt), Answer{Finding: Exceeds, Wait: time.Duration(after - most)}
	}
	var a Answer
	if after > r.burst {
		a.Wait = time.Duration(after - r.burst)
	}
	return later(now, after), a
}

// settled is the debt after units were charged, or given back when they are negative.
func (r *Rate) settled(debt uint64, units int64) uint64 {
	if units >= 0 {
		return min(debt+r.cost(uint64(units)), r.ceiling)
	}
	return debt - min(debt, r.cost(-uint64(units)))
}

// debt is how far tat lies ahead of now.
func (r *Rate) debt(tat, now int64) uint64 {
	if tat <= now {
		return 0
	}
	return min(uint64(tat)-uint64(now), r.ceiling)
}

// cost is the time that units take at the rate, at most 2^62 ns.
func (r *Rate) cost(units uint64) uint64 {
	switch {
	case units == 1:
		return r.unit
	case units == 0 || r.amount == 0:
		return 0
	}
	hi, lo := bits.Mul64(units, r.per)
	if hi >= r.amount {
		return 1 << 62
	}
	q, _ := bits.Div64(hi, lo, r.amount)
	return min(max(q, 1), 1<<62)
}

// later is now + d without overflow; d is at most 2^63-1.
func later(now int64, d uint64) int64 {
	if now > 0 && d > uint64(math.MaxInt64-now) {
		return math.MaxInt64
	}
	return now + int64(d)
}
