package stormdoor

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"

	"stormdoor/flow"
	"stormdoor/internal/loop/tape"
)

// DefaultGoodPeak is the most requests in a minute for which a client still counts as a good visitor: a page with a
// hundred parts every five seconds, or an office of some dozen people behind one address.
const DefaultGoodPeak = 1200

const (
	// maxAbouts bounds what is remembered of user agents, and maxAgent is how much of each, in bytes.
	maxAbouts = 1 << 16
	maxAgent  = 160
)

// visitors remembers the clients of a log, the first max of them. It is a hash table of its own, with linear probing,
// because most of what a line costs is memory that is not in the processor's cache: a client is one line of it.
type visitors struct {
	max    int
	seed   maphash.Seed // the report does not depend on it
	slots  []uint32     // 1 + index in all; 0 is free. A power of two long, at most half full.
	all    []visitor
	rest   visitor // stands for those that are not remembered
	missed int64   // their requests
	abouts []about
	index  map[about]uint32
}

// visitor is one client, by the address of its prefix. What it did is told by the log, what was done to it by the cases.
// It has 64 bytes.
type visitor struct {
	key      [16]byte
	requests uint32
	// well counts answers 2xx and 3xx, badly 4xx and 5xx but for icons and the like that are not there.
	well, badly uint32
	minute      uint32 // the one under way, since 1970, and how many requests it had
	inMinute    uint32
	peak        uint32
	done        [2]touched
}

// touched is what a case did to a visitor.
type touched struct {
	refused, delayed uint32
	about            uint32 // 1 + index of visitors.abouts, of the first time; 0 for a client that was not touched
}

// about is what is remembered of the first time that a client was touched.
type about struct {
	cause int    // index of the case's tally
	agent string // "" for none, or when too many different ones have come
}

func newVisitors(most int) visitors {
	return visitors{max: most, seed: maphash.MakeSeed(), slots: make([]uint32, 1<<12), index: map[about]uint32{}}
}

// of returns the visitor of the key. It is valid until the next call.
func (v *visitors) of(key netip.Prefix) *visitor {
	id := key.Addr().As16()
	at := v.find(&id)
	if n := v.slots[at]; n != 0 {
		return &v.all[n-1]
	}
	if len(v.all) >= v.max {
		v.missed++
		return &v.rest
	}
	v.all = append(v.all, visitor{key: id})
	v.slots[at] = uint32(len(v.all))
	if len(v.all)*2 > len(v.slots) {
		v.grow()
	}
	return &v.all[len(v.all)-1]
}

// find returns the slot of the key, or the free one where it belongs.
func (v *visitors) find(id *[16]byte) uint64 {
	mask := uint64(len(v.slots) - 1)
	for at := maphash.Bytes(v.seed, id[:]) & mask; ; at = (at + 1) & mask {
		if n := v.slots[at]; n == 0 || v.all[n-1].key == *id {
			return at
		}
	}
}

func (v *visitors) grow() {
	v.slots = make([]uint32, 2*len(v.slots))
	for i := range v.all {
		v.slots[v.find(&v.all[i].key)] = uint32(i + 1)
	}
}

// seen counts a request.
func (v *visitor) seen(e *tape.Entry, path string, minute int64) {
	v.requests++
	switch {
	case e.Status >= 200 && e.Status < 400:
		v.well++
	case e.Status >= 400 && !askedUnbidden(e.Status, path):
		v.badly++
	}
	if uint32(minute) != v.minute {
		v.minute, v.inMinute = uint32(minute), 0
	}
	v.inMinute++
	v.peak = max(v.peak, v.inMinute)
}

// askedUnbidden reports whether a browser or a crawler asked by itself for something that is not there.
func askedUnbidden(status int, path string) bool {
	if status != 404 && status != 410 {
		return false
	}
	switch path {
	case "/favicon.ico", "/robots.txt", "/apple-touch-icon.png", "/apple-touch-icon-precomposed.png":
		return true
	}
	return false
}

// touch notes what the i-th case did to a visitor, cause being the index in its tally.
func (v *visitors) touch(who *visitor, i int, o *flow.Outcome, cause int) {
	refused := o.Verdict.Action >= flow.Challenge
	if !refused && o.Verdict.Delay == 0 || who == &v.rest {
		return
	}
	t := &who.done[i]
	if refused {
		t.refused++
	} else {
		t.delayed++
	}
	if t.about == 0 {
		t.about = v.about(cause, o.Facts.Header.Get("User-Agent"))
	}
}

func (v *visitors) about(cause int, agent string) uint32 {
	a := about{cause, agent[:min(len(agent), maxAgent)]}
	if n, ok := v.index[a]; ok {
		return n
	}
	if len(v.abouts) >= maxAbouts && a.agent != "" {
		return v.about(cause, "")
	}
	a.agent = strings.Clone(a.agent)
	v.abouts = append(v.abouts, a)
	v.index[a] = uint32(len(v.abouts))
	return uint32(len(v.abouts))
}

// verdict says whether a visitor is a good one, and if not, why.
func (v *visitor) verdict(peak int) (good bool, why string) {
	switch {
	case v.well == 0:
		return false, "none of its requests was answered well"
	case v.badly*2 >= v.requests:
		return false, fmt.Sprintf("%s of its requests failed", thousands(int64(v.badly)))
	case int(v.peak) > peak:
		return false, fmt.Sprintf("%s requests in a minute", thousands(int64(v.peak)))
	}
	return true, ""
}

// name is the address of the client, or the prefix of an IPv6 client.
func (v *visitor) name() string {
	a := netip.AddrFrom16(v.key).Unmap()
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).String()
}
