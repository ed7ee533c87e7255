package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stormdoor"
	"stormdoor/policy"
)

type wafExcludeCmd struct {
	Reference string `arg:"" help:"The reference of a recent request, as the visitor's page, the log and explain show it."`
	Policy    string `short:"c" placeholder:"FILE" help:"Show what would be added to this policy; with --write, add it."`
	Write     bool   `help:"Write the policy."`
	Until     string `placeholder:"DAY" help:"The last day of the exclusions, as 2027-03-31, or never. Default: 90 days from now."`
	Why       string `placeholder:"TEXT" help:"Why this is right, for whoever reads it later. Default: the reference and what the rule says."`
	Admin     string `default:"127.0.0.1:2112" help:"The admin listener of the running door: an address or unix:/path."`
}

// Help shows the way from a reference to an exclusion in force.
func (wafExcludeCmd) Help() string {
	return `Each rule that counted against the request is excluded in the field in which it matched, on the request's path and site: nothing else changes. Without --write nothing does.

Examples:
  stormdoor waf exclude czb2ypvqxa6h8b2t
  stormdoor waf exclude czb2ypvqxa6h8b2t -c stormdoor.yaml --why "search terms" --write && systemctl reload stormdoor`
}

// exclusionDays is for how many days an exclusion is made when nobody says otherwise.
const exclusionDays = 90

// Run asks the running door and prints or writes the exclusions.
func (c wafExcludeCmd) Run(e *environment) error {
	until := time.Now().AddDate(0, 0, exclusionDays)
	if c.Until != "" && c.Until != "never" {
		var err error
		if until, err = time.Parse(time.DateOnly, c.Until); err != nil {
			return fmt.Errorf("--until %q is not a day: write it like 2027-03-31, or never", c.Until)
		}
	}
	if c.Write && c.Policy == "" {
		return errors.New("--write needs the policy to write to: -c FILE")
	}
	in, err := wafExplainCmd{Request: c.Reference, Admin: c.Admin}.recent(e)
	if err != nil {
		return err
	}
	list := in.Narrowest(until)
	for i := range list {
		if c.Until == "never" {
			list[i].Until = ""
		}
		if c.Why != "" {
			list[i].Why = c.Why
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("no rule counted against %s: there is nothing to exclude; see stormdoor waf explain %s", c.Reference, c.Reference)
	}
	if c.Policy == "" {
		fmt.Fprintf(e.out, "# %s %s%s: %d of the rules counted. Put this into the policy:\nwaf:\n  exclude:\n", in.Method, in.Host, in.Clean, len(list))
		for i := range list {
			fmt.Fprintf(e.out, "    - %s\n", list[i])
		}
		return nil
	}
	return c.add(e, list)
}

// add shows, and writes if that is wanted, the policy with the exclusions.
func (c wafExcludeCmd) add(e *environment, list []policy.WAFExclusion) error {
	text, err := os.ReadFile(c.Policy)
	if err != nil {
		return unreadable("policy", c.Policy, err)
	}
	edited, at, lines, err := policy.AddExclusions(c.Policy, text, list)
	if errors.Is(err, policy.ErrPlace) {
		fmt.Fprintln(e.out, "waf:\n  exclude:")
		for i := range list {
			fmt.Fprintf(e.out, "    - %s\n", list[i])
		}
		return fmt.Errorf("%s: %w", c.Policy, err)
	}
	if err != nil {
		return err
	}
	showAdded(e, c.Policy, text, at, lines)
	if !c.Write {
		fmt.Fprintf(e.out, "\nnothing is written: say --write to write %s\n", c.Policy)
		return nil
	}
	if err := replaceFile(c.Policy, edited); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\n%s is written; it is in force after a reload (systemctl reload stormdoor, or SIGHUP)\n", c.Policy)
	return nil
}

// showAdded writes the lines that come in, in the form of a diff.
func showAdded(e *environment, name string, text []byte, at int, lines []string) {
	old := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	from, to := max(1, at-3), min(len(old), at+2)
	fmt.Fprintf(e.out, "--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", name, name, from, to-from+1, from, to-from+1+len(lines))
	for n := from; n <= to; n++ {
		if n == at {
			for _, l := range lines {
				fmt.Fprintf(e.out, "+%s\n", l)
			}
		}
		fmt.Fprintf(e.out, " %s\n", old[n-1])
	}
	if at > to {
		for _, l := range lines {
			fmt.Fprintf(e.out, "+%s\n", l)
		}
	}
}

// replaceFile writes a file whole or not at all, with the mode that it has.
func replaceFile(path string, text []byte) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".stormdoor-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = bytes.NewReader(text).WriteTo(f)
	if err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

type wafExclusionsCmd struct {
	Policy string `short:"c" placeholder:"FILE" help:"Look at this policy instead of asking the running door; then nobody knows the hits."`
	Admin  string `default:"127.0.0.1:2112" help:"The admin listener of the running door: an address or unix:/path."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Help says what the states are.
func (wafExclusionsCmd) Help() string {
	return `HITS is in how many requests an exclusion took a match back since the policy is in force. One that was not needed for long, has ended or has no effect can go.

Example:
  stormdoor waf exclusions`
}

// Run asks the running door, or reads a policy.
func (c wafExclusionsCmd) Run(e *environment) error {
	var list stormdoor.Exclusions
	if c.Policy == "" {
		if err := askAdmin(e.ctx, c.Admin, "GET", "/waf/exclusions", nil, &list); err != nil {
			return err
		}
		return show(e.out, list, c.JSON)
	}
	d, _, err := wafDoor(c.Policy, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return show(e.out, d.Exclusions(), c.JSON)
}
