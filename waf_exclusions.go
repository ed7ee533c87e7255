package stormdoor

import (
	"fmt"
	"strings"
	"time"

	"stormdoor/internal/gate/waf"
	"stormdoor/policy"
)

// Exclusion is how an exclusion of the policy in force is doing.
type Exclusion struct {
	Number int    `json:"number"` // in the policy, from 1 on
	Rule   int    `json:"rule"`
	Field  string `json:"field,omitempty"`
	Site   string `json:"site,omitempty"`
	Route  string `json:"route,omitempty"`
	Path   string `json:"path,omitempty"`
	Until  string `json:"until,omitempty"`
	Why    string `json:"why,omitempty"`
	// Hits is in how many requests it took a match back, since the policy is in force.
	Hits int64 `json:"hits"`
	// DaysLeft is how many days it is in force beyond today; -1 for no end.
	DaysLeft int    `json:"days_left"`
	Ended    bool   `json:"ended,omitempty"`
	Trouble  string `json:"trouble,omitempty"` // why it has no effect
}

// Exclusions are those of the policy in force.
func (d *Door) Exclusions() Exclusions {
	out := Exclusions{}
	for i, x := range d.deployed.Load().Stable.waf.Exclusions(d.now()) {
		out = append(out, Exclusion{Number: i + 1, Rule: x.Rule, Field: x.Field, Site: x.Site, Route: x.Route, Path: x.Path, Until: x.Until, Why: x.Why,
			Hits: x.Hits, DaysLeft: x.Left, Ended: x.Ended, Trouble: x.Trouble})
	}
	return out
}

// Remarks says what is not wrong with the policy in force, but worth a look: exclusions that have ended, end soon or have no
// effect.
func (d *Door) Remarks() []string {
	out := d.deployed.Load().Stable.waf.Notices(d.now())
	for i := range out {
		out[i] = "waf: " + out[i]
	}
	return out
}

// Exclusions is a list for a person.
type Exclusions []Exclusion

// String writes a table.
func (l Exclusions) String() string {
	if len(l) == 0 {
		return "the policy excludes nothing\n"
	}
	rows := [][]string{{"", "RULE", "FIELD", "WHERE", "UNTIL", "HITS", "STATE", "WHY"}}
	for _, x := range l {
		rows = append(rows, []string{fmt.Sprint(x.Number), fmt.Sprint(x.Rule), or(x.Field, "every field"), or(x.where(), "everywhere"), or(x.Until, "for ever"),
			fmt.Sprint(x.Hits), x.state(), x.Why})
	}
	return table(rows)
}

func (x *Exclusion) where() string {
	var out []string
	if x.Site != "" {
		out = append(out, "site "+x.Site)
	}
	if x.Route != "" {
		out = append(out, "route "+x.Route)
	}
	return strings.Join(nonEmpty(strings.Join(out, ", "), x.Path), " ")
}

func (x *Exclusion) state() string {
	switch {
	case x.Ended:
		return "ENDED: its matches count again"
	case x.Trouble != "":
		return "NO EFFECT: " + x.Trouble
	case x.DaysLeft >= 0 && x.DaysLeft < waf.SoonEnding:
		return fmt.Sprintf("ENDS in %d days", x.DaysLeft+1)
	case x.Hits == 0:
		return "in force, not needed so far"
	}
	return "in force"
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// table writes rows in columns as wide as they need to be. The last column is as long as it is.
func table(rows [][]string) string {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		line := ""
		for i, cell := range r {
			line += cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// Narrowest are the exclusions that explain the inspection and nothing more: each rule that counted, in the field in which it
// matched, on the path. They hold until the day.
func (in *Inspection) Narrowest(until time.Time) (out []policy.WAFExclusion) {
	seen := map[policy.WAFExclusion]bool{}
	for i := range in.Matches {
		m := &in.Matches[i]
		if m.Why != "" || weighs(m.Rule) {
			continue
		}
		how := "" // of a chain, the fields of one link are enough
		for j := range m.Values {
			v := &m.Values[j]
			as := v.Operator + strings.Join(v.Transformations, ",")
			if strings.HasPrefix(v.Field, "TX:") || strings.HasPrefix(v.Field, "MATCHED_VAR") || how != "" && as+" " != how {
				continue // what another rule or link has worked out
			}
			how = as + " "
			x := policy.WAFExclusion{Rule: m.Rule, Field: nameable(v.Field), Site: in.Site, Path: in.Clean, Until: until.Format(time.DateOnly)}
			if strings.ContainsAny(in.Clean, "*%?#\\") || !strings.HasPrefix(in.Clean, "/") {
				x.Path = "" // a path that no pattern names
			}
			if !seen[x] {
				seen[x] = true
				x.Why = strings.TrimSpace(in.ID + " " + m.Message)
				out = append(out, x)
			}
		}
	}
	return out
}

// nameable is the field, or the widest part of its name that an exclusion can name.
func nameable(field string) string {
	i := strings.IndexFunc(field, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"',*`, r) })
	if i < 0 {
		return field
	}
	if variable, ok := strings.CutSuffix(field[:i], ":"); ok {
		return variable
	}
	return field[:i] + "*"
}

// weighs reports whether a rule only weighs or reports what others have found.
func weighs(rule int) bool {
	switch rule / 1000 {
	case 949, 959, 980:
		return true
	}
	return false
}
