// Command stormdoor is the outer door of a web service. See `stormdoor --help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the release build (-ldflags "-X main.version=…").
var version = "dev"

type commands struct {
	Serve      serveCmd      `cmd:"" help:"Run a door: in front of an origin, as a policy says, or in front of a sample site."`
	Check      checkCmd      `cmd:"" help:"Check a policy: every mistake at once, or what will be in force."`
	Explain    explainCmd    `cmd:"" help:"Say what every stage makes of a request, given as a URL or by the reference id of a recent one."`
	Replay     replayCmd     `cmd:"" help:"Judge an access log by a policy: who would have been limited or refused, when and why."`
	WAF        wafCmd        `cmd:"" name:"waf" help:"Ask the web application firewall: what matches, what it costs, whom to spare."`
	Purge      purgeCmd      `cmd:"" help:"Make the running door forget stored answers: of a URL, a prefix or a tag."`
	Drill      drillCmd      `cmd:"" help:"A storm in a bottle: try the door against floods and faults, on loopback, with a scorecard."`
	DrillPart  drillPartCmd  `cmd:"" hidden:""`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a completion script for your shell."`
}

const description = `Stormdoor is the outer door of a web service: it stands in front of your site and keeps it open through floods, slow clients and scrapers.

Start here:
  stormdoor serve                                   a sample site behind a door, to look around
  stormdoor serve --origin http://127.0.0.1:3000    your own site behind a door
  stormdoor check stormdoor.yaml                    is my policy right, and what does it do?`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// exitError carries an exit status for a failure that has been told already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	var cli commands
	exited := -1
	k, err := kong.New(&cli, kong.Name("stormdoor"), kong.Description(description), kong.Writers(stdout, stderr), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		fmt.Fprintln(stderr, "stormdoor:", err)
		return 2
	}
	c, err := k.Parse(args)
	if exited >= 0 {
		return exited // --help has been printed
	}
	if err != nil {
		fmt.Fprintf(stderr, "stormdoor: %v\nTry: %s --help\n", err, misread(err))
		return 2
	}
	err = c.Run(&environment{ctx: ctx, out: stdout, err: stderr, kong: k})
	var exit exitError
	switch {
	case errors.As(err, &exit):
		return int(exit)
	case err != nil:
		fmt.Fprintf(stderr, "stormdoor: %v\n", err)
		return 1
	}
	return 0
}

// misread is the command whose words were not understood, "stormdoor" for none.
func misread(err error) string {
	name := "stormdoor"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		for _, p := range parse.Context.Path {
			if p.Command != nil {
				name += " " + p.Command.Name
			}
		}
	}
	return name
}

// environment is what every command works in.
type environment struct {
	ctx      context.Context
	out, err *os.File
	kong     *kong.Kong
}

type versionCmd struct{}

func (versionCmd) Run(e *environment) error {
	_, err := fmt.Fprintln(e.out, "stormdoor", versionText())
	return err
}
