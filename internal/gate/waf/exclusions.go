package waf

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/internal/gate/waf/syntax"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// exclusion is a compiled policy.WAFExclusion.
type exclusion struct {
	index    int // in the policy
	variable string
	key      string // in lower case; "" for every key
	prefix   bool   // key is the beginning of one
	site     string
	route    string
	path     string
	under    bool      // path is the beginning of one
	ends     time.Time // the first moment at which it is not in force any more; zero for never
	hits     atomic.Int64
}

// exclusions are those of a policy by rule. The zero value has none.
type exclusions struct {
	all    []*exclusion // as in the policy
	byRule map[int][]*exclusion
}

func newExclusions(given []policy.WAFExclusion) exclusions {
	x := exclusions{byRule: map[int][]*exclusion{}}
	for i := range given {
		g := &given[i]
		e := &exclusion{index: i, site: g.Site, route: g.Route}
		e.variable, e.key, _ = strings.Cut(g.Field, ":")
		e.key, e.prefix = strings.CutSuffix(strings.ToLower(e.key), "*")
		e.path, e.under = strings.CutSuffix(g.Path, "*")
		if day, err := time.Parse(time.DateOnly, g.Until); err == nil {
			e.ends = day.AddDate(0, 0, 1)
		}
		x.all = append(x.all, e)
		x.byRule[g.Rule] = append(x.byRule[g.Rule], e)
	}
	return x
}

// covers reports whether the exclusion is about a value of a request.
func (e *exclusion) covers(f *flow.Facts, variable, key string) bool {
	switch {
	case !e.ends.IsZero() && !f.Arrived.Before(e.ends), e.site != "" && e.site != f.Site, e.route != "" && e.route != f.Route, !e.onPath(f.Path.Clean):
		return false
	case e.variable == "":
		return true
	}
	return sameVariable(e.variable, variable) && (e.key == "" || e.onKey(strings.ToLower(key)))
}

func (e *exclusion) onPath(path string) bool {
	return e.path == "" || path == e.path || e.under && (strings.HasPrefix(path, e.path) || path+"/" == e.path)
}

func (e *exclusion) onKey(key string) bool {
	return key == e.key || e.prefix && strings.HasPrefix(key, e.key)
}

// sameVariable reports whether what an exclusion names holds the values of what a rule names.
func sameVariable(excluded, ruled string) bool {
	return excluded == ruled || excluded == "ARGS" && (ruled == "ARGS_GET" || ruled == "ARGS_POST") ||
		excluded == "ARGS_NAMES" && (ruled == "ARGS_GET_NAMES" || ruled == "ARGS_POST_NAMES")
}

// find returns the exclusion that covers a match of a rule, nil for none.
func (x *exclusions) find(f *flow.Facts, rule int, variable, key string) *exclusion {
	for _, e := range x.byRule[rule] {
		if e.covers(f, variable, key) {
			return e
		}
	}
	return nil
}

// excuser asks the exclusions, and what is declared of a site's API, about the matches of one request.
type excuser struct {
	exclusions *exclusions
	facts      *flow.Facts
	bound      bound
	op         *openapi.Operation
	looked     bool // for the operation
}

// Excuses implements seclang.Excuser.
func (x *excuser) Excuses(r *seclang.Rule, variable, key, sent string) bool {
	return x.exclusions.find(x.facts, r.ID, variable, key) != nil || x.declared(r, variable, key, sent)
}

// declared reports whether the API's document declares that a value may be what the rule matches.
func (x *excuser) declared(r *seclang.Rule, variable, key, sent string) bool {
	if x.bound.contract == nil || key == "" {
		return false
	}
	if !x.looked {
		x.op, x.looked = x.bound.doc.Match(x.facts), true
	}
	if x.op == nil {
		return false
	}
	places := placesOf[variable]
	if variable == "ARGS" && inQuery(x.facts.Query, key) {
		places = placesOf["ARGS_GET"] // what stands in the query is not what the body declares
	}
	return slices.ContainsFunc(places, func(at openapi.Place) bool { return takes(x.op.Declared(at, key, sent), r, sent) })
}

// inQuery reports whether a query has a field of a name, or cannot be read.
func inQuery(query, name string) bool {
	if query == "" {
		return false
	}
	fields, err := url.ParseQuery(query)
	return err != nil || fields.Has(name)
}

var placesOf = map[string][]openapi.Place{
	"ARGS": {openapi.AtQuery, openapi.AtBody}, "ARGS_GET": {openapi.AtQuery}, "ARGS_POST": {openapi.AtBody},
	"REQUEST_COOKIES": {openapi.AtCookie}, "REQUEST_HEADERS": {openapi.AtHeader},
}

// takes reports whether a value of a nature may match a rule: one that may only be what is listed may match any, HTML those for scripts unless it runs
// one, and a program those for its language.
func takes(n openapi.Nature, r *seclang.Rule, sent string) bool {
	switch n {
	case openapi.Closed:
		return true
	case openapi.HTML:
		return slices.Contains(r.Tags, "attack-xss") && !syntax.Runs(sent)
	case openapi.SQL:
		return slices.Contains(r.Tags, "attack-sqli")
	case openapi.Program:
		return slices.ContainsFunc(r.Tags, func(tag string) bool { return slices.Contains(programTags, tag) })
	}
	return false
}

// programTags are those of rules that look for programs.
var programTags = []string{"attack-rce", "attack-php", "attack-java", "attack-injection-php", "attack-injection-generic", "attack-injection-java", "attack-xss", "attack-lfi", "attack-ssti"}

// excuserOf is what the transaction of a request asks; nil where there is nothing to ask.
func (s *Stage) excuserOf(f *flow.Facts) seclang.Excuser {
	held := s.contracts.find(f)
	if len(s.exclusions.all) == 0 && held.contract == nil {
		return nil
	}
	return &excuser{exclusions: &s.exclusions, facts: f, bound: held}
}

// excludes reports whether an exclusion of the policy takes a match back.
func (s *Stage) excludes(f *flow.Facts, m *seclang.Match) bool {
	return slices.ContainsFunc(m.Values, func(v seclang.Value) bool { return s.exclusions.find(f, m.Rule.ID, v.Variable, v.Key) != nil })
}

// why says what takes a match back that an excuser does.
func (s *Stage) why(f *flow.Facts, m *seclang.Match) string {
	if s.excludes(f, m) {
		return "an exclusion of the policy takes it back"
	}
	return "the site's OpenAPI document says that the value may be what it is"
}

// countExcused counts a match that was taken back, for each exclusion that did.
func (s *Stage) countExcused(f *flow.Facts, m *seclang.Match) {
	for i := range m.Values {
		if e := s.exclusions.find(f, m.Rule.ID, m.Values[i].Variable, m.Values[i].Key); e != nil {
			e.hits.Add(1)
			return
		}
	}
}

// Exclusion is how an exclusion of the policy is doing.
type Exclusion struct {
	policy.WAFExclusion
	// Hits is how many requests had a match of its rule taken back, since the policy is in force.
	Hits int64
	// Ended is set when its last day is over. Left is how many days it is still in force then; -1 for no end.
	Ended bool
	Left  int
	// Trouble says why it has no effect: there is no such rule, or another exclusion covers it; "" where nothing is known
	// against it.
	Trouble string
}

// Exclusions tells how the exclusions of the policy are doing at a time.
func (s *Stage) Exclusions(now time.Time) []Exclusion {
	out := make([]Exclusion, len(s.exclusions.all))
	for i, e := range s.exclusions.all {
		x := &out[i]
		x.WAFExclusion, x.Hits, x.Left = s.policy.Exclude[i], e.hits.Load(), -1
		if !e.ends.IsZero() {
			x.Left = max(0, int(e.ends.Sub(now)/(24*time.Hour)))
			x.Ended = !now.Before(e.ends)
		}
		x.Trouble = s.trouble(i)
	}
	return out
}

// trouble says why an exclusion cannot have an effect.
func (s *Stage) trouble(i int) string {
	g := &s.policy.Exclude[i]
	if s.rules != nil && !s.known(g) {
		return fmt.Sprintf("there is no rule %d", g.Rule)
	}
	e := s.exclusions.all[i]
	for j, other := range s.exclusions.all {
		if j != i && s.policy.Exclude[j].Rule == g.Rule && other.contains(e) && (j < i || !e.contains(other)) {
			return fmt.Sprintf("number %d covers it", j+1)
		}
	}
	return ""
}

// known reports whether the exclusion's rule exists. A rule that was taken out of the set is one that it takes back.
func (s *Stage) known(g *policy.WAFExclusion) bool { return s.numbers[g.Rule] != 0 || removes(g) }

// contains reports whether all that o takes back, e takes back too.
func (e *exclusion) contains(o *exclusion) bool {
	if e.site != "" && e.site != o.site || e.route != "" && e.route != o.route || !e.ends.IsZero() && (o.ends.IsZero() || o.ends.After(e.ends)) {
		return false
	}
	if e.path != "" && (o.path == "" || !e.onPath(o.path) || o.under && !e.under) {
		return false
	}
	if e.variable == "" {
		return true
	}
	return o.variable != "" && sameVariable(e.variable, o.variable) && (e.key == "" || o.key != "" && e.onKey(o.key) && (!o.prefix || e.prefix))
}

// removes reports whether an exclusion takes its rule out of the set when that is compiled: what a rule sets up for all
// requests alike cannot be taken back afterwards.
func removes(g *policy.WAFExclusion) bool {
	return g.SwitchesOff && g.Field == "" && g.Path == "" && g.Site == "" && g.Route == "" && g.Until == ""
}

// String says what an exclusion is about, in one line.
func (x Exclusion) String() string {
	out := fmt.Sprintf("rule %d", x.Rule)
	if x.Field != "" {
		out += " in " + x.Field
	}
	for _, w := range []struct{ word, text string }{{" on ", x.Path}, {" at site ", x.Site}, {", route ", x.Route}} {
		if w.text != "" {
			out += w.word + w.text
		}
	}
	return out
}

// SoonEnding is how many days before its end the door begins to say that an exclusion will end.
const SoonEnding = 7

// Notices says which exclusions have ended, end soon, or have no effect, and what of the sites' documents is not checked.
func (s *Stage) Notices(now time.Time) (out []string) {
	for _, x := range s.Exclusions(now) {
		switch {
		case x.Ended:
			out = append(out, fmt.Sprintf("an exclusion has ended on %s and is not in force: %s", x.Until, x))
		case x.Left >= 0 && x.Left < SoonEnding:
			out = append(out, fmt.Sprintf("an exclusion ends after %s, and what it takes back will count again: %s (it was needed %d times)", x.Until, x, x.Hits))
		case x.Trouble != "":
			out = append(out, fmt.Sprintf("an exclusion has no effect: %s: %s", x, x.Trouble))
		}
	}
	return append(out, s.contracts.unchecked()...)
}
