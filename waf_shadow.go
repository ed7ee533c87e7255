package stormdoor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf"
)

// shadowLines is how many requests are logged of which a rule set on trial says something else for the same reason; all are counted.
const shadowLines = 5

// shadowReasons bounds the reasons that are told apart.
const shadowReasons = 1000

// Shadow is how the rule set on trial (waf.shadow) compares with the one in force, since the policy is in force.
type Shadow struct {
	// Outcomes counts requests: "same", "would_refuse", "would_admit", and "left_out" for those that it had no time for. It is
	// empty where no rule set is on trial.
	Outcomes map[string]int64 `json:"outcomes"`
	// Differences are the reasons for which it would refuse or admit, the most frequent first.
	Differences []ShadowDifference `json:"differences"`
}

// ShadowDifference is a reason for which a rule set on trial says something else than the one in force, with the last request.
type ShadowDifference struct {
	Outcome string `json:"outcome"`
	Rule    string `json:"rule,omitempty"` // the heaviest of those that decided
	Times   int64  `json:"times"`
	ID      string `json:"id"`
	Site    string `json:"site"`
	Route   string `json:"route,omitempty"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	Reason  string `json:"reason"`
	Rules   string `json:"rules,omitempty"` // that count, with their fields
}

// shadowNotes are the differences of the edition in force.
type shadowNotes struct {
	mu      sync.Mutex
	edition *Edition
	reasons map[shadowReason]*ShadowDifference
}

type shadowReason struct {
	outcome waf.ShadowOutcome
	rule    string
}

// Shadow tells how the rule set on trial is doing.
func (d *Door) Shadow() Shadow {
	e := d.deployed.Load().Stable
	out := Shadow{Outcomes: map[string]int64{}, Differences: []ShadowDifference{}}
	e.waf.ShadowOutcomes(func(outcome string, n int64) { out.Outcomes[outcome] = n })
	d.trial.mu.Lock()
	defer d.trial.mu.Unlock()
	if d.trial.edition == e {
		for _, x := range d.trial.reasons {
			out.Differences = append(out.Differences, *x)
		}
	}
	slices.SortFunc(out.Differences, func(a, b ShadowDifference) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Rule, b.Rule))
	})
	return out
}

// shadowDiffers notes a request of which the rule set on trial says something else than the rules in force, and logs the
// first of each reason, of each edition.
func (d *Door) shadowDiffers(x waf.Difference) {
	v, message := x.Shadow, "waf: the shadow would refuse a request that passes"
	if x.Outcome == waf.ShadowAdmits {
		v, message = x.Judged, "waf: the shadow would let a request pass that is refused"
	}
	f := x.Facts
	now := ShadowDifference{
		Outcome: x.Outcome.String(), Rule: v.Rule, ID: f.ID.String(), Site: f.Site, Route: f.Route, Method: f.Method, Path: clipped(f.Path.Clean),
		Reason: string(v.Reason), Rules: foundBy(v.Found),
	}
	if now.Times = d.trial.note(d.deployed.Load().Stable, shadowReason{x.Outcome, v.Rule}, now); now.Times == 0 || now.Times > shadowLines {
		return
	}
	args := []any{"id", now.ID, "site", now.Site, "method", now.Method, "path", now.Path, "reason", now.Reason}
	if now.Route != "" {
		args = append(args, "route", now.Route)
	}
	if now.Rules != "" {
		args = append(args, "rules", now.Rules)
	}
	if now.Times == shadowLines {
		args = append(args, "more", "are counted, not logged")
	}
	d.log.Info(message, args...)
}

// note counts a difference and returns how often it has been met; 0 for one too many of different reasons.
func (n *shadowNotes) note(e *Edition, why shadowReason, now ShadowDifference) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.edition != e {
		n.edition, n.reasons = e, map[shadowReason]*ShadowDifference{}
	}
	before := n.reasons[why]
	switch {
	case before != nil:
		now.Times = before.Times
	case len(n.reasons) >= shadowReasons:
		return 0
	}
	now.Times++
	n.reasons[why] = &now
	return now.Times
}

// clipped is the beginning of a path for a line of the log.
func clipped(path string) string {
	const most = 200 // bytes
	if len(path) > most {
		return path[:most] + "…"
	}
	return path
}

// foundBy lists the rules that count of what was found, with their fields.
func foundBy(found *flow.Findings) string {
	if found == nil {
		return ""
	}
	var b strings.Builder
	for _, m := range found.Matches {
		if strings.Contains(m.Message, "does not count") || m.Field == "" || strings.HasPrefix(m.Field, "TX:") {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(m.Rule) + " in " + m.Field)
	}
	return b.String()
}

// String writes the comparison for a person.
func (s Shadow) String() string {
	if len(s.Outcomes) == 0 {
		return "no rule set is on trial: see waf.shadow in the manual\n"
	}
	var b strings.Builder
	judged := s.Outcomes["same"] + s.Outcomes["would_refuse"] + s.Outcomes["would_admit"]
	fmt.Fprintf(&b, "%d requests judged in the shadow, %d left out: it would refuse %d that pass, and let %d pass that are refused\n",
		judged, s.Outcomes["left_out"], s.Outcomes["would_refuse"], s.Outcomes["would_admit"])
	if len(s.Differences) == 0 {
		return b.String()
	}
	rows := [][]string{{"", "TIMES", "RULE", "LAST", "REQUEST", "RULES THAT COUNT"}}
	for _, x := range s.Differences {
		rows = append(rows, []string{x.Outcome, fmt.Sprint(x.Times), or(x.Rule, x.Reason), x.ID, printable(x.Method+" "+x.Path, 60), printable(x.Rules, 200)})
	}
	b.WriteString("\n" + table(rows))
	return b.String()
}
