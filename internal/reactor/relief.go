package reactor

import (
	"sync/atomic"
	"time"
)

// Relief for a busy loop's neighbours.
const (
	reliefEvery = 200 * time.Microsecond // how long a loop goes on before it thinks of everybody else
	reliefLook  = 8                      // events between two looks at the clock
)

// relief sees to it that whoever waits for the network by the runtime's poller is not forgotten while a loop has something to
// do all the time.
//
// The runtime polls when a goroutine gives its processor back. A thread that has found one by polling runs it, and leaves
// nobody behind who polls on, though other processors be idle; that is well where every goroutine gives its processor back
// within microseconds. A loop under load does not for seconds, and then only the runtime's monitor polls, every 10 ms or later:
// another loop, a connection over TLS and a timer wait that long (decision 0101).
type relief struct {
	at       time.Time   // when the scheduler was seen last
	calling  atomic.Bool // a watchman has been called and has not come
	watchman func()
}

func (r *relief) init() { r.watchman = func() { r.calling.Store(false) } }

// seen notes that the loop has just come out of the scheduler.
func (r *relief) seen(now time.Time) { r.at = now }

// due calls a watchman when it is time: a goroutine that does nothing. A processor that is idle wakes up to take it, finds nothing else
// to do and waits for the network. Where all are busy none takes it; when that is so at the next time, due reports that the
// loop has to give its own processor back.
func (r *relief) due(now time.Time) bool {
	if now.Sub(r.at) < reliefEvery {
		return false
	}
	r.at = now
	if r.calling.Swap(true) {
		return true
	}
	go r.watchman()
	return false
}
