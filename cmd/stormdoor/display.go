package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"stormdoor/internal/drill"
)

// display shows a drill under way: on a terminal a line that moves, and for each scene a line that stays.
type display struct {
	to       *os.File
	terminal bool
	said     string // the scene that has been said, where nothing moves
	spark    []rune // the share of the served in this scene, a sign each quarter of a second
	scene    string
}

func newDisplay(to *os.File) *display {
	info, err := to.Stat()
	return &display{to: to, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// signs draw a share, from nobody served to everybody.
var signs = []rune("▁▂▃▄▅▆▇█")

func (d *display) show(p drill.Progress) {
	if p.Done != nil {
		d.done(p)
		return
	}
	if p.Scene != d.scene {
		d.scene, d.spark = p.Scene, nil
	}
	if !d.terminal {
		if d.said != p.Scene {
			d.said = p.Scene
			fmt.Fprintf(d.to, "[%d/%d] %s …\n", p.Number, p.Of, p.Scene)
		}
		return
	}
	d.spark = append(d.spark, signs[min(len(signs)-1, int(p.Now.Share()/100*float64(len(signs))))])
	if n := len(d.spark) - 40; n > 0 {
		d.spark = d.spark[n:]
	}
	fmt.Fprintf(d.to, "\r\x1b[K[%d/%d] %-20s %-10s %4.1fs  visitors %s %3.0f %%  storm %6d/s  origin %3.0f %%", p.Number, p.Of, p.Scene, p.Phase, p.Elapsed.Seconds(),
		string(d.spark), p.Now.Share(), p.Now.Sent*int64(time.Second/(250*time.Millisecond)), 100*p.Now.OriginLoad)
}

func (d *display) done(p drill.Progress) {
	s := p.Done
	mark := "kept  "
	switch {
	case p.Again:
		mark = "again "
	case !s.Pass():
		mark = "BROKEN"
	}
	if d.terminal {
		fmt.Fprint(d.to, "\r\x1b[K")
	}
	fmt.Fprintf(d.to, "%s %-20s served %5.1f %% before, %5.1f %% during (p99 %v), %5.1f %% after; storm %d requests; origin used to %.0f %%\n", mark, s.Scene,
		s.All.Before.Share(), s.All.During.Share(), s.All.During.P99, s.All.After.Share(), s.Storm.Sent, 100*s.OriginLoad)
	for _, l := range s.Laws {
		if !l.Pass {
			fmt.Fprintf(d.to, "       %s: %s\n", l.Law, l.Detail)
		}
	}
	for _, peer := range s.Peers {
		fmt.Fprintf(d.to, "       %s: %s\n", peer.Name, strings.TrimSpace(fmt.Sprintf("served %5.1f %% before, %5.1f %% during (p99 %v), %5.1f %% after", peer.Before.Share(), peer.During.Share(), peer.During.P99, peer.After.Share())))
	}
}
