package admission

import (
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"time"
	"unsafe"
)

// Sizes and times of what is remembered of clients.
const (
	memorySets   = 1 << 14
	memoryWays   = 8
	memoryLocks  = 64
	keptMost     = memoryWays - 2   // of a set's places, for those in good standing: newcomers always have two
	usedSpan     = 10 * time.Second // the time constant with which what was used is forgotten
	goodLeast    = 3                // good answers, and
	goodAfter    = 3                // seconds since the first request, that make a standing,
	goodFor      = 14 * 24 * 3600   // seconds without a request that end it,
	vouchedFor   = 24 * 3600        // and those that end the origin's word for a session
	badLeast     = 20               // answers with an error of the client's that make it suspicious,
	badShare     = 4                // where they are this many times the good ones
	pageAssets   = 64               // requests of a page's own that keep the page's place,
	pageSpan     = 10 * time.Second // within this time
	placeFor     = 600              // seconds after which a place in the line of those who were told to come back is forgotten,
	placeAway    = 120              // also when its owner does not come for so many
	countsHalved = 1 << 12
)

// Memory remembers clients: what they have used of an origin's time of late, how they have behaved, and for which sessions
// an origin has vouched. It is a set-associative table of fixed size (4 MiB) under a keyed hash; what it forgets first are
// newcomers who have used little, so a flood of new addresses displaces only itself and never who was there before. It is
// safe for concurrent use, and nothing in it tells an address or a credential.
type Memory struct {
	seed  maphash.Seed
	born  time.Time
	sets  []clientSet
	locks [memoryLocks]struct {
		sync.Mutex
		_ [64 - unsafe.Sizeof(sync.Mutex{})]byte // a cache line each
	}
}

// client is one entry; its zero value is a free place.
type client struct {
	tag         uint64
	used        float32 // milliseconds of the origin, aged until usedAt
	usedAt      uint32  // in 1/16 s since the memory's birth
	first, last uint32  // seconds since then
	good, bad   uint16  // answers, aged
	assets      uint8   // requests of the page that may still keep its place
	place       uint8   // its priority and level, and the mark vouchedMark
	turned      uint16  // when it was turned away first since it was let in last, 0 for never: see Turned
}

// vouchedMark in client.place says that an origin has vouched for the session.
const vouchedMark = 1 << 7

// clientSet are the places that a key may have: four cache lines.
type clientSet [memoryWays]client

// Key names a client, or a session, in a Memory.
type Key uint64

// NewMemory returns an empty memory; now is the time.
func NewMemory(now time.Time) *Memory {
	return &Memory{seed: maphash.MakeSeed(), born: now, sets: make([]clientSet, memorySets)}
}

// KeyOf is the key of anything that can be compared, such as a struct of an address and texts.
func KeyOf[T comparable](m *Memory, what T) Key { return Key(maphash.Comparable(m.seed, what) | 1) }

// find returns the place of a key with its lock held, nil when it is not known.
func (m *Memory) find(k Key) (c *client, set *clientSet, unlock *sync.Mutex) {
	hi, _ := bits.Mul64(uint64(k), memorySets)
	set = &m.sets[hi]
	lock := &m.locks[hi%memoryLocks].Mutex
	lock.Lock()
	for i := range set {
		if set[i].tag == uint64(k) {
			return &set[i], set, lock
		}
	}
	return nil, set, lock
}

// findOrAdd is find that gives a new key a place.
func (m *Memory) findOrAdd(k Key, now time.Time) (c *client, unlock *sync.Mutex) {
	c, set, lock := m.find(k)
	at := m.second(now)
	if c == nil {
		c = set.weakest(at)
		*c = client{tag: uint64(k), first: at, last: at, usedAt: m.tick(now)}
	}
	c.last = max(c.last, at)
	return c, lock
}

// Second is a time as places are counted by; see Gate.TurnedAway.
func (m *Memory) Second(now time.Time) uint32 { return m.second(now) }

// second and tick are a time as entries keep it.
func (m *Memory) second(now time.Time) uint32 { return uint32(max(0, now.Sub(m.born)) / time.Second) }
func (m *Memory) tick(now time.Time) uint32 {
	return uint32(max(0, now.Sub(m.born)) / (time.Second / 16))
}

// weakest is the place of a set that a newcomer gets: a free one, else that of the newcomer who was seen the longest ago
// and has used the least, else that of the standing that was seen the longest ago.
func (s *clientSet) weakest(at uint32) *client {
	kept := 0
	for i := range s {
		if s[i].kept(at) {
			kept++
		}
	}
	var weakest *client
	least := uint32(0)
	for i := range s {
		c := &s[i]
		if c.tag == 0 {
			return c
		}
		if c.kept(at) == (kept <= keptMost) {
			continue
		}
		weight := c.last
		if kept <= keptMost {
			weight += uint32(min(c.used/10, 600)) // who has used much is remembered for longer, up to ten minutes
		}
		if weakest == nil || weight < least {
			weakest, least = c, weight
		}
	}
	return weakest
}

// kept reports whether an entry is worth more than a newcomer's.
func (c *client) kept(at uint32) bool { return c.tag != 0 && (c.vouchedFor(at) || c.standing(at)) }

func (c *client) vouchedFor(at uint32) bool {
	return c.place&vouchedMark != 0 && c.away(at) < vouchedFor
}

// away is how many seconds ago the client was seen last. Requests note their time before they get here, so that it may lie
// behind what others have noted.
func (c *client) away(at uint32) uint32 { return max(at, c.last) - c.last }

// standing reports whether the client was seen in good standing before: some good answers, over some time.
func (c *client) standing(at uint32) bool {
	return c.good >= goodLeast && c.good > c.bad && c.last-c.first >= goodAfter && c.away(at) < goodFor
}

// suspicious reports whether nearly all that the client asks for is not there, or not for it.
func (c *client) suspicious() bool { return c.bad >= badLeast && int(c.bad) >= badShare*int(c.good) }

// View is what a Memory knows of a client.
type View struct {
	// Used is the origin's time that it has used of late: a rate of r per second for long is a Used of 10 s·r.
	Used time.Duration
	// Standing, Suspicious and Vouched are said of it in standing, suspicious and vouchedFor.
	Standing, Suspicious, Vouched bool
	// Turned is since when it waits to be let in: it was told to come back later, and comes.
	Turned Turned
	// Away is how long ago its last request was, in whole seconds.
	Away time.Duration
	// Page is true while what it asks for may belong to a page that was let in with Priority and Level.
	Page     bool
	Priority Priority
	Level    uint8
}

// Look returns what is known of a client. ofPage says that the request is no page of its own: it may keep the place of the
// page that it belongs to, and uses up one of the requests that may.
func (m *Memory) Look(now time.Time, k Key, ofPage bool) (v View) {
	c, _, lock := m.find(k)
	defer lock.Unlock()
	if c == nil {
		return v
	}
	at := m.second(now)
	v = View{Turned: c.turnedAt(at), Away: time.Duration(c.away(at)) * time.Second, Used: c.usedBy(m.tick(now)), Standing: c.standing(at), Suspicious: c.suspicious(), Vouched: c.vouchedFor(at)}
	if ofPage && c.assets > 0 && c.away(at) <= uint32(pageSpan/time.Second) {
		c.assets--
		place := c.place &^ vouchedMark
		v.Page, v.Priority, v.Level = true, Priority(place/levels)+Operator, place%levels
	}
	return v
}

// usedBy ages what was used until the tick.
func (c *client) usedBy(tick uint32) time.Duration {
	age := time.Duration(max(tick, c.usedAt)-c.usedAt) * (time.Second / 16)
	return time.Duration(float64(c.used) * math.Exp(-float64(age)/float64(usedSpan)) * float64(time.Millisecond))
}

// Charge adds what a client has used or asked for; a negative cost gives back.
func (m *Memory) Charge(now time.Time, k Key, cost time.Duration) {
	c, lock := m.findOrAdd(k, now)
	defer lock.Unlock()
	c.charge(m.tick(now), cost)
}

func (c *client) charge(tick uint32, cost time.Duration) {
	used := c.usedBy(tick) + cost
	c.used, c.usedAt = float32(max(0, used.Seconds()*1e3)), max(tick, c.usedAt)
}

// Answered is how a request of a client ended.
type Answered uint8

// The ends that a Memory tells apart.
const (
	Neither Answered = iota // it says nothing of the client
	Good                    // an answer without an error
	Bad                     // an error that is the client's
)

// Settle charges a client and notes how its request ended. It returns the place that it had in the line of those who were told to
// come back, and has no more: it was let in.
func (m *Memory) Settle(now time.Time, k Key, cost time.Duration, a Answered) (had Turned) {
	c, lock := m.findOrAdd(k, now)
	defer lock.Unlock()
	had, c.turned = c.turnedAt(m.second(now)), 0
	c.charge(m.tick(now), cost)
	switch a {
	case Good:
		c.good++
	case Bad:
		c.bad++
	}
	if c.good >= countsHalved || c.bad >= countsHalved {
		c.good, c.bad = c.good/2, c.bad/2
	}
	return had
}

// Page notes that a page was let in: what it needs keeps its place.
func (m *Memory) Page(now time.Time, k Key, p Priority, level uint8) {
	c, lock := m.findOrAdd(k, now)
	defer lock.Unlock()
	c.assets, c.place = pageAssets, uint8(rankOf(p, level))|c.place&vouchedMark
}

// TurnAway notes that a client was told to come back later, and returns its place among all who were. Who is not patient has none, and
// loses the one that he had.
func (m *Memory) TurnAway(now time.Time, k Key, patient bool) (t Turned, first bool) {
	c, lock := m.findOrAdd(k, now)
	defer lock.Unlock()
	at := m.second(now)
	t = c.turnedAt(at)
	switch {
	case !patient:
		c.turned = 0
	case t == 0:
		t, first = turnedIn(at), true
		c.turned = uint16(t)
	}
	return t, first
}

// Vouch notes that an origin has vouched for a session.
func (m *Memory) Vouch(now time.Time, k Key) {
	c, lock := m.findOrAdd(k, now)
	defer lock.Unlock()
	c.place |= vouchedMark
}
