package drill

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the card for people who read text.
func (c *Card) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Scorecard of a drill\n\n%s, %v a scene, seed %d, took %v. ", c.Started.Format("2006-01-02 15:04 MST"), c.Length, c.Seed, c.Took)
	b.WriteString("Served means answered within a second.\n\n")
	b.WriteString("| scene | served before | during | after | p99 during | protected in | recovered in | origin used | laws |\n|---|---|---|---|---|---|---|---|---|\n")
	for i := range c.Scores {
		s := &c.Scores[i]
		if s.NotBuilt != "" {
			fmt.Fprintf(&b, "| %s | | | | | | | | not built yet |\n", s.Scene)
			continue
		}
		fmt.Fprintf(&b, "| %s | %.1f %% | %.1f %% | %.1f %% | %v | %v | %v | %.0f %% | %s |\n", s.Scene, s.All.Before.Share(), s.All.During.Share(), s.All.After.Share(),
			s.All.During.P99, s.ProtectedIn, s.RecoveredIn, 100*s.OriginLoad, kept(s.Pass()))
	}
	fmt.Fprintf(&b, "\n%s: %.2f s, without a defence %.2f s, ratio %.2f (ceiling %s): %s.\n", c.Total.What, c.Total.On, c.Total.Off, c.Total.Ratio, c.Total.Bound(), kept(c.Total.Pass))
	for i := range c.Scores {
		c.Scores[i].markdown(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func kept(pass bool) string {
	if pass {
		return "kept"
	}
	return "**broken**"
}

func (s *Score) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s: %s\n\n", s.Scene, s.Title)
	if s.Story != "" {
		fmt.Fprintf(b, "%s\n\n", s.Story)
	}
	if s.NotBuilt != "" {
		fmt.Fprintf(b, "Not run: %s.\n", s.NotBuilt)
		return
	}
	for _, l := range s.Laws {
		fmt.Fprintf(b, "- %s: %s (%s)\n", l.Law, kept(l.Pass), l.Detail)
	}
	for _, l := range s.Unconfirmed {
		fmt.Fprintf(b, "- When this scene was played before, shorter, a law was broken, which this did not count: %s (%s)\n", l.Law, l.Detail)
	}
	b.WriteString("\n| who | asked | served before | during | after | p50 during | p99 before | p99 during | p99 after |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range append([]Service{s.All}, s.Kinds...) {
		fmt.Fprintf(b, "| %s | %d | %.1f %% | %.1f %% | %.1f %% | %v | %v | %v | %v |\n", k.Kind, k.Before.Asked+k.During.Asked+k.After.Asked,
			k.Before.Share(), k.During.Share(), k.After.Share(), k.During.P50, k.Before.P99, k.During.P99, k.After.P99)
	}
	if len(s.Hurt) > 0 {
		b.WriteString("\nWho was hurt, and by what:")
		for i, h := range s.Hurt {
			if i == 12 {
				fmt.Fprintf(b, " and %d more;", len(s.Hurt)-i)
				break
			}
			fmt.Fprintf(b, " %s by %s %d times;", h.Kind, h.By, h.Times)
		}
		b.WriteString("\n")
	}
	if s.Storm.Sent > 0 {
		fmt.Fprintf(b, "\nThe storm: %d requests in %v over %d connections; %d answered, %d refused, %d broken off. The origin was used to %.0f %%, with at most %d requests inside (%d workers). Bots and visitors cost %v of processor time, which is in no row below.\n",
			s.Storm.Sent, s.StormLength, s.Storm.Connections, s.Storm.Answered, s.Storm.Refused, s.Storm.Broken, 100*s.OriginLoad, s.MostInFlight, s.Workers, s.GeneratorCPU)
	}
	if len(s.Amplification) > 0 {
		b.WriteString("\n| for one hostile request | with the defence | without | ratio | ceiling | |\n|---|---|---|---|---|---|\n")
		for _, r := range s.Amplification {
			ratio := fmt.Sprintf("%.2f", r.Ratio)
			if r.Ratio == 0 {
				ratio = r.Note
			}
			fmt.Fprintf(b, "| %s, %s | %.4g | %.4g | %s | %s | %s |\n", r.What, r.Unit, r.On, r.Off, ratio, r.Bound(), kept(r.Pass))
		}
	}
	for _, p := range s.Peers {
		fmt.Fprintf(b, "\n%s in the same scene: %.1f %% served before, %.1f %% during, %v at p99; %.1f %% after.\n", p.Name, p.Before.Share(), p.During.Share(), p.During.P99, p.After.Share())
	}
}
