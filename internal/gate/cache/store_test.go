package cache

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func plain(size int) *entry { return &entry{stored: stored{status: 200, length: int64(size)}} }

func (s *store) ask(key string, size int) (hit bool) {
	h := s.hash([]byte(key))
	if s.find(h, []byte(key)) != nil {
		return true
	}
	s.put(h, key, plain(size))
	return false
}

// lru is the obvious store: the least recently used goes first.
type lru struct {
	most, bytes int
	order       *list.List
	at          map[string]*list.Element
}

func (l *lru) ask(key string, size int) (hit bool) {
	if e := l.at[key]; e != nil {
		l.order.MoveToFront(e)
		return true
	}
	l.at[key] = l.order.PushFront(key)
	for l.bytes += size; l.bytes > l.most; l.bytes -= size {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.at, last.Value.(string))
	}
	return false
}

// TestAFloodOfOneTimeAddressesEvictsNothingGood asks for a thousand pages by Zipf's law, and ten addresses that nobody asks
// for again between each two of them.
func TestAFloodOfOneTimeAddressesEvictsNothingGood(t *testing.T) {
	const size, pages, room = 4096, 1000, 800
	cost := plain(size).weight() + 256 + 10
	s := newStore(room * cost)
	l := &lru{most: room * size, order: list.New(), at: map[string]*list.Element{}}
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 8, pages-1)
	flood := 0
	run := func(asks, floodEach int) (ours, theirs float64) {
		var hits, lruHits int
		for range asks {
			key := fmt.Sprintf("/page/%d", zipf.Uint64())
			if s.ask(key, size) {
				hits++
			}
			if l.ask(key, size) {
				lruHits++
			}
			for range floodEach {
				flood++
				key := fmt.Sprintf("/?%d", flood)
				s.ask(key, size)
				l.ask(key, size)
			}
		}
		return float64(hits) / float64(asks), float64(lruHits) / float64(asks)
	}
	run(20_000, 0)
	calm, _ := run(20_000, 0)
	ours, theirs := run(20_000, 10)
	t.Logf("hits of the pages: calm %.3f; in the flood %.3f, least recently used %.3f", calm, ours, theirs)
	if ours < calm-0.05 || ours < theirs {
		t.Errorf("the flood cost %.3f of the hits", calm-ours)
	}
}

func TestTheStoreHoldsToItsBound(t *testing.T) {
	s := newStore(1 << 20)
	r := rand.New(rand.NewPCG(3, 4))
	live := map[string]bool{}
	for i := range 20_000 {
		key := fmt.Sprintf("/%d", int(math.Abs(r.NormFloat64())*200))
		size := r.IntN(20_000)
		h := s.hash([]byte(key))
		switch i % 7 {
		case 0:
			s.remove(h, []byte(key))
			if s.find(h, []byte(key)) != nil {
				t.Fatalf("%s is still there", key)
			}
		case 1, 2:
			s.put(h, key, plain(size))
			live[key] = true
		default:
			s.find(h, []byte(key))
		}
		if _, bytes := s.usage(); bytes > 1<<20 || bytes < 0 {
			t.Fatalf("%d bytes after %d steps", bytes, i)
		}
	}
	var n, bytes int64
	for i := range s.shards {
		for _, r := range s.shards[i].byHash {
			n++
			bytes += r.weight
			if r.in == nil {
				t.Errorf("%s is in no queue", r.key)
			}
		}
	}
	if gotN, gotBytes := s.usage(); gotN != n || gotBytes != bytes {
		t.Errorf("counted %d of %d bytes, there are %d of %d", gotN, gotBytes, n, bytes)
	}
	if len(s.removeAll(func(string, []*entry) bool { return true })) != int(n) {
		t.Error("not all were removed")
	}
	if n, bytes := s.usage(); n != 0 || bytes != 0 {
		t.Errorf("%d of %d bytes are left", n, bytes)
	}
}

func TestVariantsAreBounded(t *testing.T) {
	s := newStore(1 << 20)
	h := s.hash([]byte("/a"))
	for i := range 100 {
		e := plain(10)
		e.chosen = selecting{names: []string{"X"}, values: []string{fmt.Sprint(i)}}
		s.put(h, "/a", e)
		s.put(h, "/a", e)
	}
	if n := len(s.find(h, []byte("/a")).entries()); n != variantsMost {
		t.Errorf("%d variants", n)
	}
}

func TestATooLargeEntryIsNotStored(t *testing.T) {
	s := newStore(1 << 20)
	s.ask("/small", 100)
	s.ask("/large", 2<<20)
	if n, _ := s.usage(); n != 1 {
		t.Errorf("%d resources", n)
	}
}

// TestAStoreThatShrinksEvicts what is too much, and takes more again when it grows.
func TestAStoreThatShrinksEvicts(t *testing.T) {
	s := newStore(1 << 20)
	for i := range 200 {
		s.ask(fmt.Sprint(i), 4096)
	}
	for _, most := range []int64{100 << 10, 1 << 10, 1 << 20} {
		s.resize(most)
		s.ask(fmt.Sprint("after", most), 4096)
		if _, bytes := s.usage(); bytes > most {
			t.Errorf("%d bytes are stored where %d may be", bytes, most)
		}
	}
	if n, _ := s.usage(); n != 1 {
		t.Errorf("%d resources are stored, want the one that came after all had gone", n)
	}
}
