package cache

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

// store keeps entries within a number of bytes. It evicts as S3-FIFO does (Yang et al., SOSP 2023): what is new waits in a
// small queue, what was asked for again there moves to the main one, and what was evicted too early is remembered by its
// hash and goes to the main queue when it comes back. A flood of addresses that are asked for once passes through the small
// queue and evicts nothing else. A look-up takes a read lock and writes one counter.
type store struct {
	seed   maphash.Seed
	shards [64]shard

	mu          sync.Mutex // guards the queues and what resources keep about them
	small, main fifo
	most        int64
	ghosts      []uint64        // hashes of what the small queue gave up, each at its place
	stored      int64           // how many resources there are
	leaves      func(*resource) // is told of what was asked for again and is evicted all the same; it must not block
	evicted     atomic.Uint64
}

type shard struct {
	mu     sync.RWMutex
	byHash map[uint64]*resource
}

// resource is everything that is stored under one key: a variant for each way in which requests select.
type resource struct {
	hash     uint64
	key      string
	variants atomic.Pointer[[]*entry] // latest first
	uses     atomic.Uint32            // up to usesMost

	in         *fifo
	next, prev *resource
	weight     int64
}

const (
	usesMost     = 3
	usesToStay   = 2  // in the small queue, to be moved to the main one
	variantsMost = 16 // of one resource
	smallShare   = 10 // the small queue gets one part in so many
	ghostsMost   = 1 << 16
)

func newStore(most int64) *store {
	s := &store{seed: maphash.MakeSeed(), most: most, ghosts: make([]uint64, ghostsMost), leaves: func(*resource) {}}
	for i := range s.shards {
		s.shards[i].byHash = map[uint64]*resource{}
	}
	return s
}

func (s *store) hash(key []byte) uint64 { return maphash.Bytes(s.seed, key) }

func (s *store) shard(hash uint64) *shard { return &s.shards[hash%uint64(len(s.shards))] }

// find returns what is stored under the key, nil for nothing.
func (s *store) find(hash uint64, key []byte) *resource {
	sh := s.shard(hash)
	sh.mu.RLock()
	r := sh.byHash[hash]
	sh.mu.RUnlock()
	if r == nil || r.key != string(key) {
		return nil
	}
	if n := r.uses.Load(); n < usesMost {
		r.uses.CompareAndSwap(n, n+1)
	}
	return r
}

// entries are the variants of the resource, latest first. nil has none.
func (r *resource) entries() []*entry {
	if r == nil {
		return nil
	}
	return *r.variants.Load()
}

// put stores the entry under the key in place of the variant that the same requests select.
func (s *store) put(hash uint64, key string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.weight()+int64(len(key)) > s.most {
		return
	}
	sh := s.shard(hash)
	r := sh.byHash[hash] // only written under mu
	if r != nil && r.key != key {
		s.drop(r)
		r = nil
	}
	variants := []*entry{e}
	for _, v := range r.entries() {
		if len(variants) < variantsMost && !v.chosen.same(&e.chosen) {
			variants = append(variants, v)
		}
	}
	if r == nil {
		r = &resource{hash: hash, key: key}
		r.variants.Store(&variants)
		sh.mu.Lock()
		sh.byHash[hash] = r
		sh.mu.Unlock()
		s.stored++
		s.enqueue(r)
	} else {
		r.variants.Store(&variants)
	}
	s.weigh(r)
	s.shrink()
}

// resize changes how many bytes are stored at most.
func (s *store) resize(most int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
	s.shrink()
}

// putBack stores an entry that had left, unless a later one that the same requests select has come meanwhile.
func (s *store) putBack(hash uint64, key string, e *entry) {
	sh := s.shard(hash)
	sh.mu.RLock()
	r := sh.byHash[hash]
	sh.mu.RUnlock()
	for _, v := range r.entries() {
		if r.key == key && v.chosen.same(&e.chosen) && !v.arrived.Before(e.arrived) {
			return
		}
	}
	s.put(hash, key, e)
}

// same reports whether two variants are selected by the same requests.
func (s *selecting) same(t *selecting) bool {
	return slices.Equal(s.names, t.names) && slices.Equal(s.values, t.values)
}

// enqueue puts a new resource into the queue where it belongs.
func (s *store) enqueue(r *resource) {
	place := &s.ghosts[r.hash%ghostsMost]
	if *place == r.hash {
		*place = 0
		s.main.push(r)
		return
	}
	s.small.push(r)
}

// weigh takes note of what the resource weighs now.
func (s *store) weigh(r *resource) {
	w := int64(len(r.key)) + 256
	for _, e := range r.entries() {
		w += e.weight()
	}
	r.in.bytes += w - r.weight
	r.weight = w
}

// shrink evicts until everything is within bounds.
func (s *store) shrink() {
	for s.small.bytes+s.main.bytes > s.most {
		if s.small.tail != nil && (s.small.bytes > s.most/smallShare || s.main.tail == nil) {
			s.fromSmall()
		} else {
			s.fromMain()
		}
	}
}

func (s *store) fromSmall() {
	r := s.small.tail
	s.small.remove(r)
	if r.uses.Load() >= usesToStay {
		r.uses.Store(0)
		s.main.push(r)
		return
	}
	s.ghosts[r.hash%ghostsMost] = r.hash
	s.forget(r)
	s.evicted.Add(1)
}

func (s *store) fromMain() {
	r := s.main.tail
	s.main.remove(r)
	if n := r.uses.Load(); n > 0 {
		r.uses.Store(n - 1)
		s.main.push(r)
		return
	}
	s.leaves(r)
	s.forget(r)
	s.evicted.Add(1)
}

// drop takes the resource out of its queue and out of the table.
func (s *store) drop(r *resource) {
	if r.in == nil {
		return
	}
	r.in.remove(r)
	s.forget(r)
}

// forget takes the resource out of the table.
func (s *store) forget(r *resource) {
	sh := s.shard(r.hash)
	sh.mu.Lock()
	if sh.byHash[r.hash] == r {
		delete(sh.byHash, r.hash)
		s.stored--
	}
	sh.mu.Unlock()
}

// remove takes out what is stored under the key.
func (s *store) remove(hash uint64, key []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.shard(hash).byHash[hash]
	if r == nil || r.key != string(key) {
		return false
	}
	s.drop(r)
	return true
}

// removeAll takes out every resource for which match returns true, and returns their hashes. It looks at everything that is
// stored, a shard at a time.
func (s *store) removeAll(match func(key string, variants []*entry) bool) (hashes []uint64) {
	for i := range s.shards {
		var found []*resource
		sh := &s.shards[i]
		sh.mu.RLock()
		for _, r := range sh.byHash {
			if match(r.key, r.entries()) {
				found = append(found, r)
			}
		}
		sh.mu.RUnlock()
		s.mu.Lock()
		for _, r := range found {
			s.drop(r)
			hashes = append(hashes, r.hash)
		}
		s.mu.Unlock()
	}
	return hashes
}

// proven yields what was asked for again since it is stored.
func (s *store) proven(yield func(*resource) bool) {
	var list []*resource
	s.mu.Lock()
	for r := s.main.head; r != nil; r = r.next {
		list = append(list, r)
	}
	for r := s.small.head; r != nil; r = r.next {
		if r.uses.Load() > 0 {
			list = append(list, r)
		}
	}
	s.mu.Unlock()
	for _, r := range list {
		if !yield(r) {
			return
		}
	}
}

// usage tells how many resources are stored and what they weigh.
func (s *store) usage() (resources, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored, s.small.bytes + s.main.bytes
}

// fifo is a queue of resources with their weight.
type fifo struct {
	head, tail *resource
	bytes      int64
}

func (q *fifo) push(r *resource) {
	r.in, r.next, r.prev = q, q.head, nil
	if q.head != nil {
		q.head.prev = r
	} else {
		q.tail = r
	}
	q.head = r
	q.bytes += r.weight
}

func (q *fifo) remove(r *resource) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		q.head = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		q.tail = r.prev
	}
	r.in, r.next, r.prev = nil, nil, nil
	q.bytes -= r.weight
}
