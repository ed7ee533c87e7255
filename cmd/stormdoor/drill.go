package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"stormdoor/internal/drill"
)

type drillCmd struct {
	Config   string   `short:"c" placeholder:"FILE" help:"Try this policy; its origins are replaced by the drill's."`
	List     bool     `help:"List the scenes and end."`
	Only     []string `placeholder:"SCENE" help:"Run only these scenes."`
	Seconds  float64  `default:"10" help:"How long each scene lasts, 4 to 600."`
	Seed     uint64   `default:"1" help:"What is drawn by lot is drawn from this."`
	Confirm  bool     `help:"Play a scene in which a law was broken once more, three times as long, and count only that."`
	Compare  []string `placeholder:"PEER" help:"Run the storms before these too: nginx, haproxy."`
	Record   string   `placeholder:"FILE" help:"Keep the tape: every request as the door's access log has it."`
	JSON     string   `placeholder:"FILE" help:"Write the scorecard as JSON."`
	Markdown string   `placeholder:"FILE" help:"Write the scorecard as Markdown."`
	HTML     string   `name:"html" placeholder:"FILE" help:"Write the scorecard as one HTML page with plots."`
}

// Help says what a drill is.
func (drillCmd) Help() string {
	return `A drill starts a small shop of limited capacity, a door in front of it, good visitors and a storm, all on loopback and all its own: it takes no target. It tells how many of the good visitors were served before, during and after the storm, what the defence spent beside the same storm without it, and exits with 1 when a law was broken.`
}

// Run runs the drill.
func (c drillCmd) Run(e *environment) error {
	if c.List {
		return listScenes(e.out)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the drill cannot find its own program: %w", err)
	}
	d := newDisplay(e.err)
	card, err := drill.Run(e.ctx, drill.Options{
		Self: []string{self, "drill-part"}, Policy: c.Config, Only: c.Only, Length: time.Duration(c.Seconds * float64(time.Second)), Seed: c.Seed,
		Confirm: c.Confirm, Compare: c.Compare, Record: c.Record, Progress: d.show,
	})
	if err != nil {
		return err
	}
	if err := c.write(card); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\n%s: %.2f s, without a defence %.2f s.\n", card.Total.What, card.Total.On, card.Total.Off)
	broken := card.Broken()
	if len(broken) > 0 {
		fmt.Fprintf(e.out, "A law was broken in %d of %d scenes:\n", len(broken), card.Played())
		for _, s := range broken {
			for _, l := range s.Laws {
				if !l.Pass {
					fmt.Fprintf(e.out, "  %-20s %s: %s\n", s.Scene, l.Law, l.Detail)
				}
			}
		}
		fmt.Fprintf(e.out, "Look closer: stormdoor drill --only %s --seconds 30 --html card.html\n", broken[0].Scene)
	}
	if !card.Total.Pass {
		fmt.Fprintf(e.out, "A law was broken by all storms together: the door may use %.2f of the processor time that it uses without a defence.\n", card.Total.Allowed)
	}
	if len(broken) > 0 || !card.Total.Pass {
		return exitError(1)
	}
	fmt.Fprintf(e.out, "Every law was kept. It took %v.\n", card.Took)
	return nil
}

// write writes the reports that were asked for.
func (c drillCmd) write(card *drill.Card) error {
	for _, r := range []struct {
		file  string
		write func(io.Writer) error
	}{
		{c.JSON, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(card)
		}},
		{c.Markdown, card.Markdown},
		{c.HTML, card.HTML},
	} {
		if r.file == "" {
			continue
		}
		f, err := os.Create(r.file)
		if err != nil {
			return fmt.Errorf("the scorecard: %w", err)
		}
		if err := errors.Join(r.write(f), f.Close()); err != nil {
			return fmt.Errorf("the scorecard %s: %w", r.file, err)
		}
	}
	return nil
}

func listScenes(w io.Writer) error {
	scenes, err := drill.Scenes()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range scenes {
		what := s.Title
		if s.NotBuilt != "" {
			what += " (" + s.NotBuilt + ")"
		}
		fmt.Fprintf(t, "%s\t%s\n", s.Name, what)
	}
	return t.Flush()
}

// drillPartCmd is one process of a drill. It is steered by the drill over its standard input.
type drillPartCmd struct {
	Part string `arg:""`
}

// Run serves the drill until its input ends.
func (c drillPartCmd) Run(e *environment) error { return drill.Part(c.Part, os.Stdin, e.out) }
