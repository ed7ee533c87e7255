package listen

import (
	"runtime"
	"time"
)

// turns lets as many TLS handshakes calculate at once as there are processors; the others wait before they begin. A handshake
// is 0.2 to 0.5 ms without a pause: of a thousand that come together, all would stand in the scheduler's queue before the
// requests of visitors who are there already. The zero value bounds nothing.
type turns chan struct{}

func newTurns() turns { return make(turns, runtime.GOMAXPROCS(0)) }

// turnPatience is how long a handshake waits for its turn. Then it goes on without one: whatever holds the turns up (storage that
// does not answer when it is asked for a certificate), holds up no more than that.
const turnPatience = time.Second

// take waits for a turn; false: there was none within turnPatience.
func (t turns) take() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
	}
	late := time.NewTimer(turnPatience)
	defer late.Stop()
	select {
	case t <- struct{}{}:
		runtime.Gosched() // who hands a turn on would run its heir before everybody else
		return true
	case <-late.C:
		return false
	}
}

func (t turns) giveBack() { <-t }
