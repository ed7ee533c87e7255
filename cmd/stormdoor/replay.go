package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"stormdoor"
	"stormdoor/internal/loop/tape"
)

type replayCmd struct {
	Log        string `arg:"" help:"An access log: combined, common, JSON lines or tab-separated, plain or gzip; - is standard input."`
	Policy     string `short:"c" placeholder:"FILE" help:"The policy that judges. Default: the built-in defaults."`
	Site       string `placeholder:"NAME" help:"The site that every line is for. Default: that of the line's host, or the policy's only site."`
	Hot        bool   `help:"Judge only as if the origins had been in trouble all the time."`
	GoodPeak   int    `placeholder:"N" help:"A client counts as a good visitor up to this many requests in a minute. Default: 1200."`
	FailOnGood bool   `help:"Exit with status 1 when a good visitor would have been touched."`
	JSON       bool   `name:"json" help:"Print JSON."`
}

// Help says what is replayed.
func (replayCmd) Help() string {
	return `The requests of the log are judged at the log's own times, and nothing is sent to anybody. The report tells what would have been refused or held back, by which list, limit or rule, when and whom, and how many good visitors that touches: both while the origins are well, and as if they had been in trouble all the time.

Examples:
  stormdoor replay access.log.gz -c stormdoor.yaml
  zcat access.log.*.gz | stormdoor replay - -c stormdoor.yaml --fail-on-good`
}

// Run replays the log and prints the report.
func (c replayCmd) Run(e *environment) error {
	p, err := policyOrDefault(c.Policy, "http://127.0.0.1:1")
	if err != nil {
		return err
	}
	d, err := stormdoor.New(p, stormdoor.Options{Log: slog.New(slog.NewTextHandler(e.err, nil))})
	if err != nil {
		return err
	}
	defer d.Close()
	l, err := tape.Open(c.Log)
	if err != nil {
		return advise(c.Log, err)
	}
	defer l.Close()
	// A second Ctrl-C ends the process: reading may be waiting for standard input.
	defer context.AfterFunc(e.ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })()
	show := newProgress(e.err, time.Now)
	r, err := d.Replay(e.ctx, l, stormdoor.ReplayOptions{Site: c.Site, Hot: c.Hot, GoodPeak: c.GoodPeak, Progress: show.tell})
	show.end()
	if r.Requests == 0 && err != nil {
		return advise(c.Log, err)
	}
	r.Log = c.Log
	if printed := c.print(e.out, r); printed != nil {
		return printed
	}
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(e.err, "stormdoor: interrupted after %d requests; the report is about those\n", r.Requests)
		return exitError(130)
	case err != nil:
		return advise(c.Log, err)
	case c.FailOnGood && r.TouchesGood():
		return exitError(1)
	}
	return nil
}

func (c replayCmd) print(w io.Writer, r stormdoor.Report) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	_, err := fmt.Fprint(w, r)
	return err
}

// advise says what to do about a log that cannot be read.
func advise(file string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the file was cut off or is still being written; copy it again", err)
	}
	return unreadable("access log", file, err)
}

// progress tells a person on standard error how far a replay is: each second on a terminal, else every ten seconds. What
// takes less than a second is not worth a word.
type progress struct {
	w        io.Writer
	now      func() time.Time
	terminal bool
	every    time.Duration
	begun    time.Time
	told     time.Time
	shown    bool
}

func newProgress(w *os.File, now func() time.Time) *progress {
	p := &progress{w: w, now: now, every: 10 * time.Second, begun: now()}
	if info, err := w.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		p.terminal, p.every = true, time.Second
	}
	p.told = p.begun
	return p
}

func (p *progress) tell(at stormdoor.ReplayProgress) {
	now := p.now()
	if now.Sub(p.told) < p.every {
		return
	}
	p.told, p.shown = now, true
	text := progressText(at, now.Sub(p.begun))
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// end takes the line of a terminal back.
func (p *progress) end() {
	if p.terminal && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func progressText(at stormdoor.ReplayProgress, took time.Duration) string {
	text := fmt.Sprintf("%d requests, %.0f a second", at.Requests, float64(at.Requests)/took.Seconds())
	if at.Total <= 0 || at.Read <= 0 {
		return text
	}
	share := min(float64(at.Read)/float64(at.Total), 1)
	left := time.Duration(float64(took) * (1 - share) / share).Round(time.Second)
	return fmt.Sprintf("%.0f %%, %s, %s left", share*100, text, left)
}
