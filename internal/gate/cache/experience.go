package cache

import (
	"sync/atomic"
	"time"
)

// experience remembers for a while whether answers of a path could be stored, so that nobody waits for an answer that will
// not be shared. It has a fixed size; of two paths at one place the later counts, and to have forgotten costs one try.
type experience struct {
	places [1 << 15]atomic.Uint64 // 31 bits of the hash, 1 of the verdict, 32 of the second until which it counts
}

// past is what experience says of a path.
type past uint8

const (
	unknown past = iota
	cacheable
	uncacheable
	doubtful // uncacheable a while ago: worth another look, and not worth waiting for
)

// How long an experience counts. The bad one is short, because it keeps the cache from looking again.
const (
	cacheableFor   = 10 * time.Minute
	uncacheableFor = 10 * time.Second
)

func (x *experience) of(hash uint64, now time.Time) past {
	v := x.places[hash%uint64(len(x.places))].Load()
	stored, counts := v>>32&1 == 1, int64(uint32(v)) >= now.Unix()&0xffffffff
	switch {
	case v>>33 != hash>>33 || stored && !counts:
		return unknown
	case stored:
		return cacheable
	case counts:
		return uncacheable
	}
	return doubtful
}

func (x *experience) note(hash uint64, stored bool, now time.Time) {
	until, bit := now.Add(uncacheableFor), uint64(0)
	if stored {
		until, bit = now.Add(cacheableFor), 1
	}
	p := &x.places[hash%uint64(len(x.places))]
	v := hash>>33<<33 | bit<<32 | uint64(uint32(until.Unix()))
	if old := p.Load(); old>>32 != v>>32 || uint32(v)-uint32(old) > 5 {
		p.Store(v)
	}
}

// stamps tell whether a key has been invalidated since somebody looked: what was fetched before must not be stored after.
// Keys share stamps, which at worst keeps an answer from being stored once.
type stamps struct {
	all   atomic.Uint64
	place [1 << 10]atomic.Uint64
}

func (s *stamps) of(hash uint64) uint64 {
	return s.all.Load() + s.place[hash%uint64(len(s.place))].Load()
}

func (s *stamps) advance(hash uint64) { s.place[hash%uint64(len(s.place))].Add(1) }
