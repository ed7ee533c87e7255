package origin

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// TestAnUnchangedPoolGoesOn: a reload that leaves a pool alone keeps the pool itself, with its connections.
func TestAnUnchangedPoolGoesOn(t *testing.T) {
	u := plays(answers(200, "ok"))
	var c Config
	p := script(t, func(d *Config) { c = *d }, u)
	c.Before = p
	c.Hosts = append(c.Hosts, "www.shop.example") // matters for health checks only
	again, err := New(c)
	if err != nil || again != p {
		t.Fatalf("another pool, %v", err)
	}
	again.Close()
	if u.closed {
		t.Error("the connections are closed while the pool is in use")
	}
}

func TestAPoolThatChangesIsMadeAnew(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text string) {
		if err := os.WriteFile(ca, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	base := Config{Site: "shop", Hosts: []string{"shop.example"}, Token: testToken, Origins: []policy.Origin{{URL: "http://o0:80", CA: ca}}}
	was := base.fingerprint()
	for name, change := range map[string]func(*Config){
		"max_body":      func(c *Config) { c.MaxBody = 1 },
		"response":      func(c *Config) { c.Timeouts.Response = 1 },
		"an origin":     func(c *Config) { c.Origins = append([]policy.Origin{{URL: "http://o1:80"}}, c.Origins...) },
		"a weight":      func(c *Config) { c.Origins = []policy.Origin{{URL: "http://o0:80", CA: ca, Weight: 2}} },
		"health":        func(c *Config) { c.Health = &policy.Health{} },
		"balance":       func(c *Config) { c.Balance = policy.RoundRobin },
		"preserve_host": func(c *Config) { c.PreserveHost = true },
		"the CA file":   func(*Config) { write("two") },
	} {
		c := base
		change(&c)
		if c.fingerprint() == was {
			t.Errorf("%s: a changed pool would go on", name)
		}
		write("one")
	}
	for name, change := range map[string]func(*Config){
		"head":       func(c *Config) { c.Timeouts.Head = 1 },
		"keep_alive": func(c *Config) { c.Timeouts.KeepAlive = 1 },
		"the hosts":  func(c *Config) { c.Hosts = []string{"blog.example"} },
	} {
		c := base
		change(&c)
		if c.fingerprint() != was {
			t.Errorf("%s is not the pool's, and it is made anew", name)
		}
	}
}

// TestAChangedPoolKnowsWhatTheOldOneKnew: a reload in a storm must not begin with the belief that all is well.
func TestAChangedPoolKnowsWhatTheOldOneKnew(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	down, fine := plays(fails(wire.FaultDial, true)), plays(answers(200, "ok"))
	var c Config
	p := script(t, func(d *Config) { d.Now = func() time.Time { return now }; c = *d }, down, fine)
	for range 60 {
		p.Forward(visitor("GET", "/"), facts())
	}
	p.warm(now, forward{failed: true})
	for range 30 {
		p.warm(now, forward{failed: true})
	}
	before := p.Status()
	if !p.Hot(now) || before[0].Up || !before[1].Up {
		t.Fatalf("hot: %v, %+v: the test tests nothing", p.Hot(now), before)
	}
	c.Before, c.MaxBody = p, 1<<20
	c.NewUpstream = func(wire.UpstreamConfig) wire.Upstream { return plays(answers(200, "ok")) }
	next, err := New(c)
	if err != nil || next == p {
		t.Fatalf("the same pool, %v", err)
	}
	defer next.Close()
	after := next.Status()
	if !next.Hot(now) || after[0] != before[0] || after[1] != before[1] {
		t.Errorf("hot: %v, %+v, want %+v", next.Hot(now), after, before)
	}
	if ex := visitor("GET", "/"); next.Forward(ex, facts()) != "" || ex.status != 200 {
		t.Errorf("not forwarded: %d", ex.status)
	}
	now = now.Add(2 * heatStays)
	if next.Hot(now) {
		t.Error("hot for ever")
	}
	c.Before, c.Origins = next, []policy.Origin{{URL: "http://o7:80"}}
	other, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if s := other.Status(); !s[0].Up || s[0].Forwards != 0 {
		t.Errorf("another origin begins with %+v", s[0])
	}
}
