package admission

import (
	"sync/atomic"
	"time"
)

// Await lets whoever calls it wait until wake, which begin is given, is called: once, in any goroutine, maybe before begin returns. left is
// called if the visitor leaves before.
type Await func(left func(), begin func(wake func()))

// Blocking is an Await for goroutines that may block. gone is closed when the visitor leaves; nil for never.
func Blocking(gone <-chan struct{}) Await {
	return func(left func(), begin func(wake func())) {
		woken := make(chan struct{}, 1)
		begin(func() { woken <- struct{}{} })
		select {
		case <-woken:
		case <-gone:
			left()
			<-woken
		}
	}
}

// bell wakes whoever waits, once, whatever happens first: his turn, the end of his patience, or that the visitor leaves.
type bell struct {
	rung atomic.Bool
	gone atomic.Bool
	wake func()
}

func (b *bell) ring() {
	if b.rung.CompareAndSwap(false, true) {
		b.wake()
	}
}

func (b *bell) left() {
	b.gone.Store(true)
	b.ring()
}

// tell lets w know how its wait ended. The gate is locked.
func (w *waiter) tell(r Refusal) {
	b := w.bell // before the word, with which the waiter may be another's
	w.wake <- r
	if b != nil {
		b.ring()
	}
}

// await waits for the turn of w, which is in the line.
func (g *Gate) await(await Await, w *waiter, most time.Duration) Refusal {
	for {
		b := new(bell)
		var patience *time.Timer
		await(b.left, func(wake func()) {
			b.wake = wake
			patience = time.AfterFunc(most, b.ring)
			g.mu.Lock()
			defer g.mu.Unlock()
			if w.bell = b; len(w.wake) > 0 {
				b.ring()
			}
		})
		patience.Stop()
		select {
		case r := <-w.wake:
			return r
		default:
		}
		why := GaveWay
		if b.gone.Load() {
			why = Left
		}
		in, longer := g.giveUp(w, why)
		switch {
		case longer > 0:
			most = longer
		case in:
			return why
		default:
			return <-w.wake // its turn came, or it had to give way, at the same moment
		}
	}
}
