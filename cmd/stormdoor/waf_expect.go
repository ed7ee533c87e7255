package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"stormdoor"
)

type wafTestCmd struct {
	Files    []string `arg:"" help:"Files of requests: JSON lines (plain or gzip), or tests of the Core Rule Set in YAML."`
	Policy   string   `short:"c" placeholder:"FILE" help:"The policy that judges. Default: the Core Rule Set, which blocks."`
	Site     string   `placeholder:"NAME" help:"The site that every request is for. Default: the one that claims its host."`
	Paranoia int      `placeholder:"LEVEL" help:"Judge at this paranoia level (1 to 4) instead of the policy's."`
	Missed   float64  `default:"0" placeholder:"PERCENT" help:"How many of the requests to be blocked may pass."`
	False    float64  `default:"0" placeholder:"PERCENT" help:"How many of the requests to pass may be blocked."`
	Show     int      `default:"20" placeholder:"N" help:"How many failures are listed."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Help says what a file looks like.
func (wafTestCmd) Help() string {
	return `A line of a file holds a request as it comes over the wire, one character a byte (Latin-1), and what is expected: that it is blocked or passes, or rules that must match or must not.

  {"id": "login", "want": "pass", "raw": "POST /login HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 6\r\n…\r\n\r\nname=x"}
  {"id": "sqli", "want": "block", "rules": [942100], "not_rules": [941100], "raw": "GET /?id=1'+or+1=1--+ HTTP/1.1\r\n…"}

Nothing is sent to anybody. A request that breaks the protocol counts as blocked: the door refuses it before the firewall. In mode count, a request that would be blocked counts as blocked. The exit status is 1 when more fails than may.

Examples:
  stormdoor waf test cases.jsonl -c stormdoor.yaml
  stormdoor waf test crs/tests/regression/tests/*/*.yaml --paranoia 4
  stormdoor waf test traffic.jsonl.gz --false 0.1`
}

// wafResult is what came of a file of cases.
type wafResult struct {
	Blocked  wafTally     `json:"blocked"` // those to be blocked
	Passed   wafTally     `json:"passed"`
	Rules    wafTally     `json:"rules"` // those with rules that must match or must not
	Skipped  int          `json:"skipped,omitempty"`
	Took     float64      `json:"seconds"`
	Failures []wafFailure `json:"failures,omitempty"`
	show     int
}

type wafTally struct {
	Requests int `json:"requests"`
	Right    int `json:"right"`
}

func (t *wafTally) count(right bool) {
	t.Requests++
	if right {
		t.Right++
	}
}

// wrong is the share that is not as it should be, in percent.
func (t wafTally) wrong() float64 {
	return 100 * float64(t.Requests-t.Right) / float64(max(1, t.Requests))
}

// wafFailure is a case that did not go as expected.
type wafFailure struct {
	At    string `json:"at"`
	ID    string `json:"id,omitempty"`
	What  string `json:"what"` // missed, false, rule missing, rule matched
	Score int    `json:"score"`
	Of    int    `json:"threshold"`
	Found string `json:"found,omitempty"`
}

// Run judges every case and compares.
func (c wafTestCmd) Run(e *environment) error {
	if c.Paranoia < 0 || c.Paranoia > 4 {
		return fmt.Errorf("--paranoia %d: the levels are 1 to 4", c.Paranoia)
	}
	var cases []wafCase
	for _, file := range c.Files {
		more, err := readCases(file)
		if err != nil {
			return err
		}
		cases = append(cases, more...)
	}
	d, level, err := wafDoor(c.Policy, c.Paranoia)
	if err != nil {
		return err
	}
	defer d.Close()
	r := &wafResult{show: c.Show}
	began, tell := time.Now(), newTeller(e.err, len(cases))
	for i := range cases {
		if e.ctx.Err() != nil {
			tell.end()
			fmt.Fprintf(e.err, "stormdoor: interrupted after %d of %d requests; the report is about those\n", i, len(cases))
			break
		}
		if cases[i].Level > level {
			r.Skipped++
			continue
		}
		in, err := d.InspectRaw(cases[i].bytes(), c.Site)
		switch {
		case errors.Is(err, stormdoor.ErrFirewallOff):
			tell.end()
			return fmt.Errorf("%s: %w", cases[i].at(), err)
		case err != nil:
			in = stormdoor.Inspection{Refused: true, Unread: err.Error()} // the door waits for the rest, and gives up
		}
		r.count(&cases[i], &in)
		tell.tell(i + 1)
	}
	tell.end()
	r.Took = time.Since(began).Seconds()
	if err := show(e.out, r, c.JSON); err != nil {
		return err
	}
	switch {
	case e.ctx.Err() != nil:
		return exitError(130)
	case r.Blocked.wrong() > c.Missed, r.Passed.wrong() > c.False, r.Rules.wrong() > 0:
		return exitError(1)
	}
	return nil
}

// count compares what was judged with what was expected.
func (r *wafResult) count(c *wafCase, in *stormdoor.Inspection) {
	switch c.Want {
	case "block":
		r.Blocked.count(in.Refused)
		if !in.Refused {
			r.fail(c, in, "missed")
		}
	case "pass":
		r.Passed.count(!in.Refused)
		if in.Refused {
			r.fail(c, in, "false")
		}
	}
	if len(c.Rules)+len(c.NotRules) == 0 {
		return
	}
	matched := func(rule int) bool {
		for i := range in.Matches {
			if in.Matches[i].Rule == rule {
				return true
			}
		}
		return false
	}
	what := ""
	for _, rule := range c.Rules {
		if !matched(rule) {
			what = fmt.Sprintf("%d did not match", rule)
		}
	}
	for _, rule := range c.NotRules {
		if matched(rule) {
			what = fmt.Sprintf("%d matched", rule)
		}
	}
	if r.Rules.count(what == ""); what != "" {
		r.fail(c, in, what)
	}
}

func (r *wafResult) fail(c *wafCase, in *stormdoor.Inspection, what string) {
	f := wafFailure{At: c.at(), ID: c.ID, What: what, Score: in.Score, Of: in.Threshold, Found: in.Unread}
	if in.Unread == "" {
		var rules []string
		for i := range in.Matches {
			if s := fmt.Sprint(in.Matches[i].Rule); !slices.Contains(rules, s) {
				rules = append(rules, s)
			}
		}
		f.Found = strings.Join(rules, " ")
	}
	r.Failures = append(r.Failures, f)
}

// String writes the result for a person.
func (r *wafResult) String() string {
	var b strings.Builder
	for _, l := range []struct {
		name  string
		tally wafTally
	}{{"to be blocked", r.Blocked}, {"to pass", r.Passed}, {"with rules", r.Rules}} {
		if l.tally.Requests > 0 {
			fmt.Fprintf(&b, "%-14s %6d requests, %6d right, %6.2f %%; %d wrong\n", l.name, l.tally.Requests, l.tally.Right, 100-l.tally.wrong(), l.tally.Requests-l.tally.Right)
		}
	}
	if r.Skipped > 0 {
		fmt.Fprintf(&b, "%-14s %6d requests are about a higher paranoia level\n", "left out", r.Skipped)
	}
	for i, f := range r.Failures {
		if i == r.show {
			fmt.Fprintf(&b, "… and %d more: --show %d lists all\n", len(r.Failures)-i, len(r.Failures))
			break
		}
		if i == 0 {
			b.WriteString("\n")
		}
		found := f.Found
		if found == "" {
			found = "no rule"
		}
		fmt.Fprintf(&b, "%-20s %-28s %s; score %d of %d: %s\n", f.What, f.ID, f.At, f.Score, f.Of, found)
	}
	fmt.Fprintf(&b, "%.1f s\n", r.Took)
	return b.String()
}

// teller tells a person at a terminal how far a long run is.
type teller struct {
	to       *os.File
	of       int
	terminal bool
	told     time.Time
	shown    bool
}

func newTeller(to *os.File, of int) *teller {
	info, err := to.Stat()
	return &teller{to: to, of: of, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, told: time.Now()}
}

func (t *teller) tell(done int) {
	if !t.terminal || done%16 != 0 || time.Since(t.told) < 200*time.Millisecond {
		return
	}
	t.told, t.shown = time.Now(), true
	fmt.Fprintf(t.to, "\r%d of %d, %d %%\x1b[K", done, t.of, 100*done/max(1, t.of))
}

func (t *teller) end() {
	if t.shown {
		fmt.Fprint(t.to, "\r\x1b[K")
	}
}
