package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says how the script is used.
func (completionCmd) Help() string {
	return `Put the line of your shell into its start-up file:
  bash  source <(stormdoor completion bash)
  zsh   source <(stormdoor completion zsh)
  fish  stormdoor completion fish | source`
}

func (c completionCmd) Run(e *environment) error {
	switch c.Shell {
	case "bash":
		return bashCompletion(e.out, e.kong.Model)
	case "zsh":
		if _, err := fmt.Fprintln(e.out, "autoload -U +X bashcompinit && bashcompinit"); err != nil {
			return err
		}
		return bashCompletion(e.out, e.kong.Model)
	}
	return fishCompletion(e.out, e.kong.Model)
}

func bashCompletion(w io.Writer, m *kong.Application) error {
	var names []string
	var cases strings.Builder
	for _, n := range m.Children {
		names = append(names, n.Name)
		fmt.Fprintf(&cases, "    %s) words=%q ;;\n", n.Name, strings.Join(flagsOf(n), " "))
	}
	_, err := fmt.Fprintf(w, `_stormdoor() {
  local words cur=${COMP_WORDS[COMP_CWORD]}
  case ${COMP_WORDS[1]} in
%s    *) words=%q ;;
  esac
  if [[ $COMP_CWORD -eq 1 ]]; then words=%q; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ $cur != -* && $COMP_CWORD -gt 1 ]]; then COMPREPLY+=($(compgen -f -- "$cur")); fi
}
complete -o filenames -F _stormdoor stormdoor
`, cases.String(), strings.Join(names, " "), strings.Join(names, " "))
	return err
}

func flagsOf(n *kong.Node) []string {
	out := []string{"--help"}
	for _, f := range n.Flags {
		if f.Name != "help" && !f.Hidden {
			out = append(out, "--"+f.Name)
		}
	}
	for _, c := range n.Children { // waf explain, waf test, …
		out = append(out, c.Name)
		for _, flag := range flagsOf(c) {
			if !slices.Contains(out, flag) {
				out = append(out, flag)
			}
		}
	}
	return out
}

func fishCompletion(w io.Writer, m *kong.Application) error {
	var b strings.Builder
	for _, n := range m.Children {
		for _, c := range n.Children {
			fmt.Fprintf(&b, "complete -c stormdoor -n '__fish_seen_subcommand_from %s' -f -a %s -d %s\n", n.Name, c.Name, shellQuote(c.Help))
		}
		fmt.Fprintf(&b, "complete -c stormdoor -n __fish_use_subcommand -f -a %s -d %s\n", n.Name, shellQuote(n.Help))
		for _, f := range n.Flags {
			if f.Name != "help" && !f.Hidden {
				fmt.Fprintf(&b, "complete -c stormdoor -n '__fish_seen_subcommand_from %s' -l %s -d %s\n", n.Name, f.Name, shellQuote(f.Help))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
