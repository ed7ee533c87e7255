package listen

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Handshakes bounds full TLS handshakes, the dearest thing that a stranger can ask for. The zero value takes the
// defaults.
//
// The bound of one client acts only while more than half of the door's is spent, so nobody notices it on a quiet day.
// A resumed TLS 1.3 session is exempt, and this is no claim of the client: the budget is asked where a certificate is
// about to be used, and a ticket that opened needs none. TLS 1.2 looks for the certificate before the ticket, so there
// a resumed session counts as a full handshake.
type Handshakes struct {
	// PerSecond is the rate of the whole door. Default: 1500 for each CPU. Negative: no bound.
	PerSecond int
	// PerClient is the rate of one /32 or /64, with ten times as much at once. Default 20.
	PerClient int
}

const (
	handshakesPerCPU    = 1500 // about half of a CPU with ECDSA P-256 and X25519MLKEM768
	handshakesPerClient = 20
	clientBurst         = 10    // seconds' worth
	doorBurst           = 2     // seconds' worth
	handshakeSlots      = 32768 // 768 KiB
)

func (h Handshakes) withDefaults() Handshakes {
	if h.PerSecond == 0 {
		h.PerSecond = handshakesPerCPU * runtime.GOMAXPROCS(0)
	}
	if h.PerClient <= 0 {
		h.PerClient = handshakesPerClient
	}
	return h
}

// budget meters full handshakes.
type budget struct {
	clients meter
	mu      sync.Mutex
	tat     int64 // the door's theoretical arrival time in ns
	refused atomic.Uint64
	full    atomic.Uint64
}

func newBudget() *budget { return &budget{clients: meter{newTable(handshakeSlots)}} }

// spend takes one handshake of c at now, and says whether there is still one for it. Who is exempt is counted and
// never refused.
func (b *budget) spend(c client, exempt bool, now time.Time, h Handshakes) bool {
	if h.PerSecond < 0 {
		b.full.Add(1)
		return true
	}
	ns := now.UnixNano()
	within := exempt || b.clients.spend(c, ns, int64(time.Second)/int64(h.PerClient), int64(h.PerClient*clientBurst))
	if !b.take(ns, int64(time.Second)/int64(h.PerSecond), int64(h.PerSecond*doorBurst), within, exempt) {
		b.refused.Add(1)
		return false
	}
	b.full.Add(1)
	return true
}

func (b *budget) take(now, interval, burst int64, within, exempt bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tat = max(b.tat, now)
	used := b.tat - now
	tight := used > interval*burst/2
	spent := used+interval > interval*burst
	if !exempt && (spent || tight && !within) {
		return false
	}
	if !spent {
		b.tat += interval
	}
	return true
}
