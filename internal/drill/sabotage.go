package drill

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"stormdoor/policy"
)

// The defects that the tests of the scorecard put into the door's process. A scorecard that stays green with one of them
// in place is worthless. They reach no door but the drill's own.
const (
	sabotageDisarm  = "disarm"  // every stage is switched off
	sabotageBurn    = "burn"    // it spends processor time on nothing
	sabotageLeak    = "leak"    // it keeps what it should give back
	sabotageBabble  = "babble"  // it writes to its log without end
	sabotageCharge  = "charge"  // what anybody asks for is charged to everybody
	sabotageAmplify = "amplify" // the origin gets all that is sent over a connection eight times
)

func (d *Door) sabotage() error {
	switch d.spec.Sabotage {
	case sabotageDisarm:
		d.spec.Off = true
	case sabotageBurn:
		go func() {
			for d.ctx.Err() == nil {
			}
		}()
	case sabotageLeak:
		go d.leak()
	case sabotageBabble:
		go d.babble()
	case sabotageCharge: // see policy
	case sabotageAmplify:
		return d.amplify()
	default:
		return fmt.Errorf("there is no sabotage %q", d.spec.Sabotage)
	}
	return nil
}

// mischarge makes an error of accounting: the default limit counts all clients of a host as one.
func mischarge(p *policy.Policy) {
	l := policy.DefaultLimit()
	l.By, l.Burst, l.While = policy.ByHost, 100, policy.Always
	p.Limits = []policy.Limit{l}
}

func (d *Door) leak() {
	var kept [][]byte
	for wait(d.ctx, 20*time.Millisecond) {
		b := make([]byte, 2<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	_ = kept
}

func (d *Door) babble() {
	f, err := os.OpenFile(d.spec.Log, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	line := make([]byte, 256<<10)
	for i := range line {
		line[i] = 'x'
	}
	line[len(line)-1] = '\n'
	for wait(d.ctx, 50*time.Millisecond) {
		if _, err := f.Write(line); err != nil {
			return
		}
	}
}

// amplified is how many times the origin gets what amplify sends: what few requests pass the firewall must become more than came.
const amplified = 8

// amplify stands between door and origin and sends everything to the origin several times, over as many connections.
func (d *Door) amplify() error {
	l, err := listenLoopback(d.ctx)
	if err != nil {
		return err
	}
	origin := d.spec.Origin
	d.spec.Origin = l.Addr().String()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go d.multiply(from, origin)
		}
	}()
	return nil
}

// multiply gives back what the first connection answers.
func (d *Door) multiply(from net.Conn, origin string) {
	defer from.Close()
	to := make([]io.Writer, amplified)
	for i := range to {
		c, err := dialer(visitorAddr(0), time.Second).DialContext(d.ctx, "tcp4", origin)
		if err != nil {
			return
		}
		defer c.Close()
		to[i] = c
		if i == 0 {
			go func() { _, _ = io.Copy(from, c); from.Close() }()
		} else {
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}
	_, _ = io.Copy(io.MultiWriter(to...), from)
}
