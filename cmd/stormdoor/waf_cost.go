package main

import (
	_ "embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"stormdoor"
)

type wafCostCmd struct {
	Files    []string `arg:"" optional:"" help:"Files of requests, as for waf test. Default: a built-in sample of a shop's traffic."`
	Policy   string   `short:"c" placeholder:"FILE" help:"The policy whose rules are measured. Default: the Core Rule Set at paranoia level 1."`
	Site     string   `placeholder:"NAME" help:"The site that every request is for. Default: the one that claims its host."`
	Paranoia int      `placeholder:"LEVEL" help:"Measure at this paranoia level (1 to 4) instead of the policy's."`
	Rounds   int      `default:"0" placeholder:"N" help:"How often each request is measured. Default: as often as takes about two seconds in all."`
	Top      int      `default:"10" placeholder:"N" help:"How many rules are listed."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Help says what the figures are.
func (wafCostCmd) Help() string {
	return `One pass over each value looks for the patterns of all rules at once: that is the scan. Only rules that it finds, and those without a pattern, are then evaluated by themselves. Times are of this machine, in a warm process, on one processor; units of work (1 to 3 ns) are the same on every machine, and what budgets and metrics count.

Examples:
  stormdoor waf cost
  stormdoor waf cost traffic.jsonl.gz -c stormdoor.yaml --paranoia 2`
}

// wafCostReport is what the rules cost over the requests.
type wafCostReport struct {
	Requests int        `json:"requests"`
	Unread   int        `json:"unread,omitempty"` // refused before the firewall
	Rounds   int        `json:"rounds"`
	Kinds    []costKind `json:"kinds"`
	Phases   []costPart `json:"phases"` // the scan, by phase, and what is read before
	Groups   []costPart `json:"groups"` // rules evaluated by themselves, by file
	ByWork   []costPart `json:"rules_by_work"`
	ByHits   []costPart `json:"rules_by_hits"`
	Work     int64      `json:"work"` // of one round over all requests
}

// costKind is a kind of requests. Times are in microseconds, of one request.
type costKind struct {
	Kind     string  `json:"kind"`
	Requests int     `json:"requests"`
	Bytes    int64   `json:"bytes"` // looked at, the mean
	Work     int64   `json:"work"`  // the mean
	Mean     float64 `json:"mean_us"`
	Median   float64 `json:"median_us"`
	Most     float64 `json:"most_us"`
	times    []time.Duration
}

// costPart is a part of the work of all requests.
type costPart struct {
	Name string  `json:"name"`
	Work int64   `json:"work"`
	Hits int     `json:"hits"` // requests in which it matched
	Of   float64 `json:"percent"`
}

//go:embed waf_sample.jsonl
var wafSample string

// Run measures every request.
func (c wafCostCmd) Run(e *environment) error {
	cases, err := c.cases()
	if err != nil {
		return err
	}
	d, _, err := wafDoor(c.Policy, c.Paranoia)
	if err != nil {
		return err
	}
	defer d.Close()
	rounds := c.Rounds
	if rounds <= 0 {
		rounds = max(1, min(2000, 40_000/len(cases)))
	}
	m := &costMeter{kinds: map[string]*costKind{}, groups: map[string]*costPart{}, rules: map[int]*costPart{}, files: d.RuleFiles()}
	m.report.Rounds = rounds
	tell := newTeller(e.err, len(cases))
	for i := range cases {
		if e.ctx.Err() != nil {
			break
		}
		w, ok, err := d.WeighRaw(cases[i].bytes(), c.Site, rounds)
		if errors.Is(err, stormdoor.ErrFirewallOff) {
			tell.end()
			return fmt.Errorf("%s: %w", cases[i].at(), err)
		}
		if err != nil || !ok {
			m.report.Unread++
			continue
		}
		m.add(&w)
		tell.tell(i + 1)
	}
	tell.end()
	return show(e.out, m.finish(c.Top), c.JSON)
}

func (c wafCostCmd) cases() (cases []wafCase, err error) {
	if len(c.Files) == 0 {
		return readJSONCases("built-in sample", strings.NewReader(wafSample))
	}
	for _, file := range c.Files {
		more, err := readCases(file)
		if err != nil {
			return nil, err
		}
		cases = append(cases, more...)
	}
	return cases, nil
}

// costMeter adds up.
type costMeter struct {
	report wafCostReport
	kinds  map[string]*costKind
	phases [6]int64
	groups map[string]*costPart
	rules  map[int]*costPart
	files  map[int]string
}

func (m *costMeter) add(w *stormdoor.Weight) {
	m.report.Requests++
	m.report.Work += w.Work
	name := w.Method
	if w.Type != "" {
		name += " " + w.Type
	}
	k := m.kinds[name]
	if k == nil {
		k = &costKind{Kind: name}
		m.kinds[name] = k
	}
	k.Requests++
	k.Bytes += w.Bytes
	k.Work += w.Work
	k.times = append(k.times, w.Took)
	for phase, work := range w.Scanned {
		m.phases[phase] += work
	}
	for rule, work := range w.Alone {
		m.rule(rule).Work += work
		m.group(rule).Work += work
	}
	grouped := map[*costPart]bool{}
	for _, rule := range w.Matched {
		m.rule(rule).Hits++
		if g := m.group(rule); !grouped[g] {
			grouped[g] = true
			g.Hits++
		}
	}
}

func (m *costMeter) rule(id int) *costPart {
	p := m.rules[id]
	if p == nil {
		p = &costPart{Name: fmt.Sprintf("%d %s", id, path.Base(m.files[id]))}
		m.rules[id] = p
	}
	return p
}

func (m *costMeter) group(id int) *costPart {
	name := m.files[id]
	p := m.groups[name]
	if p == nil {
		p = &costPart{Name: name}
		m.groups[name] = p
	}
	return p
}

func (m *costMeter) finish(top int) *wafCostReport {
	r := &m.report
	for _, k := range m.kinds {
		slices.Sort(k.times)
		var sum time.Duration
		for _, t := range k.times {
			sum += t
		}
		n := len(k.times)
		us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
		k.Bytes, k.Work = k.Bytes/int64(n), k.Work/int64(n)
		k.Mean, k.Median, k.Most = us(sum)/float64(n), us(k.times[n/2]), us(k.times[n-1])
		r.Kinds = append(r.Kinds, *k)
	}
	sort.Slice(r.Kinds, func(i, j int) bool { return r.Kinds[i].Kind < r.Kinds[j].Kind })
	of := func(p costPart) costPart {
		p.Of = 100 * float64(p.Work) / float64(max(1, r.Work))
		return p
	}
	rest := r.Work
	for _, g := range m.groups {
		rest -= g.Work
	}
	for phase, work := range m.phases {
		rest -= work
		if work > 0 {
			r.Phases = append(r.Phases, of(costPart{Name: fmt.Sprintf("scan of phase %d", phase), Work: work}))
		}
	}
	if rest > 0 {
		r.Phases = append(r.Phases, of(costPart{Name: "reading bodies and what is encoded twice", Work: rest}))
	}
	for _, g := range m.groups {
		r.Groups = append(r.Groups, of(*g))
	}
	sortParts(r.Groups, func(p *costPart) int64 { return p.Work })
	for _, p := range m.rules {
		if p.Work > 0 {
			r.ByWork = append(r.ByWork, of(*p))
		}
		if p.Hits > 0 {
			r.ByHits = append(r.ByHits, of(*p))
		}
	}
	sortParts(r.ByWork, func(p *costPart) int64 { return p.Work })
	sortParts(r.ByHits, func(p *costPart) int64 { return int64(p.Hits) })
	r.ByWork, r.ByHits = r.ByWork[:min(top, len(r.ByWork))], r.ByHits[:min(top, len(r.ByHits))]
	return r
}

func sortParts(parts []costPart, by func(*costPart) int64) {
	sort.Slice(parts, func(i, j int) bool {
		if a, b := by(&parts[i]), by(&parts[j]); a != b {
			return a > b
		}
		return parts[i].Name < parts[j].Name
	})
}

// String writes the report for a person.
func (r *wafCostReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, each judged %d times; one processor\n\n", r.Requests, r.Rounds)
	fmt.Fprintf(&b, "%-46s %8s %9s %10s %10s %10s %10s\n", "KIND", "REQUESTS", "BYTES", "WORK", "MEAN us", "MEDIAN us", "MOST us")
	for _, k := range r.Kinds {
		fmt.Fprintf(&b, "%-46s %8d %9d %10d %10.1f %10.1f %10.1f\n", k.Kind, k.Requests, k.Bytes, k.Work, k.Mean, k.Median, k.Most)
	}
	section := func(title string, parts []costPart, hits bool) {
		if len(parts) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%-60s %10s %7s", title, "WORK", "SHARE")
		if hits {
			fmt.Fprintf(&b, " %8s", "REQUESTS")
		}
		b.WriteString("\n")
		for _, p := range parts {
			fmt.Fprintf(&b, "%-60s %10d %5.1f %%", p.Name, p.Work, p.Of)
			if hits {
				fmt.Fprintf(&b, " %8d", p.Hits)
			}
			b.WriteString("\n")
		}
	}
	section("THE SCAN FOR ALL RULES AT ONCE", r.Phases, false)
	section("RULES BY THEMSELVES, BY FILE", r.Groups, true)
	section("RULES THAT COST MOST", r.ByWork, true)
	section("RULES THAT MATCHED MOST", r.ByHits, true)
	if r.Unread > 0 {
		fmt.Fprintf(&b, "\n%d requests break the protocol: the door refuses them before the firewall\n", r.Unread)
	}
	return b.String()
}
