package origin

import (
	"crypto/sha256"
	"encoding/json"
	"os"

	"stormdoor/policy"
)

// fingerprint tells whether two configurations make the same pool.
type fingerprint [sha256.Size]byte

// fingerprint digests everything that a pool is made of, the contents of the files that its origins name included.
func (c Config) fingerprint() fingerprint {
	files := map[string][]byte{}
	for _, o := range c.Origins {
		for _, f := range []string{o.CA, o.Certificate, o.Key} {
			if f != "" {
				files[f], _ = os.ReadFile(f) // whoever needs the file says what is wrong with it
			}
		}
	}
	host := ""
	if c.Health != nil {
		host = firstExact(c.Hosts)
	}
	t := c.Timeouts
	text, err := json.Marshal(struct {
		Site, Token, Host string
		Origins           []policy.Origin
		Balance           policy.Balance
		Health            *policy.Health
		Times             [3]policy.Duration
		MaxBody           policy.Bytes
		PreserveHost      bool
		Admission         policy.Admission
		Secret            [32]byte
		Files             map[string][]byte
	}{c.Site, c.Token, host, c.Origins, c.Balance, c.Health, [...]policy.Duration{t.Connect, t.Response, t.Idle}, c.MaxBody, c.PreserveHost, c.Admission, c.Secret, files})
	if err != nil {
		panic("origin: a configuration has no JSON: " + err.Error()) // it is made of plain values
	}
	return sha256.Sum256(text)
}

// inherit lets a new pool begin with what the one before knows: how its origins are, whether they are in trouble, and
// what is usual for them. So a reload in the middle of a storm does not make the door believe that all is well.
func (p *Pool) inherit(before *Pool) {
	known := map[string]*member{}
	for _, m := range before.members {
		known[m.scheme+"://"+m.label] = m
	}
	stays := false
	for _, m := range p.members {
		if old := known[m.scheme+"://"+m.label]; old != nil {
			m.inherit(old)
			stays = true
		}
	}
	if !stays {
		return
	}
	if p.gate != nil && before.gate != nil && p.gate.Fixed() == before.gate.Fixed() {
		p.gate = before.gate // who is in flight or waits, and what was learned, goes on
	}
	before.heat.Lock()
	heat := before.heat.heat
	before.heat.Unlock()
	heat.crowd(p.now(), 0) // nobody waits for the new pool yet
	p.heat.heat = heat
	p.hotUntil.Store(before.hotUntil.Load())
	before.retries.Lock()
	p.retries.budget = before.retries.budget
	before.retries.Unlock()
	p.forwards.Store(before.forwards.Load())
}

func (m *member) inherit(old *member) {
	old.mu.Lock()
	c := old.cond
	old.mu.Unlock()
	c.trials = 0 // those under way tell the old pool
	m.cond = c
	m.up.Store(c.up())
	m.well.Store(c.up() && c.fails == 0)
	m.forwards.Store(old.forwards.Load())
	m.failures.Store(old.failures.Load())
}
