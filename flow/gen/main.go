// Command gen answers "what does the manual say about each reason?": it writes docs/manual/reasons.md from flow.Reasons.
package main

import (
	"fmt"
	"os"
	"strings"

	"stormdoor/flow"
)

//go:generate go run . ../../docs/manual/reasons.md

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(page()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

const head = `<!-- Generated from flow.Reasons by flow/gen; change it there and run "make generate". -->
# Reasons

A reason says why a verdict was given, or why a request ended as it did. It is the same text everywhere: the fields
` + "`reason`, `dry_reason` and `end`" + ` of the log, the label ` + "`reason`" + ` of the metrics, the field ` + "`Stormdoor-Reason`" + ` of a
refusal, the answer of ` + "`stormdoor explain`" + `. A reason is never reused for something else.

The part before the dot says who speaks: a stage (list, limit, rule, stage), or what was the matter (site, request,
client, origin, door).

| Reason | Meaning | If it hits a good visitor |
|---|---|---|
`

// page returns the page as a whole.
func page() string {
	var b strings.Builder
	b.WriteString(head)
	for _, r := range flow.Reasons {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Reason, cell(r.Meaning), cell(r.Do))
	}
	return b.String()
}

// cell keeps a text inside one cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
