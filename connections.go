package stormdoor

import (
	"log/slog"

	"stormdoor/internal/gate/listen"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// newMemory returns the account of what the connections of the door hold.
func newMemory(p *policy.Policy, log *slog.Logger) *wire.Memory {
	return wire.NewMemory(memoryBudget(p), func(s wire.MemoryStats) {
		held := slog.Group("connections", "held", policy.Bytes(s.Held).String(), "may_hold", policy.Bytes(s.Budget).String(), "step", s.Step.String())
		switch s.Step {
		case wire.MemoryFull:
			log.Error("connections hold nearly all the memory that they may: new ones are refused, the heaviest that wait for their visitors are reset", held,
				"do", "nothing in a storm; otherwise raise listen.memory")
		case wire.MemoryTight:
			log.Warn("connections hold much of the memory that they may: those that wait for their visitors may wait less long", held)
		default:
			log.Info("connections hold little memory again", held)
		}
	})
}

func memoryBudget(p *policy.Policy) int64 {
	if p.Listen.Memory > 0 {
		return int64(p.Listen.Memory)
	}
	return listen.ConnectionMemory()
}

// counters adds the connections to the door's metrics.
func (s *Server) counters() {
	m := s.door.metrics
	m.Gauge("stormdoor_connections", "Open connections of visitors.", nil, func() float64 { return float64(s.admission.Stats().Open) })
	for _, c := range []struct {
		name, help string
		read       func(listen.Stats) uint64
	}{
		{"stormdoor_connections_total", "Connections accepted.", func(t listen.Stats) uint64 { return t.Accepted }},
		{"stormdoor_connections_refused_full_total", "Connections closed because listen.max_connections were open.", func(t listen.Stats) uint64 { return t.RefusedFull }},
		{"stormdoor_connections_refused_memory_total", "Connections closed because the others held 95 % of the memory that they may.", func(t listen.Stats) uint64 { return t.RefusedMemory }},
		{"stormdoor_connections_refused_client_total", "Connections closed because their client had too many.", func(t listen.Stats) uint64 { return t.RefusedClient }},
		{"stormdoor_connections_refused_proxy_total", "Connections closed for want of a PROXY header.", func(t listen.Stats) uint64 { return t.RefusedProxy }},
		{"stormdoor_tls_handshakes_total", "Full TLS handshakes.", func(t listen.Stats) uint64 { return t.FullHandshakes }},
		{"stormdoor_tls_handshakes_refused_total", "Full TLS handshakes over the budget.", func(t listen.Stats) uint64 { return t.RefusedHandshakes }},
		{"stormdoor_accept_errors_total", "Failures of the system to hand over a connection.", func(t listen.Stats) uint64 { return t.AcceptErrors }},
	} {
		m.Count(c.name, c.help, nil, func() float64 { return float64(c.read(s.admission.Stats())) })
	}
	for _, g := range []struct {
		name, help string
		read       func(wire.MemoryStats) float64
	}{
		{"stormdoor_connection_memory_bytes", "Memory that open connections hold.", func(t wire.MemoryStats) float64 { return float64(t.Held) }},
		{"stormdoor_connection_memory_limit_bytes", "Memory that open connections may hold, listen.memory.", func(t wire.MemoryStats) float64 { return float64(t.Budget) }},
		{"stormdoor_connection_memory_step", "0 calm; 1 from 85 %: waits are shorter; 2 from 95 %: no new connections, the heaviest that wait are reset.", func(t wire.MemoryStats) float64 { return float64(t.Step) }},
	} {
		m.Gauge(g.name, g.help, nil, func() float64 { return g.read(s.memory.Stats()) })
	}
	m.Count("stormdoor_connections_hurried_total", "Connections ended early because memory was tight and they waited for their visitors.", nil, func() float64 { return float64(s.memory.Stats().Hurried) })
	m.Count("stormdoor_connections_reset_memory_total", "Connections reset because memory was full and they were the heaviest that waited.", nil, func() float64 { return float64(s.memory.Stats().Reset) })
}
