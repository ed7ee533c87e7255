package observe

import (
	"strings"
	"sync"
	"time"

	"stormdoor/flow"
)

// Recent remembers the latest notable requests (refused, failed, noted on a dry run), so that an operator can ask about
// the reference that a visitor quotes. Its memory and its work per second are bounded.
type Recent struct {
	mu     sync.Mutex
	ring   []flow.Outcome
	next   int
	second time.Time
	inSec  int
}

// recentPerSecond bounds how many requests are remembered in one second: in a flood the first ones tell enough.
const recentPerSecond = 100

// NewRecent returns a memory of size requests.
func NewRecent(size int) *Recent { return &Recent{ring: make([]flow.Outcome, size)} }

func (r *Recent) keep(o *flow.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := o.Facts.Arrived.Sub(r.second); d >= time.Second || d < -time.Second {
		r.second, r.inSec = o.Facts.Arrived, 0
	}
	if r.inSec++; r.inSec > recentPerSecond {
		return
	}
	slot := &r.ring[r.next%len(r.ring)]
	r.next++
	*slot = *o
	cloneStrings(slot)
}

// Find returns the remembered request with the id.
func (r *Recent) Find(id flow.RequestID) (flow.Outcome, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ring {
		if r.ring[i].Facts.ID == id && id != (flow.RequestID{}) {
			return r.ring[i], true
		}
	}
	return flow.Outcome{}, false
}

// maxKept bounds the bytes of one remembered request's header.
const maxKept = 4 << 10

// cloneStrings makes o independent of the connection's read buffer.
func cloneStrings(o *flow.Outcome) {
	f := &o.Facts
	for _, s := range [...]*string{&f.Method, &f.Host, &f.Path.Raw, &f.Path.Clean, &f.Path.Script, &f.Query, &f.JA4, &f.Country, &o.Origin, &o.Err} {
		*s = strings.Clone((*s)[:min(len(*s), maxKept)])
	}
	h, left := flow.NewHeader(f.Header.Len()), maxKept
	for field := range f.Header.All() {
		if left -= len(field.Name) + len(field.Value); left < 0 {
			break
		}
		value := field.Value
		if flow.EqualFold(field.Name, "Authorization") || flow.EqualFold(field.Name, "Cookie") || flow.EqualFold(field.Name, "Proxy-Authorization") {
			value = "(not kept)"
		}
		h.Add(strings.Clone(field.Name), strings.Clone(value))
	}
	f.Header = h
}
