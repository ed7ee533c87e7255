package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"stormdoor"
	"stormdoor/internal/gate/answer"
	"stormdoor/internal/gate/listen"
	"stormdoor/internal/gate/lists"
	"stormdoor/internal/gate/rule"
	"stormdoor/policy"
)

type checkCmd struct {
	File string `arg:"" help:"The policy, a YAML file."`
}

// Help says what is looked at.
func (checkCmd) Help() string {
	return `The files that the policy names are read (certificates, lists, databases, templates), rules are compiled, and nobody is contacted. The exit status is 1 when something is wrong.

Example:
  stormdoor check /etc/stormdoor/stormdoor.yaml && systemctl reload stormdoor`
}

// Run prints what will be in force, or every mistake. It reads the files that the policy names, and contacts nobody.
func (c checkCmd) Run(e *environment) error {
	p, err := loadPolicy(c.File)
	var remarks []string
	var all *policy.Errors
	if err == nil {
		remarks, err = compiles(p.WithDefaults())
	} else if errors.As(err, &all) && all.Read() != nil {
		err = all.Read().Locate(errors.Join(all, soundParts(all)))
	}
	if errors.As(err, &all) {
		n := len(all.Problems)
		fmt.Fprintf(e.err, "%v\n\n%s: %d %s; nothing would be put in force\n", err, c.File, n, plural(n, "mistake"))
		return exitError(1)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s is right. In force would be:\n\n", c.File)
	p.WithDefaults().Describe(e.out)
	if len(remarks) > 0 {
		fmt.Fprintf(e.out, "\nWorth a look:\n  %s\n", strings.Join(remarks, "\n  "))
	}
	return nil
}

// soundParts tries those parts of a policy with mistakes that have none themselves: a mistake in a condition or a list is told
// together with a field that does not exist.
func soundParts(wrong *policy.Errors) error {
	p := wrong.Read()
	var errs []error
	if !wrong.Has("rules") {
		_, err := rule.New(p.Rules, rule.Options{})
		errs = append(errs, err)
	}
	if !wrong.Has("lists", "trust") {
		_, err := lists.New(p.Lists, lists.Options{Trusted: p.Trust.Proxies})
		errs = append(errs, err)
	}
	if !wrong.Has("refusals") {
		_, err := answer.New(p.Refusals)
		errs = append(errs, err)
	}
	if !wrong.Has("sites", "acme") {
		errs = append(errs, listen.CheckCertificates(p.ACME, p.Sites, time.Now()))
	}
	return errors.Join(errs...)
}

// compiles tries what only the stages can tell: rules, lists, certificates, databases. remarks is what is not wrong.
func compiles(p *policy.Policy) (remarks []string, err error) {
	if err := p.Validate(); err != nil { // what only the defaults bring to light
		return nil, err
	}
	d, err := stormdoor.New(p, stormdoor.Options{})
	if err == nil {
		remarks = d.Remarks()
		d.Close()
	}
	return remarks, p.Locate(errors.Join(err, listen.CheckCertificates(p.ACME, p.Sites, time.Now())))
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
