package client

import (
	"math"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// The numbers behind "this peer looks like an undeclared proxy".
const (
	// window is one of the two halves over which distinct clients are counted: the one under way and the one before.
	window = 10 * time.Minute
	// manyBits is how many of a sketch's 256 bits stand for about 20 distinct clients.
	manyBits = 19
	// bareShare: a proxy marks nearly every request. More than one in 20 without a mark, and it is none.
	bareShare = 20
	// keep is how long a peer stays noticed after it last looked like a proxy, so that a quiet hour does not make a
	// proxy a client again.
	keep = time.Hour
	// again is the time between two notices of one peer.
	again = 10 * time.Minute

	sets, ways = 128, 8
	// maxNotices bounds the notices of all peers within again.
	maxNotices = 64
)

// table counts the distinct clients that undeclared peers claim to speak for. Its size is fixed, 1024 peers in 128
// sets; it allocates nothing and has no clock but the one that it is given.
//
// When a set is full, a newcomer weighs against its lightest peer: each newcomer takes one request off that peer's
// weight, and takes its place when nothing is left (Misra and Gries, "Finding repeated elements", 1982). So a flood
// from many addresses, each with a forged header, cannot push out a proxy that carries more than its share.
type table struct {
	sets [sets]set
	said struct {
		sync.Mutex
		ring [maxNotices]struct {
			tag uint64
			at  int64
		}
		next int
	}
}

type set struct {
	tags    [ways]atomic.Uint64 // 0 is a free slot
	noticed [ways]atomic.Bool
	mu      sync.Mutex // guards slots, and all writes to the set
	slots   [ways]slot
}

// slot is what is known of one peer. Times are in nanoseconds since 1970.
type slot struct {
	peer         netip.Addr
	since        int64 // the first request
	start        int64 // of the window under way
	lookedLike   int64 // when it last looked like a proxy, 0 for never
	saidAt       int64 // the last notice, or try of one; 0 for never
	now, before  sketch
	marked, bare uint32 // requests with and without a mark, halved with each window
	weight       uint32
}

// sketch counts distinct hashes by linear counting (Whang, Vander-Zanden and Taylor, 1990) over 256 bits: about 5 %
// off at 20, and useful up to a thousand.
type sketch [4]uint64

func (s *sketch) add(h uint64) { s[h>>6&3] |= 1 << (h & 63) }

func (s *sketch) union(o *sketch) (ones int) {
	for i := range s {
		ones += bits.OnesCount64(s[i] | o[i])
	}
	return ones
}

func estimate(ones int) int {
	free := max(256-ones, 1)
	return int(math.Round(-256 * math.Log(float64(free)/256)))
}

func place(hash uint64) (at int, tag uint64) { return int(hash % sets), max(hash, 1) }

func (s *set) find(tag uint64) int {
	for i := range s.tags {
		if s.tags[i].Load() == tag {
			return i
		}
	}
	return -1
}

// looksLike reports whether the peer with this hash has been noticed.
func (t *table) looksLike(hash uint64) bool {
	at, tag := place(hash)
	s := &t.sets[at]
	i := s.find(tag)
	return i >= 0 && s.noticed[i].Load()
}

// bare counts a request without a mark, if its peer is under watch.
func (t *table) bare(hash uint64, arrived time.Time) {
	at, tag := place(hash)
	s := &t.sets[at]
	if s.find(tag) < 0 { // nearly always; no lock
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(tag); i >= 0 {
		p, now := &s.slots[i], arrived.UnixNano()
		p.roll(now)
		p.bare = inc(p.bare)
		p.weight = inc(p.weight)
		s.judge(i, now)
	}
}

// marked counts a request of peer that claims to come from the client with the hash claim. say is true when u is to be
// told to the operator; its Header is left to the caller.
func (t *table) marked(hash uint64, peer netip.Addr, claim uint64, arrived time.Time) (u Undeclared, say bool) {
	at, tag := place(hash)
	s := &t.sets[at]
	now := arrived.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(tag)
	if i < 0 {
		if i = s.makeRoom(now); i < 0 {
			return u, false
		}
		s.slots[i] = slot{peer: peer, since: now, start: now}
		s.noticed[i].Store(false)
		s.tags[i].Store(tag)
	}
	p := &s.slots[i]
	p.roll(now)
	p.marked = inc(p.marked)
	p.weight = inc(p.weight)
	p.now.add(claim)
	if !s.judge(i, now) || p.saidAt != 0 && within(now, p.saidAt, again) {
		return u, false
	}
	p.saidAt = now
	if !t.mayspeak(tag, now) {
		p.saidAt = now - int64(again-time.Minute) // try again in a minute
		return u, false
	}
	return Undeclared{Peer: p.peer, Clients: estimate(p.now.union(&p.before)), Since: time.Unix(0, p.since)}, true
}

// makeRoom returns a slot for a newcomer, -1 when there is none this time.
func (s *set) makeRoom(now int64) int {
	lightest := 0
	for i := range s.slots {
		p := &s.slots[i]
		if s.tags[i].Load() == 0 || !within(now, p.start, 2*window) && !within(now, p.lookedLike, keep) {
			return i
		}
		if p.weight < s.slots[lightest].weight {
			lightest = i
		}
	}
	p := &s.slots[lightest]
	if p.weight--; p.weight > 0 {
		return -1
	}
	return lightest
}

// judge writes and returns whether the peer in slot i looks like a proxy.
func (s *set) judge(i int, now int64) bool {
	p := &s.slots[i]
	proxy := uint64(p.bare)*bareShare <= uint64(p.bare)+uint64(p.marked)
	if proxy {
		if p.now.union(&p.before) >= manyBits {
			p.lookedLike = now
		}
		proxy = p.lookedLike != 0 && within(now, p.lookedLike, keep)
	}
	if s.noticed[i].Load() != proxy {
		s.noticed[i].Store(proxy)
	}
	return proxy
}

// roll begins a new window when the one under way is over. A clock that stepped back begins one too.
func (p *slot) roll(now int64) {
	age := time.Duration(now - p.start)
	if age >= -window && age < window {
		return
	}
	p.before, p.now = p.now, sketch{}
	p.marked, p.bare = p.marked/2, p.bare/2
	p.weight = max(p.weight/2, 1)
	p.start = now
	if age < 0 || age >= 2*window {
		p.before = sketch{}
	}
}

// mayspeak reports whether a notice may go out now, and notes that it did.
func (t *table) mayspeak(tag uint64, now int64) bool {
	s := &t.said
	s.Lock()
	defer s.Unlock()
	if oldest := s.ring[s.next]; oldest.tag != 0 && within(now, oldest.at, again) {
		return false
	}
	for _, e := range s.ring {
		if e.tag == tag && within(now, e.at, again) {
			return false
		}
	}
	s.ring[s.next].tag, s.ring[s.next].at = tag, now
	s.next = (s.next + 1) % maxNotices
	return true
}

// within reports whether a and b are less than d apart.
func within(a, b int64, d time.Duration) bool {
	diff := a - b
	return diff < int64(d) && -diff < int64(d)
}

func inc(n uint32) uint32 {
	if n == math.MaxUint32 {
		return n
	}
	return n + 1
}

// marks are the fields by which a proxy shows itself, the most telling one first.
var marks = [...]string{"X-Forwarded-For", "Forwarded", "CF-Connecting-IP", "X-Real-IP", "True-Client-IP", via}

const via = "Via"
