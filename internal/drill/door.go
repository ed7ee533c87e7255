package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor"
	"stormdoor/internal/gate/listen"
	"stormdoor/internal/loop/observe"
	"stormdoor/policy"
)

// DoorSpec says which door a drill tries.
type DoorSpec struct {
	// Policy is the operator's policy file, "" for the defaults. Its origins, sockets, certificates and log are
	// replaced by the drill's.
	Policy string
	// Added is a part of a policy in YAML (lists, limits, rules, waf) that is in force beside it.
	Added string
	// Off switches every defence off: what is measured against.
	Off bool
	// Origin is the address of the drill's origin; Dir holds its files.
	Origin, Dir string
	// Log is the file that takes the log, Access the share of passed requests in it.
	Log    string
	Access float64
	// Again is where a door listened that was killed, and where it has to listen again; the zero value takes free ports.
	Again DoorAddrs
	// Sabotage is a deliberate defect, for the tests of the scorecard.
	Sabotage string
}

// DoorAddrs are where the door listens.
type DoorAddrs struct{ Clear, Secure string }

// Door is the part that runs the door itself: the same Door and Server as `stormdoor serve`.
type Door struct {
	ctx    context.Context
	spec   DoorSpec
	mu     sync.Mutex
	server *stormdoor.Server
	clock  atomic.Int64 // nanoseconds by which the door's clock is wrong
}

// Start opens the door.
func (d *Door) Start(spec DoorSpec, addrs *DoorAddrs) error {
	d.spec = spec
	if spec.Sabotage != "" {
		if err := d.sabotage(); err != nil {
			return err
		}
	}
	p, err := d.policy(spec.Added)
	if err != nil {
		return err
	}
	debug.SetGCPercent(25) // as serve does
	now := func() time.Time { return time.Now().Add(time.Duration(d.clock.Load())) }
	lines, err := observe.NewWriter(p.Log.File, os.Stderr, int64(p.Log.MaxRate), now)
	if err != nil {
		return err
	}
	go lines.Run(d.ctx)
	log := slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: slog.LevelInfo}))
	door, err := stormdoor.New(p, stormdoor.Options{Log: log, Lines: lines, Version: "drill", Now: now})
	if err != nil {
		return err
	}
	server, err := stormdoor.NewServer(door)
	if err != nil {
		return err
	}
	sockets, err := listen.Open(stormdoor.Addresses(p), nil)
	if err != nil {
		return err
	}
	ready, failed := make(chan struct{}), make(chan error, 1)
	go func() { failed <- server.Run(d.ctx, sockets, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-failed:
		return errors.Join(errors.New("the door did not come up"), err)
	}
	d.mu.Lock()
	d.server = server
	d.mu.Unlock()
	for _, a := range sockets.Addrs() {
		l := sockets.Listener(a)
		if t, ok := l.Addr().(*net.TCPAddr); !ok || !t.IP.IsLoopback() {
			return fmt.Errorf("the door listens on %v: %w", l.Addr(), errNotLoopback)
		}
		if a == p.Listen.HTTP[0] {
			addrs.Clear = l.Addr().String()
		} else {
			addrs.Secure = l.Addr().String()
		}
	}
	return nil
}

// Apply puts another policy in force as a reload does: the drill's with other parts added.
func (d *Door) Apply(added string, _ *Nothing) error {
	p, err := d.policy(added)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.server.Apply(p)
}

// StepClock makes the door's clock wrong by so much more.
func (d *Door) StepClock(by time.Duration, _ *Nothing) error {
	d.clock.Add(int64(by))
	return nil
}

// policy is the operator's policy in the drill's place.
func (d *Door) policy(added string) (*policy.Policy, error) {
	p := &policy.Policy{Sites: []policy.Site{{Hosts: []string{shopHost}}}}
	if d.spec.Policy != "" {
		var err error
		if p, err = policy.Load(d.spec.Policy); err != nil {
			return nil, err
		}
	}
	origins := []policy.Origin{{URL: "http://" + d.spec.Origin}}
	certificate, key, off := d.spec.Dir+"/"+certificateFile, d.spec.Dir+"/"+keyFile, false
	claimed := false
	for i := range p.Sites {
		s := &p.Sites[i]
		s.Origins, s.Health = origins, nil
		s.TLS = &policy.TLS{Certificate: certificate, Key: key, Redirect: &off}
		for j := range s.Routes {
			if len(s.Routes[j].Origins) > 0 {
				s.Routes[j].Origins = origins
			}
		}
		for _, h := range s.Hosts {
			claimed = claimed || h == shopHost
		}
	}
	if !claimed {
		p.Sites[0].Hosts = append([]string{shopHost}, p.Sites[0].Hosts...)
	}
	p.Listen.HTTP, p.Listen.HTTPS, p.Listen.HTTP3 = []string{"127.0.0.1:0"}, []string{"127.0.0.2:0"}, false
	if d.spec.Again != (DoorAddrs{}) {
		p.Listen.HTTP, p.Listen.HTTPS = []string{d.spec.Again.Clear}, []string{d.spec.Again.Secure}
	}
	p.Admin.Listen, p.Data, p.Watch = "off", d.spec.Dir, false
	p.Log.File, p.Log.Format, p.Log.Access = d.spec.Log, policy.LogJSON, d.spec.Access
	p.Geo.Network, p.Geo.Country = d.spec.Dir+"/"+geoFile, d.spec.Dir+"/"+geoFile
	if added != "" {
		if err := add(p, added); err != nil {
			return nil, err
		}
	}
	if d.spec.Sabotage == sabotageCharge {
		mischarge(p)
	}
	if d.spec.Off {
		disarm(p)
	}
	return p.WithDefaults(), nil
}

// add puts the lists, limits and rules of a part of a policy beside those of p, and its firewall in the place of p's.
func add(p *policy.Policy, part string) error {
	q, err := policy.Parse("the scene's policy", []byte("sites: [{hosts: [unused.example], origins: ['http://127.0.0.1:1']}]\n"+part))
	if err != nil {
		return err
	}
	p.Lists, p.Rules = append(p.Lists, q.Lists...), append(p.Rules, q.Rules...)
	if q.WAF.Mode != "" {
		p.WAF = q.WAF
	}
	if len(q.Limits) > 0 {
		p.Limits = append(p.Limits, q.Limits...)
	}
	return nil
}

// disarm takes every defence out of a policy: what is left forwards.
func disarm(p *policy.Policy) {
	p.Lists, p.Rules, p.Limits = nil, nil, []policy.Limit{}
	off := true
	for i := range p.Sites {
		s := &p.Sites[i]
		s.Admission.Off, s.Cache.Off, s.WAF = true, &off, policy.WAFOff
		for j := range s.Routes {
			s.Routes[j].Cache.Off, s.Routes[j].WAF = &off, policy.WAFOff
		}
	}
}
