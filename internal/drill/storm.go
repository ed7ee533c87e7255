package drill

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// StormSpec is one weapon of a storm. Its fields are what a scene file says.
type StormSpec struct {
	// Weapon names what the bots do: a key of weapons.
	Weapon string `yaml:"weapon"`
	// Bots is how many addresses take part, each with a connection of its own.
	Bots int `yaml:"bots"`
	// Rate is how many requests (frames, handshakes) they send a second, all together. 0 means: as the weapon does.
	Rate float64 `yaml:"rate"`
	// TLS sends the storm over TLS.
	TLS bool `yaml:"tls"`
	// Pulse switches the storm off and on in turns, each a quarter of the storm's length long.
	Pulse bool `yaml:"pulse"`

	clear, secure string
}

// The bounds of a storm, whatever a scene file says.
const (
	maxBots = 4_000
	maxRate = 40_000
	// maxBytes bounds what one storm sends and is sent. What reaches it has stopped being a storm of requests.
	maxBytes = 8 << 30
)

var errEnough = errors.New("the storm has moved as many bytes as it may")

// StormOrder is a StormSpec with the door's addresses, as the director sends it.
type StormOrder struct {
	Spec          StormSpec
	Clear, Secure string
	Seed          uint64
	// Length bounds the storm even if nobody stops it.
	Length time.Duration
}

// StormStats is what the bots have sent and got.
type StormStats struct {
	Sent, Answered, Refused, Broken int64 // requests: sent, answered below 400, answered 400 or above, broken off
	BytesOut, BytesIn               int64 // as the bots see it: what they sent, and what came back; without what TLS adds
	Connections, Handshakes         int64
}

// Storm is the part that plays the bots.
type Storm struct {
	ctx    context.Context
	stats  counters
	mu     sync.Mutex
	cancel context.CancelFunc
	bots   sync.WaitGroup
}

type counters struct {
	sent, answered, refused, broken, out, in, connections, handshakes atomic.Int64
	moved                                                             atomic.Int64 // bytes both ways on the wire
}

// Start begins the storm.
func (s *Storm) Start(o StormOrder, _ *Nothing) error {
	weapon, ok := weapons[o.Spec.Weapon]
	if !ok {
		return fmt.Errorf("there is no weapon %q", o.Spec.Weapon)
	}
	if o.Spec.Bots < 1 || o.Spec.Bots > maxBots || o.Spec.Rate < 0 || o.Spec.Rate > maxRate || o.Length > maxLength {
		return fmt.Errorf("a storm has 1 to %d bots, up to %d requests a second and lasts at most %v", maxBots, maxRate, maxLength)
	}
	ctx, cancel := context.WithTimeout(s.ctx, o.Length)
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	spec := o.Spec
	spec.clear, spec.secure = o.Clear, o.Secure
	pulse := time.Duration(0)
	if spec.Pulse {
		pulse = o.Length / 4
	}
	begin := time.Now()
	for i := range spec.Bots {
		b := &bot{n: i, spec: &spec, stats: &s.stats, lot: rand.New(rand.NewPCG(o.Seed, uint64(i)+1<<32)), begin: begin, pulse: pulse}
		if spec.Rate > 0 {
			b.every = time.Duration(float64(time.Second) * float64(spec.Bots) / spec.Rate)
		}
		s.bots.Go(func() { b.live(ctx, weapon) })
	}
	return nil
}

// Stop ends the storm and waits for the last bot.
func (s *Storm) Stop(_ Nothing, _ *Nothing) error {
	s.mu.Lock()
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	s.bots.Wait()
	return nil
}

// Stats tells what the bots have done.
func (s *Storm) Stats(_ Nothing, out *StormStats) error {
	c := &s.stats
	*out = StormStats{c.sent.Load(), c.answered.Load(), c.refused.Load(), c.broken.Load(), c.out.Load(), c.in.Load(), c.connections.Load(), c.handshakes.Load()}
	return nil
}

// bot is one address of the storm.
type bot struct {
	n     int
	spec  *StormSpec
	stats *counters
	lot   *rand.Rand
	every time.Duration // between two of its requests; 0: as fast as the weapon goes
	begin time.Time
	pulse time.Duration
}

// weapon attacks over one connection until ctx ends or the connection does.
type weapon func(ctx context.Context, b *bot, c net.Conn)

// weapons are all that a storm can be made of.
var weapons = map[string]weapon{
	"flood": flood(onePage), "flood-all": flood(anyPage), "bust": flood(bustCache), "search": flood(expensive), "guess": flood(guessPassword),
	"sweep": flood(sweepExploits), "scrape": flood(scrape), "mimic": flood(mimicBrowser),
	"handshake": handshake, "slow-head": slowHead, "slow-body": slowBody, "slow-read": slowRead,
	"h2-reset": h2Reset, "h2-bomb": h2Bomb, "h2-continuation": h2Continuation, "h2-ping": h2Ping, "h2-slow-head": h2SlowHead, "h2-slow-read": h2SlowRead, "h2-slow-body": h2SlowBody,
}

// live connects again and again, but never in a tight loop.
func (b *bot) live(ctx context.Context, w weapon) {
	spread := b.every
	if spread == 0 {
		spread = time.Second
	}
	if !wait(ctx, time.Duration(b.lot.Int64N(int64(spread)+1))) {
		return
	}
	for ctx.Err() == nil {
		if b.resting() {
			if !wait(ctx, b.pulse/8) {
				return
			}
			continue
		}
		c, err := b.connect(ctx)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { c.Close() })
			w(ctx, b, c)
			stop()
			c.Close()
		} else if ctx.Err() == nil {
			b.stats.broken.Add(1)
		}
		if !wait(ctx, max(100*time.Millisecond, b.every/4)) {
			return
		}
	}
}

// resting reports whether a pulsing storm is between two pulses.
func (b *bot) resting() bool {
	return b.pulse > 0 && int(time.Since(b.begin)/b.pulse)%2 == 1
}

// connect opens a connection from the bot's own address.
func (b *bot) connect(ctx context.Context) (net.Conn, error) {
	to := b.spec.clear
	if b.spec.TLS {
		to = b.spec.secure
	}
	c, err := dialer(botAddr(b.n), 5*time.Second).DialContext(ctx, "tcp4", to)
	if err != nil {
		return nil, err
	}
	b.stats.connections.Add(1)
	c = &boundedConn{c, b.stats}
	if !b.spec.TLS {
		return &countedConn{c, b.stats}, nil
	}
	t := tls.Client(c, b.hello())
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	b.stats.handshakes.Add(1)
	return &countedConn{t, b.stats}, nil
}

// hello is the bot's TLS configuration. Bots differ in curves, versions and protocols, and so in their JA4.
func (b *bot) hello() *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, ServerName: shopHost, MinVersion: tls.VersionTLS12}
	curves := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
	c.CurvePreferences = curves[b.n%3:]
	if b.n%4 == 3 {
		c.MaxVersion = tls.VersionTLS12
	}
	switch {
	case len(b.spec.Weapon) > 3 && b.spec.Weapon[:3] == "h2-":
		c.NextProtos = []string{"h2"}
	case b.n%2 == 1:
		c.NextProtos = []string{"http/1.1"}
	}
	return c
}

// boundedConn is a connection whose bytes count towards maxBytes.
type boundedConn struct {
	net.Conn
	stats *counters
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.stats.moved.Load() > maxBytes {
		return 0, errEnough
	}
	n, err := c.Conn.Read(p)
	c.stats.moved.Add(int64(n))
	return n, err
}

func (c *boundedConn) Write(p []byte) (int, error) {
	if c.stats.moved.Load() > maxBytes {
		return 0, errEnough
	}
	n, err := c.Conn.Write(p)
	c.stats.moved.Add(int64(n))
	return n, err
}

// countedConn counts what is asked and answered over a connection, above TLS: a handshake is no answer, and a bot that is
// thrown out and comes again makes many.
type countedConn struct {
	net.Conn
	stats *counters
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.stats.in.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.stats.out.Add(int64(n))
	return n, err
}
