package stormdoor

import (
	"context"
	"net"
	"runtime"

	"stormdoor/internal/reactor"
)

// startLoops starts an event loop for each processor.
func (s *Server) startLoops(background context.Context) {
	loops, err := reactor.New(runtime.GOMAXPROCS(0))
	if err != nil {
		s.log.Info("no event loops here: every connection has a goroutine of its own", "why", err)
		return
	}
	s.loops = loops
	s.run(func() error { return loops.Run(background) })
}

// onLoops returns a listener whose connections are served on the event loops, or l where that cannot be.
func (s *Server) onLoops(l net.Listener) net.Listener {
	looped, err := s.loops.Listener(l)
	if err != nil {
		s.log.Warn("no event loop takes connections of this address; each has a goroutine of its own", "address", l.Addr().String(), "why", err)
		return l
	}
	return looped
}
