package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// storm is one case.
type storm struct {
	name         string
	text         string
	full         bool // at full speed: it asks seldom enough
	dear         float64
	cached       bool // pages may be stored: what reaches the origin is told beside what was asked
	calmVisitors bool
	visitors     func(g ground, c *crowd, t *tally)
	storm        func(g ground, c *crowd, t *tally)
}

// service is how long a page takes.
func (g ground) service(s storm) time.Duration {
	if s.full {
		return 5 * time.Millisecond
	}
	return time.Duration(float64(5*time.Millisecond) * g.scale)
}

// capacity is how many pages the origin can give in a second.
func (g ground) capacity(s storm) float64 { return workers / g.service(s).Seconds() }

func (s storm) about(g ground) string {
	return fmt.Sprintf("%s Origin: %d workers of %v, %.0f pages a second. %v of calm, then %v of storm. Served is a 200 within %v.",
		s.text, workers, g.service(s), g.capacity(s), g.calm, g.span, soon)
}

// What kinds of clients send.
const (
	browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: de,en;q=0.5\r\nAccept-Encoding: gzip\r\nSec-Fetch-Mode: navigate\r\n"
	program = "User-Agent: feedreader/2.1\r\nAccept: */*\r\n"
)

var storms = []storm{
	{
		name: "calm", text: "No storm: 60 % of what the origin can do, from 200 addresses.",
		visitors: func(g ground, c *crowd, t *tally) { even(g, c, t, 200, 0.6*g.capacity(storm{})) },
		storm:    func(ground, *crowd, *tally) {},
	},
	{
		name: "flood", text: "2,000 addresses that look like browsers ask for 20 times what the origin can do, each below any per-address limit.", calmVisitors: true,
		visitors: func(g ground, c *crowd, t *tally) { regulars(c, t, int(100/g.scale), time.Second) },
		storm: func(g ground, c *crowd, t *tally) {
			const bots = 2000
			every := time.Duration(bots / (20 * g.capacity(storm{})) * float64(time.Second))
			for i := range bots {
				c.join(client{source: address(32, i), every: every, path: "/", fields: browser, tally: t})
			}
		},
	},
	{
		name: "search", text: "500 addresses ask for a search that takes ten pages' time, 20 times what the origin can do.", full: true, dear: 10, calmVisitors: true,
		visitors: func(_ ground, c *crowd, t *tally) { regulars(c, t, 100, time.Second) },
		storm: func(g ground, c *crowd, t *tally) {
			const bots = 500
			every := time.Duration(bots / (20 * g.capacity(storm{full: true}) / 10) * float64(time.Second))
			for i := range bots {
				c.join(client{source: address(33, i), every: every, path: "/search", fields: browser, tally: t})
			}
		},
	},
	{
		name: "crowd", text: "A flash crowd: good visitors whom nobody has seen before, 20 times what the origin can do, each for three pages.", calmVisitors: true,
		visitors: func(g ground, c *crowd, t *tally) { regulars(c, t, int(100/g.scale), time.Second) },
		storm:    newcomers,
	},
	{
		name: "bust", text: "2,000 addresses ask for three pages that may be stored under addresses that are all different, 20 times what the origin can do; visitors want these pages, and others of the same lists.",
		cached: true, calmVisitors: true,
		visitors: func(g ground, c *crowd, t *tally) { readers(c, t, int(100/g.scale), time.Second) },
		storm: func(g ground, c *crowd, t *tally) {
			const bots = 2000
			every := time.Duration(bots / (20 * g.capacity(storm{})) * float64(time.Second))
			made := func() string { return fmt.Sprintf("?%x=%x", rand.Uint32(), rand.Uint32()) }
			for i := range bots {
				c.join(client{source: address(34, i), every: every, path: lists[i%len(lists)], query: made, fields: browser, tally: t})
			}
		},
	},
}

// lists are pages that may be stored; their parameter page makes a difference, and no other does.
var lists = [...]string{"/cached/a", "/cached/b", "/cached/c"}

// readers are visitors of the lists: most want the first page, some another one.
func readers(c *crowd, t *tally, n int, every time.Duration) {
	for i := range n {
		query := func() string {
			if p := rand.IntN(10); p > 5 {
				return fmt.Sprintf("?page=%d", p)
			}
			return ""
		}
		c.join(client{source: address(16, i), every: every, path: lists[i%len(lists)], query: query, fields: browser, tally: t})
	}
}

// regulars are visitors who are there before, browsers and programs.
func regulars(c *crowd, t *tally, n int, every time.Duration) {
	for i := range n {
		fields := browser
		if i%4 == 0 {
			fields = program
		}
		c.join(client{source: address(16, i), every: every, path: "/", fields: fields, tally: t})
	}
}

// even are n clients that ask at a rate together.
func even(_ ground, c *crowd, t *tally, n int, rate float64) {
	for i := range n {
		c.join(client{source: address(17, i), every: time.Duration(float64(n) / rate * float64(time.Second)), path: "/", fields: browser, tally: t})
	}
}

// newcomers arrive all the time, each with an address of its own.
func newcomers(g ground, c *crowd, t *tally) {
	const pages = 3
	rate := 20 * g.capacity(storm{}) / pages // visitors in a second
	c.all.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		began, came := time.Now(), 0
		for {
			select {
			case <-tick.C:
			case <-c.ctx.Done():
				return
			}
			for ; float64(came) < rate*time.Since(began).Seconds(); came++ {
				network := byte(64 + came/62_500%128)
				c.join(client{source: address(network, came%62_500), every: time.Second, path: "/", fields: browser, once: pages, tally: t})
			}
		}
	})
}
