package drill

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed card.html
var cardPage string

// HTML writes the card as one page with plots. It loads nothing and runs no script.
func (c *Card) HTML(w io.Writer) error {
	t, err := template.New("card").Funcs(template.FuncMap{
		"plot": plot, "spark": spark, "moment": moment,
		"percent1": func(p Phase) string { return fmt.Sprintf("%.1f %%", p.Share()) },
		"add":      func(a, b int) int { return a + b },
	}).Parse(cardPage)
	if err != nil {
		return err
	}
	return t.Execute(w, c)
}

// PeerNames are the peers that the storms were run before, too.
func (c *Card) PeerNames() (names []string) {
	for i := range c.Scores {
		if len(c.Scores[i].Peers) > len(names) {
			names = names[:0]
			for _, p := range c.Scores[i].Peers {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// Peer is how a peer did in the scene, nil where it was not run.
func (s *Score) Peer(name string) *PeerScore {
	for i := range s.Peers {
		if s.Peers[i].Name == name {
			return &s.Peers[i]
		}
	}
	return nil
}

// moment is a time, or that there was none.
func moment(s Seconds) string {
	if s == 0 {
		return "at once"
	}
	return s.String()
}

// The size of a plot, in CSS pixels, and of its margins.
const plotWidth, plotHeight, plotLeft, plotBelow = 640, 120, 40, 16

// curves are what a plot draws, on a canvas of plotWidth x plotHeight.
type curves struct {
	served, load string // points
	from, to     float64
	length       time.Duration
}

func curvesOf(windows []Window) (c curves) {
	end := float64(windows[len(windows)-1].At)
	x := func(at Seconds) float64 { return float64(at) / end * plotWidth }
	y := func(share float64) float64 { return plotHeight - share/100*plotHeight }
	var served, load strings.Builder
	for _, w := range windows {
		fmt.Fprintf(&served, "%.1f,%.1f ", x(w.At), y(w.Share()))
		fmt.Fprintf(&load, "%.1f,%.1f ", x(w.At), y(100*min(1, w.OriginLoad)))
		if w.Phase == "storm" {
			if c.from == 0 {
				c.from = x(w.At - Seconds(tick))
			}
			c.to = x(w.At)
		}
	}
	c.served, c.load, c.length = served.String(), load.String(), time.Duration(windows[len(windows)-1].At).Round(time.Second)
	return c
}

// plot draws the share of the served over time, with the storm as a band behind it.
func plot(windows []Window) template.HTML {
	if len(windows) < 2 {
		return ""
	}
	c := curvesOf(windows)
	return template.HTML(fmt.Sprintf(`<svg viewBox="%d -6 %d %d" role="img" aria-label="share of visitors served over %v">`+
		`<rect class="storm" x="%.1f" y="0" width="%.1f" height="%d"/><polyline class="load" points="%s"/><polyline class="served" points="%s"/>`+
		`<text x="-36" y="8">100 %%</text><text x="-36" y="%d">0 %%</text><text x="0" y="%d">0 s</text><text x="%d" y="%d" text-anchor="end">%v</text><text x="%.1f" y="%d">storm</text></svg>`,
		-plotLeft, plotWidth+plotLeft+6, plotHeight+plotBelow+8, c.length, c.from, c.to-c.from, plotHeight, c.load, c.served,
		plotHeight, plotHeight+plotBelow-3, plotWidth, plotHeight+plotBelow-3, c.length, c.from+4, plotHeight+plotBelow-3))
}

// spark draws the same without axes, for a row of a table.
func spark(windows []Window) template.HTML {
	if len(windows) < 2 {
		return ""
	}
	c := curvesOf(windows)
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 -6 %d %d" preserveAspectRatio="none" role="img" aria-label="share of visitors served over %v"><rect class="storm" x="%.1f" y="-6" width="%.1f" height="%d"/><polyline class="served" vector-effect="non-scaling-stroke" points="%s"/></svg>`,
		plotWidth, plotHeight+12, c.length, c.from, c.to-c.from, plotHeight+12, c.served))
}
