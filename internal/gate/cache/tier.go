package cache

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/cache/disk"
)

// Disk says where answers go that memory has no room for. The zero value: nowhere.
type Disk struct {
	// Dir is a folder of the cache's own. It is made when it is not there.
	Dir string
	// Size bounds what lies there, in bytes.
	Size int64
	// Files are the operations on files. nil: those of the system.
	Files disk.Files
	// Failed is told of what the disk refuses. It must not block, and is called again only after a pause. nil tells nobody.
	Failed func(error)
}

// tier is the part of the cache that lies on disk: what was asked for again and had to leave memory. It is written behind
// everybody's back by one goroutine (tier_write.go) from a queue that is bounded; whoever finds it full goes on without.
// An index in memory says what is there. Nobody waits for the disk longer than for an origin that is near (tier_read.go).
type tier struct {
	o     Disk
	now   func() time.Time
	hash  func([]byte) uint64
	stamp func(uint64) uint64 // of a hash: whether it was invalidated
	log   *disk.Log           // set before ready

	fills  *atomic.Int64 // bytes that come in, from origins too, and how many there may be
	budget *atomic.Int64

	reading  chan struct{} // holds something for each read under way
	wake     chan struct{}
	unsynced bool // something was taken back since the last sync; the writer's own

	mu     sync.Mutex // guards the following
	ready  bool       // the index is complete
	closed bool
	wipe   bool // what is on disk must not be used any more, and goes
	byHash [64]map[uint64][]*spot
	places map[*disk.Segment][]*spot
	ages   []*disk.Segment // with answers, oldest first
	most   int64           // of the index, in bytes
	index  int64           // bytes, with spots that were dropped and whose segment is still there
	count  int64
	orders []order
	queued int64          // bytes of answers in orders
	noted  int64          // bytes of the other orders
	coming map[uint64]int // how many answers of a hash are in orders
	resume time.Time      // until then nothing is written
	pause  time.Duration
	awake  time.Time // until then nothing is read
	doomed map[*disk.Segment]bool

	hits, written, lost, failures atomic.Uint64
}

// spot is one answer on disk.
type spot struct {
	hash    uint64
	key     string
	chosen  selecting
	tags    []string
	arrived time.Time // when its head was there
	place   disk.Place
	asked   bool // it has been read before
	loading *loading
}

// indexShare is the part of the cache's memory that the index may take.
const indexShare = 8

// newTier returns the tier for a cache, nil for none.
func newTier(o Disk, c *Cache) *tier {
	if o.Dir == "" || o.Size <= 0 {
		return nil
	}
	if o.Files == nil {
		o.Files = disk.System{}
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	t := &tier{o: o, now: c.now, hash: c.store.hash, stamp: c.stamps.of, fills: &c.filling, budget: &c.budget,
		reading: make(chan struct{}, readsMost), wake: make(chan struct{}, 1),
		places: map[*disk.Segment][]*spot{}, coming: map[uint64]int{}, doomed: map[*disk.Segment]bool{}, pause: pauseLeast}
	for i := range t.byHash {
		t.byHash[i] = map[uint64][]*spot{}
	}
	return t
}

// resize bounds the index by its share of the cache's memory, and returns the share: it is memory too.
func (t *tier) resize(memory int64) int64 {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most = memory / indexShare
	return t.most
}

// cost is what a spot takes in the index, in bytes.
func (s *spot) cost() int64 {
	n := int64(256 + len(s.key))
	for _, list := range [][]string{s.chosen.names, s.chosen.values, s.tags} {
		for _, v := range list {
			n += int64(len(v)) + 16
		}
	}
	return n
}

// at is the part of the index that a hash belongs to. The caller holds mu.
func (t *tier) at(hash uint64) map[uint64][]*spot { return t.byHash[hash%uint64(len(t.byHash))] }

// find returns where the answer that a request selects lies, nil for nowhere, and whether it was looked for before.
func (t *tier) find(hash uint64, key []byte, request flow.Header) (s *spot, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ready || t.wipe {
		return nil, false
	}
	for _, s := range t.at(hash)[hash] {
		if s.key == string(key) && s.chosen.takes(request) {
			if t.now().Before(t.awake) {
				return nil, false
			}
			again, s.asked = s.asked, true
			return s, again
		}
	}
	return nil, false
}

// insert adds a spot in place of the one that the same requests select. The caller holds mu.
func (t *tier) insert(s *spot) {
	for _, old := range t.at(s.hash)[s.hash] {
		if old.key != s.key || old.chosen.same(&s.chosen) {
			t.drop(old)
		}
	}
	t.at(s.hash)[s.hash] = append([]*spot{s}, t.at(s.hash)[s.hash]...)
	if in := s.place.Segment; t.places[in] == nil {
		t.ages = append(t.ages, in)
	}
	t.places[s.place.Segment] = append(t.places[s.place.Segment], s)
	t.index += s.cost()
	t.count++
}

// drop takes a spot out of the index, if it is there. The caller holds mu.
func (t *tier) drop(s *spot) {
	list := t.at(s.hash)[s.hash]
	i := slices.Index(list, s)
	if i < 0 {
		return
	}
	if list = slices.Delete(slices.Clone(list), i, i+1); len(list) == 0 {
		delete(t.at(s.hash), s.hash)
	} else {
		t.at(s.hash)[s.hash] = list
	}
	t.count--
}

// dropKey takes everything out that lies under a key, and reports whether there was something. The caller holds mu.
func (t *tier) dropKey(hash uint64, key string) (found bool) {
	for _, s := range slices.Clone(t.at(hash)[hash]) {
		if s.key == key {
			t.drop(s)
			found = true
		}
	}
	return found
}

// dropNamed takes everything out that a purge names, a part of the index at a time, and returns the hashes for which there
// was something.
func (t *tier) dropNamed(p *Purge) (hashes []uint64) {
	for i := range t.byHash {
		t.mu.Lock()
		for hash, list := range t.byHash[i] {
			tagged := func(s *spot) bool { return slices.Contains(s.tags, p.Tag) }
			if !p.names(list[0].key) || p.Tag != "" && !slices.ContainsFunc(list, tagged) {
				continue
			}
			for _, s := range slices.Clone(list) {
				t.drop(s)
			}
			hashes = append(hashes, hash)
		}
		t.mu.Unlock()
	}
	return hashes
}

// dropSegment takes everything out that lies in a segment, a part at a time.
func (t *tier) dropSegment(in *disk.Segment) {
	t.mu.Lock()
	list := t.places[in]
	delete(t.places, in)
	delete(t.doomed, in)
	if i := slices.Index(t.ages, in); i >= 0 {
		t.ages = slices.Delete(t.ages, i, i+1)
	}
	t.mu.Unlock()
	for part := range slices.Chunk(list, 256) {
		t.mu.Lock()
		for _, s := range part {
			t.drop(s)
			t.index -= s.cost()
		}
		t.mu.Unlock()
	}
}

// clear empties the index and sees to it that the files go. The caller holds mu.
func (t *tier) clear() {
	t.wipe = true
	for i := range t.byHash {
		clear(t.byHash[i])
	}
	clear(t.places)
	clear(t.doomed)
	t.ages, t.index, t.count = nil, 0, 0
}

// usage tells how many answers lie on disk, how many bytes they take there, and whether they are used.
func (t *tier) usage() (answers, bytes int64, ready bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log != nil {
		bytes = t.log.Bytes()
	}
	return t.count, bytes, t.ready
}

// spotOf is the index's part of a head that was read or is being written.
func spotOf(hash uint64, h *answerHead, place disk.Place) *spot {
	s := &spot{hash: hash, key: strings.Clone(h.key), arrived: h.arrived, place: place}
	for i := range h.chosen.names {
		s.chosen.names = append(s.chosen.names, strings.Clone(h.chosen.names[i]))
		s.chosen.values = append(s.chosen.values, strings.Clone(h.chosen.values[i]))
	}
	for _, tag := range tagsOf(h.header) {
		s.tags = append(s.tags, strings.Clone(tag))
	}
	return s
}
