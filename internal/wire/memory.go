package wire

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MemoryStep is a step of the ladder that a door climbs as its connections hold more memory
// (docs/decisions/0014-memory-ladder.md).
type MemoryStep uint32

// The steps.
const (
	MemoryCalm  MemoryStep = iota // nothing follows
	MemoryTight                   // from 85 % of the budget: connections that wait for their visitors may wait less long
	MemoryFull                    // from 95 %: no new connections; the heaviest that wait are reset, then idle ones closed
)

// String returns the step as logs write it.
func (s MemoryStep) String() string {
	switch s {
	case MemoryTight:
		return "tight"
	case MemoryFull:
		return "full"
	}
	return "calm"
}

// The ladder in percent of the budget. A step is left five percent below where it begins, so that it does not flutter.
const (
	memoryTightAt  = 85
	memoryFullAt   = 95
	memoryLeave    = 5
	memoryShortest = 8 // the shortest timers are this part of the whole
)

// How often the account looks at all connections, and how long one must have waited for its visitor to be reset.
const (
	memoryLookCalm  = time.Second
	memoryLookClose = 250 * time.Millisecond // from an eighth of the budget
	memoryLookLeast = 50 * time.Millisecond  // when connections come faster than that
	memoryStalled   = 500 * time.Millisecond
)

// MemoryStats are figures of the account.
type MemoryStats struct {
	Step MemoryStep
	// Held is what the connections hold, Budget what they may hold, in bytes.
	Held, Budget int64
	// Hurried counts connections ended because they waited for longer than the shrunk timers allow, Reset those that
	// were the heaviest that waited.
	Hurried, Reset uint64
}

// Memory is one account of what the connections of all servers that it was given to hold, and the ladder that follows
// from it. What a connection holds is counted by the connection, as what its parts were measured to take; the sum is
// taken by Run, so that requests pay nothing for it. It is safe for concurrent use.
type Memory struct {
	told   func(MemoryStats)
	budget atomic.Int64
	held   atomic.Int64 // as of the last look, with connections that came and went since
	step   atomic.Uint32
	nudge  chan struct{} // a connection came while little is left

	hurried, reset atomic.Uint64

	mu     sync.Mutex // guards the following
	crowds []memoryCrowd
	all    []memoryHolder // of the look, kept for its memory
}

// memoryCrowd is a server.
type memoryCrowd interface {
	// holders appends the connections.
	holders([]memoryHolder) []memoryHolder
}

// memoryHolder is a connection as the account sees it.
type memoryHolder interface {
	// stand says what it holds now.
	stand() memoryStand
	// relieve ends the wait that w is about, and the connection with it. It is false, and nothing happens, when that wait
	// is over. hard leaves no time for a last word.
	relieve(w memoryStand, hard bool) bool
}

// memoryStand is what a connection holds in bytes, and since when it waits for its visitor. A limit of 0 means that
// it does not wait, or may wait as long as it likes; otherwise it is how long such a wait may last in calm times.
type memoryStand struct {
	held  int
	since time.Time
	limit time.Duration
	// idle is true for a connection between two requests, which loses nothing when it ends.
	idle bool
}

// order is negative where s goes before other when memory is full: who makes the door hold most while it waits for him,
// then who has been idle for longest.
func (s memoryStand) order(other memoryStand) int {
	switch {
	case s.idle && !other.idle:
		return 1
	case other.idle && !s.idle:
		return -1
	}
	return cmp.Or(cmp.Compare(other.held, s.held), s.since.Compare(other.since))
}

// NewMemory returns an account with a budget in bytes. told is called from Run when the step has changed; nil for nobody.
func NewMemory(budget int64, told func(MemoryStats)) *Memory {
	m := &Memory{told: told, nudge: make(chan struct{}, 1)}
	m.budget.Store(budget)
	return m
}

// SetBudget changes the budget.
func (m *Memory) SetBudget(bytes int64) { m.budget.Store(bytes) }

// Stats returns the figures.
func (m *Memory) Stats() MemoryStats {
	return MemoryStats{
		Step: m.Step(), Held: m.held.Load(), Budget: m.budget.Load(), Hurried: m.hurried.Load(), Reset: m.reset.Load(),
	}
}

// Step is the step in force. A nil account is always calm.
func (m *Memory) Step() MemoryStep {
	if m == nil {
		return MemoryCalm
	}
	return MemoryStep(m.step.Load())
}

// Full reports whether no connection may come in. It is as new as the last connection that came.
func (m *Memory) Full() bool {
	return m.Step() == MemoryFull || m.held.Load() >= m.budget.Load()/100*memoryFullAt
}

// Run looks at the connections until ctx ends. Without it nothing follows from what they hold.
func (m *Memory) Run(ctx context.Context) error {
	t := time.NewTimer(memoryLookCalm)
	defer t.Stop()
	var last time.Time
	for {
		select {
		case <-t.C:
		case <-m.nudge:
			if wait := memoryLookLeast - time.Since(last); wait > 0 {
				t.Reset(wait)
				continue
			}
		case <-ctx.Done():
			return nil
		}
		last = time.Now()
		m.look(last)
		pause := memoryLookCalm
		if m.held.Load() > m.budget.Load()/8 {
			pause = memoryLookClose
		}
		t.Reset(pause)
	}
}

// add notes that a connection came or went.
func (m *Memory) add(bytes int64) {
	if m == nil {
		return
	}
	if held := m.held.Add(bytes); bytes > 0 && held > m.budget.Load()/100*memoryTightAt {
		select {
		case m.nudge <- struct{}{}:
		default:
		}
	}
}

// watch adds a server's connections to the account.
func (m *Memory) watch(c memoryCrowd) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crowds = append(m.crowds, c)
}

// look takes the sum and does what the ladder says.
func (m *Memory) look(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.crowds {
		m.all = c.holders(m.all)
	}
	defer func() { clear(m.all); m.all = m.all[:0] }()
	held, budget := int64(0), m.budget.Load()
	var waiting []memoryHolder
	var stands []memoryStand
	for _, h := range m.all {
		s := h.stand()
		held += int64(s.held)
		if s.limit > 0 && m.near(budget) {
			waiting, stands = append(waiting, h), append(stands, s)
		}
	}
	m.held.Store(held)
	before := m.Step()
	step := memoryStepAt(before, held, budget)
	m.step.Store(uint32(step))
	if step >= MemoryTight {
		m.relieve(now, waiting, stands)
	}
	if step != before && m.told != nil {
		m.told(m.Stats())
	}
}

// near reports whether a list of those that wait may be needed.
func (m *Memory) near(budget int64) bool { return m.held.Load() >= budget/2 }

// relieve ends what has waited for too long and, where the budget is nearly used up, the heaviest that wait and then those
// that are idle.
func (m *Memory) relieve(now time.Time, waiting []memoryHolder, stands []memoryStand) {
	held, budget := m.held.Load(), m.budget.Load()
	full := m.Step() == MemoryFull
	var left []int
	rest := held
	for i, s := range stands {
		if waited := now.Sub(s.since); waited >= memoryShrunk(s.limit, held, budget) {
			if waiting[i].relieve(s, full) {
				m.hurried.Add(1)
				rest -= int64(s.held)
			}
		} else if waited >= memoryStalled {
			left = append(left, i)
		}
	}
	if !full {
		return
	}
	slices.SortFunc(left, func(a, b int) int { return stands[a].order(stands[b]) })
	for _, i := range left {
		if rest < budget/100*(memoryFullAt-memoryLeave) {
			return
		}
		if waiting[i].relieve(stands[i], true) {
			m.reset.Add(1)
			rest -= int64(stands[i].held)
		}
	}
}

// memoryStepAt is the step for what is held when the step before is known.
func memoryStepAt(before MemoryStep, held, budget int64) MemoryStep {
	at := func(percent int64) bool { return held >= budget/100*percent }
	switch {
	case at(memoryFullAt), before == MemoryFull && at(memoryFullAt-memoryLeave):
		return MemoryFull
	case at(memoryTightAt), before >= MemoryTight && at(memoryTightAt-memoryLeave):
		return MemoryTight
	}
	return MemoryCalm
}

// memoryShrunk is how long a wait may last that may last d in calm times: the whole at 85 % of the budget, an eighth from
// 95 % on.
func memoryShrunk(d time.Duration, held, budget int64) time.Duration {
	percent := float64(held) / float64(max(budget, 1)) * 100
	over := min(1, max(0, (percent-memoryTightAt)/(memoryFullAt-memoryTightAt)))
	least := 1.0 / memoryShortest
	return time.Duration(float64(d) * (1 - over*(1-least)))
}
