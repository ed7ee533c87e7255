package cache

import (
	"hash/maphash"
	"math"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// busting finds paths whose distinct addresses explode, and knows which parameters of their queries have ever changed an
// answer. It has a fixed size: a set-associative table of records, of which the one that was used longest ago makes room.
// Only a path with a stored answer has a record; where nothing can be stored, there is nothing that a cache could do.
type busting struct {
	seed      maphash.Seed
	collapsed atomic.Uint64
	probes    atomic.Uint64

	mu   sync.Mutex
	sets [128][4]record
}

// record is what is known of one path of a site.
type record struct {
	hash  uint64
	path  string // as visitors send it
	used  int64  // unix seconds
	names [16]parameter
	seen  [64]uint16 // of hashes of names that came lately and are not known
	past  [8]sample
	next  int // the place in past for the next one

	second  int64 // of the window
	window  [16]uint64
	usual   float64 // distinct addresses a second, in calm times
	until   int64   // the second until which the path counts as exploding
	probing float64 // how many unknown names may still be tried in this second
}

// parameter is what is known of one name. The zero value is a free place.
type parameter struct {
	hash          uint64
	changed, same uint8 // how often answers that differ in it alone differed, or were the same
}

// relevant reports whether the parameter is one that makes a difference. A page that changes with time now and then
// differs for every parameter: what is the same four times for each time that it is not makes none.
func (p *parameter) relevant() bool { return p.changed > 0 && int(p.changed)*4 >= int(p.same) }

// sample is an answer that was stored lately.
type sample struct {
	params        [paramsMost]param
	n             int
	variant, body uint64
	at            int64
}

type param struct{ name, value uint64 }

const (
	paramsMost = 8 // a query with more is not learned from

	explodesFrom = 64 // distinct misses in a second are never less
	explodesOver = 8  // times what is usual
	hotFrom      = 16 // the same while the origin is in trouble
	hotOver      = 4
	explodesFor  = 10              // seconds after the last one of them
	usualOver    = 60              // seconds in which the usual follows
	sampleAge    = 60              // seconds after which an answer says nothing of another
	probesMost   = 20              // a second and path
	manyChanges  = math.MaxUint8   // counters stay there
	windowBits   = 16 * 64         // of the bitmap
	windowFull   = windowBits - 64 // from where on it cannot tell how many there are
)

func newBusting() *busting { return &busting{seed: maphash.MakeSeed()} }

// find returns the record of the path, nil for none. The caller holds mu.
func (b *busting) find(hash uint64) *record {
	set := &b.sets[hash%uint64(len(b.sets))]
	for i := range set {
		if set[i].hash == hash && set[i].path != "" {
			return &set[i]
		}
	}
	return nil
}

// make returns the record of the path, a new one if need be. The caller holds mu.
func (b *busting) make(hash uint64, path string, now int64) *record {
	if r := b.find(hash); r != nil {
		r.used = now
		return r
	}
	set := &b.sets[hash%uint64(len(b.sets))]
	oldest := &set[0]
	for i := range set {
		if set[i].used < oldest.used {
			oldest = &set[i]
		}
	}
	*oldest = record{hash: hash, path: strings.Clone(path), used: now}
	return oldest
}

// miss takes note of an address of the path that is not stored, and reports whether the path explodes, and whether it has
// just begun to. hot says that the origin is in trouble: then it takes less.
func (b *busting) miss(path, address uint64, now time.Time, hot bool) (explodes, begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.find(path)
	if r == nil {
		return false, false
	}
	second := now.Unix()
	r.turn(second)
	bit := address % windowBits
	r.window[bit/64] |= 1 << (bit % 64)
	least, over := float64(explodesFrom), explodesOver*r.usual
	if hot {
		least, over = hotFrom, hotOver*r.usual
	}
	if r.until < second+explodesFor && r.distinct() >= max(least, over) {
		begins = r.until < second
		r.until = second + explodesFor
	}
	r.used = second
	return r.until >= second, begins
}

// turn begins a new window when the second is another one. What was usual is only learned in calm times.
func (r *record) turn(second int64) {
	passed := second - r.second
	if passed == 0 {
		return
	}
	if r.until < r.second && passed > 0 {
		r.usual += (r.distinct() - r.usual) / usualOver
		r.usual *= math.Pow(1-1.0/usualOver, float64(min(passed-1, 3600)))
	}
	r.second, r.window, r.probing = second, [16]uint64{}, probesMost
}

// distinct estimates how many addresses are in the window: linear counting (Whang et al., 1990).
func (r *record) distinct() float64 {
	set := 0
	for _, w := range r.window {
		set += bits.OnesCount64(w)
	}
	if set >= windowFull {
		return math.Inf(1)
	}
	return -windowBits * math.Log(1-float64(set)/windowBits)
}

// collapse returns the path as it is usually sent, and the query without the parameters that have never changed an answer.
// With probe, the request is one of the few that go to the origin as they are, because it has a parameter of which nothing
// is known: that is how it gets known.
func (b *busting) collapse(hash uint64, query string) (path, kept string, probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.find(hash)
	if r == nil {
		return "", query, true
	}
	kept = keepParams(query, func(name string) bool {
		h := b.hash(name)
		p := r.parameter(h)
		if p == nil {
			probe = r.cameBefore(h) || probe
		}
		return p == nil || !p.relevant()
	})
	if probe && r.probing >= 1 {
		r.probing--
		b.probes.Add(1)
		return r.path, query, true
	}
	b.collapsed.Add(1)
	return r.path, kept, false
}

func (b *busting) hash(s string) uint64 { return maphash.String(b.seed, s) | 1 }

func (r *record) parameter(hash uint64) *parameter {
	for i := range r.names {
		if r.names[i].hash == hash {
			return &r.names[i]
		}
	}
	return nil
}

// cameBefore reports whether an unknown name has come before, and remembers it. Names made up at random practically never
// come twice, so that they take none of the probes.
func (r *record) cameBefore(hash uint64) bool {
	place, tag := &r.seen[hash>>16%uint64(len(r.seen))], uint16(hash>>48)|1
	if *place == tag {
		return true
	}
	*place = tag
	return false
}

// learn compares an answer that was stored with others of its path. path is as it was sent, clean without its escapes; variant
// and body are hashes of what selected the answer and of the answer.
func (b *busting) learn(hash uint64, path, clean, query string, variant, body uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	second := now.Unix()
	r := b.make(hash, path, second)
	if path == clean && r.path != clean {
		r.path = strings.Clone(clean)
	}
	s := sample{variant: variant, body: body, at: second}
	if !b.read(&s, query) {
		return
	}
	calm := r.until < second
	for i := range r.past {
		if o := &r.past[i]; o.at > 0 && second-o.at <= sampleAge && o.variant == s.variant {
			r.compare(&s, o, calm)
		}
	}
	r.past[r.next] = s
	r.next = (r.next + 1) % len(r.past)
}

// read takes a query apart; false when it has too many parameters.
func (b *busting) read(s *sample, query string) bool {
	if query == "" {
		return true
	}
	for p := range strings.SplitSeq(query, "&") {
		if s.n == paramsMost {
			return false
		}
		name, value, _ := strings.Cut(p, "=")
		s.params[s.n] = param{b.hash(name), b.hash(value)}
		s.n++
	}
	return true
}

// compare learns from two answers. If they differ, it is because of the one parameter that the queries differ in, apart from
// those that are known to make no difference; where there are several, nobody can tell.
func (r *record) compare(s, o *sample, calm bool) {
	var differ [2 * paramsMost]uint64
	n := 0
	note := func(a, b *sample) {
		for _, p := range a.params[:a.n] {
			if !b.has(p) && !contains(differ[:n], p.name) {
				differ[n] = p.name
				n++
			}
		}
	}
	note(s, o)
	note(o, s)
	if s.body == o.body {
		for _, name := range differ[:n] {
			r.count(name, false, calm)
		}
		return
	}
	suspects, suspect := 0, uint64(0)
	for _, name := range differ[:n] {
		if p := r.parameter(name); n == 1 || p == nil || p.relevant() || p.same < 2 {
			suspects, suspect = suspects+1, name
		}
	}
	if suspects == 1 {
		r.count(suspect, true, calm)
	}
}

func (s *sample) has(p param) bool {
	for _, q := range s.params[:s.n] {
		if p == q {
			return true
		}
	}
	return false
}

func contains(list []uint64, h uint64) bool {
	for _, l := range list {
		if l == h {
			return true
		}
	}
	return false
}

// count takes note that the parameter changed an answer, or did not. The parameter about which the least is known makes room
// for a new one; while the path explodes, only for one that makes a difference, so that made-up names displace nothing.
func (r *record) count(hash uint64, changed, calm bool) {
	p := r.parameter(hash)
	if p == nil {
		if p = r.room(); p == nil || !calm && !changed && p.hash != 0 {
			return
		}
		*p = parameter{hash: hash}
	}
	n := &p.same
	if changed {
		n = &p.changed
	}
	if *n < manyChanges {
		*n++
	}
}

// room returns the place of the parameter about which the least is known, nil when all make a difference.
func (r *record) room() *parameter {
	var least *parameter
	for i := range r.names {
		p := &r.names[i]
		if p.hash == 0 {
			return p
		}
		if !p.relevant() && (least == nil || p.same < least.same) {
			least = p
		}
	}
	return least
}

// exploding counts the paths that explode at a moment.
func (b *busting) exploding(now time.Time) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.sets {
		for j := range b.sets[i] {
			if b.sets[i][j].until >= now.Unix() {
				n++
			}
		}
	}
	return n
}
