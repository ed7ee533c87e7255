package waf

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// repeats remembers the verdicts of requests that come again and again, byte for byte: a flood of one page, a sweep that asks
// every site for the same holes. Such a request is judged by comparing it, which costs a hundredth of an inspection. It is
// of fixed size, holds a verdict only once its request has come twice, and forgets whatever another one displaces.
//
// The verdict is exactly what an inspection would say: the whole request is kept and compared, not a hash of it, and only
// requests of clients whose address no rule minds (seclang.Ruleset.Alike) are remembered.
type repeats struct {
	seed  maphash.Seed
	slots [repeatSlots]repeatSlot
	// times counts the requests that were judged so.
	times atomic.Int64
}

func newRepeats() *repeats { return &repeats{seed: maphash.MakeSeed()} }

// The bounds of what is remembered: 1,024 requests of at most 2 KiB, with what was found in them.
const (
	repeatSlots = 1 << 10
	mostRepeat  = 2 << 10 // bytes of a request
	mostMatches = 64      // rules that match it
)

// repeatSlot is a place for one request.
type repeatSlot struct {
	seen atomic.Uint64 // the hash of a request that has come once
	kept atomic.Pointer[judged]
}

// judged is a request that has come twice, with its verdict. It never changes.
type judged struct {
	request []byte
	verdict flow.Verdict
	rules   []int // the numbers of those that matched
}

// canonical is a buffer for a request in the one form in which requests are compared.
var canonical = sync.Pool{New: func() any { b := make([]byte, 0, mostRepeat); return &b }}

// recall judges a request: by comparing it where it has been judged before, and by the rules otherwise.
func (s *Stage) recall(f *flow.Facts, mode policy.WAFMode, body []byte) flow.Verdict {
	if len(body) > mostRepeat || !s.rules.Alike(f.Client) {
		return s.inspectOnce(f, mode, body)
	}
	p := canonical.Get().(*[]byte)
	defer canonical.Put(p)
	b, ok := s.appendRequest((*p)[:0], f, mode, body)
	*p = b[:0]
	if !ok {
		return s.inspectOnce(f, mode, body)
	}
	hash := maphash.Bytes(s.repeats.seed, b)
	slot := &s.repeats.slots[hash%repeatSlots]
	if k := slot.kept.Load(); k != nil && bytes.Equal(k.request, b) {
		s.repeats.times.Add(1)
		s.countRepeat(f, k)
		return k.verdict
	}
	v, rules := s.inspect(f, mode, body)
	s.shadow.offer(f, mode, body, v)
	switch {
	case rules == nil:
	case slot.seen.Load() == hash:
		slot.kept.Store(&judged{bytes.Clone(b), v, rules})
	default:
		slot.seen.Store(hash)
	}
	return v
}

// inspectOnce judges a request that is not remembered.
func (s *Stage) inspectOnce(f *flow.Facts, mode policy.WAFMode, body []byte) flow.Verdict {
	v, _ := s.inspect(f, mode, body)
	s.shadow.offer(f, mode, body, v)
	return v
}

// appendRequest appends all of a request that its verdict depends on; ok is false where that is more than is compared.
// Every part begins with its length and all fields with their number, so that no two requests look alike.
func (s *Stage) appendRequest(b []byte, f *flow.Facts, mode policy.WAFMode, body []byte) (_ []byte, ok bool) {
	put := func(part string) bool {
		if len(b)+len(part)+binary.MaxVarintLen32 > mostRepeat {
			return false
		}
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
		return true
	}
	for _, n := range []int{int(f.Proto), s.exclusions.ended(f), f.Header.Len()} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	ok = put(string(mode)) && put(f.Site) && put(f.Route) && put(f.Method) && put(f.Path.Raw) && put(f.Query) && put(f.Host)
	for i := 0; ok && i < f.Header.Len(); i++ {
		h := f.Header.At(i)
		ok = put(h.Name) && put(h.Value)
	}
	if ok = ok && len(b)+len(body) <= mostRepeat; ok {
		b = append(b, body...)
	}
	return b, ok
}

// ended is how many exclusions are over when a request arrives.
func (x *exclusions) ended(f *flow.Facts) (n int) {
	for _, e := range x.all {
		if !e.ends.IsZero() && !f.Arrived.Before(e.ends) {
			n++
		}
	}
	return n
}

// rulesOf are the numbers of the rules that matched, never nil; nil where the verdict must not be remembered, for the request
// has to be counted more closely than that.
func (s *Stage) rulesOf(tx *seclang.Transaction) []int {
	matches := tx.Matches()
	if len(matches) > mostMatches || tx.Cost().Exceeded {
		return nil
	}
	out := make([]int, 0, len(matches))
	for i := range matches {
		if matches[i].Excused {
			return nil
		}
		if n := s.numbers[matches[i].Rule.ID]; n > 0 {
			out = append(out, n)
		}
	}
	return out
}

// countRepeat counts a request that was judged by comparing it. It took no work worth counting.
func (s *Stage) countRepeat(f *flow.Facts, k *judged) {
	a := s.accountOf(f)
	if a == nil {
		return
	}
	a.inspected.Add(1)
	for _, n := range k.rules {
		a.hit(n-1, len(s.numbers))
	}
}

// Repeats is how many requests were judged by comparing them with one that had been judged before.
func (s *Stage) Repeats() int64 {
	if s.repeats == nil {
		return 0
	}
	return s.repeats.times.Load()
}
