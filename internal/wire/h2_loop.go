package wire

import (
	"time"

	"stormdoor/internal/reactor"
)

// launch lets the handler of s begin: on an event loop where that is possible, where it finds connections to origins and a
// stack that has grown already. Bodies and tunnels are read by others than the handler, and need a goroutine. mu is held.
func (c *h2Conn) launch(s *h2Stream) {
	if s.body == nil && s.req.Upgrade == "" && c.cfg.Loops.Go(c.loop, s.beginTask) {
		return
	}
	go s.begin()
}

// task is the task that serves the stream, nil for a goroutine.
func (s *h2Stream) task() *reactor.Task {
	if s.onLoop == nil || s.onLoop.Left() {
		return nil
	}
	return s.onLoop
}

// leaveLoop gives the handler a goroutine of its own.
func (s *h2Stream) leaveLoop() {
	if t := s.task(); t != nil {
		t.Leave()
	}
}

// lookOut does nothing: the connection is being read all the time.
func (s *h2Stream) lookOut() {}

// park waits on wake for at most limit, negative for ever; on an event loop as the task, which goes on with others
// meanwhile. mu is held before and afterwards, not meanwhile. What has been written goes out first: the client may be
// waiting for it.
func (c *h2Conn) park(wake chan struct{}, timer **time.Timer, limit time.Duration, task *reactor.Task) {
	c.kick()
	c.mu.Unlock()
	defer c.mu.Lock()
	if task != nil {
		task.Block(func() { h2Park(wake, timer, limit) })
		return
	}
	h2Park(wake, timer, limit)
}

func h2Park(wake chan struct{}, timer **time.Timer, limit time.Duration) {
	if limit < 0 {
		<-wake
		return
	}
	if *timer == nil {
		*timer = time.NewTimer(limit)
	} else {
		(*timer).Reset(limit)
	}
	select {
	case <-wake:
	case <-(*timer).C:
	}
	(*timer).Stop()
}
