package stormdoor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"stormdoor/flow"
)

// shownClients is how many clients a report lists.
const shownClients = 10

// Report is what a replay found.
type Report struct {
	Log    string `json:"log"`
	Format string `json:"format"`
	// Incomplete says why the log was not read to its end, "" when it was.
	Incomplete string `json:"incomplete,omitempty"`
	// Requests is how many were judged, Malformed how many lines could not be read; Examples are the first of those.
	Requests  int64             `json:"requests"`
	Malformed int64             `json:"malformed"`
	Examples  []ReportMalformed `json:"malformed_examples,omitempty"`
	From      time.Time         `json:"from"`
	To        time.Time         `json:"to"`
	// Disordered is how many lines were earlier than one before them, StepsBack how often time went back by more than an
	// hour.
	Disordered int64        `json:"disordered,omitempty"`
	StepsBack  int64        `json:"steps_back,omitempty"`
	Sites      []ReportSite `json:"sites"`
	// Clients are those that were remembered: not the ones behind the Forgotten requests. Good is how many of them are
	// good visitors.
	Clients   int   `json:"clients"`
	Forgotten int64 `json:"forgotten_requests,omitempty"`
	Good      int   `json:"good_visitors"`
	// GoodPeak is the most requests in a minute of a good visitor.
	GoodPeak int          `json:"good_peak"`
	Cases    []ReportCase `json:"cases"`
	// Conclusion says in a sentence how many good visitors would have been touched.
	Conclusion string `json:"conclusion"`
}

// ReportMalformed is a line that could not be read.
type ReportMalformed struct {
	Line int64  `json:"line"`
	Why  string `json:"why"`
	Text string `json:"text"`
}

// ReportSite is how many requests were for a site; the name "" stands for hosts that no site claims.
type ReportSite struct {
	Site     string  `json:"site"`
	Requests int64   `json:"requests"`
	Share    float64 `json:"share"`
}

// ReportCase is what would have happened, if the origins had been well or in trouble all the time.
type ReportCase struct {
	Hot     bool  `json:"hot"`
	Passed  int64 `json:"passed"`
	Delayed int64 `json:"delayed"`
	Refused int64 `json:"refused"`
	// Longest is the longest delay in seconds.
	Longest float64       `json:"longest_delay"`
	Causes  []ReportCause `json:"causes"`
	// Dry are verdicts that were only noted.
	Dry []ReportCause `json:"dry_run"`
	// Touched counts the clients of which a request was refused or delayed; the most touched are in Clients. TouchedGood
	// counts the good visitors among them, the most touched of which are in GoodClients.
	Touched     int            `json:"touched_clients"`
	TouchedGood int            `json:"touched_good_visitors"`
	Clients     []ReportClient `json:"clients"`
	GoodClients []ReportClient `json:"good_clients"`
	// Failures counts how often a stage could not judge a request, and Failure is the first time in words. Full counts how
	// often the limit table had no room for a client.
	Failures int64  `json:"stage_failures,omitempty"`
	Failure  string `json:"first_stage_failure,omitempty"`
	Full     uint64 `json:"table_full,omitempty"`
}

// ReportCause is why requests were refused, delayed or admitted, or would have been but for a dry run.
type ReportCause struct {
	Action   string      `json:"action"`
	Stage    string      `json:"stage,omitempty"`
	Reason   flow.Reason `json:"reason,omitempty"`
	Rule     string      `json:"rule,omitempty"`
	Requests int64       `json:"requests"`
	Share    float64     `json:"share"`
	// Longest is the longest delay in seconds.
	Longest float64   `json:"longest_delay,omitempty"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	// Worst is the minute with the most of them, and InWorst how many those are.
	Worst   time.Time `json:"worst_minute"`
	InWorst int64     `json:"in_worst_minute"`
}

// ReportClient is one client that was touched.
type ReportClient struct {
	Client   string `json:"client"`
	Requests int64  `json:"requests"`
	Refused  int64  `json:"refused"`
	Delayed  int64  `json:"delayed"`
	// Cause is the list, limit or rule that touched it first, or the reason where none has a name.
	Cause     string `json:"cause"`
	UserAgent string `json:"user_agent,omitempty"`
	Good      bool   `json:"good"`
	// Why says why the client does not count as a good visitor.
	Why string `json:"why,omitempty"`
}

// TouchesGood reports whether a good visitor would have been touched in any of the cases.
func (r Report) TouchesGood() bool {
	return slices.ContainsFunc(r.Cases, func(c ReportCase) bool { return c.TouchedGood > 0 })
}

// tally counts the verdicts of one case by their causes.
type tally struct {
	at     map[causeKey]int
	all    []cause
	latest int // the cause of the verdict that was counted last
}

type causeKey struct {
	action string
	stage  string
	reason flow.Reason
	rule   string
	dry    bool
}

type cause struct {
	causeKey
	n           int64
	longest     time.Duration
	first, last time.Time
	minute      int64 // the one under way, and how many it had
	inMinute    int64
	worst       int64
	inWorst     int64
}

func newTally() tally { return tally{at: map[causeKey]int{}} }

// count counts the verdict of an outcome, and the one of a dry run. It reports whether there was one that decided.
func (t *tally) count(o *flow.Outcome, minute int64) bool {
	if o.Dry.Action != flow.Continue || o.Dry.Delay > 0 {
		t.add(causeKey{actionOf(o.Dry), o.DryStage, o.Dry.Reason, o.Dry.Rule, true}, o, o.Dry.Delay, minute)
	}
	v := o.Verdict
	if v.Action == flow.Continue && v.Delay == 0 {
		return false
	}
	t.latest = t.add(causeKey{actionOf(v), o.Stage, v.Reason, v.Rule, false}, o, v.Delay, minute)
	return true
}

func actionOf(v flow.Verdict) string {
	if v.Action == flow.Continue {
		return "delay"
	}
	return v.Action.String()
}

func (t *tally) add(k causeKey, o *flow.Outcome, delay time.Duration, minute int64) int {
	i, ok := t.at[k]
	if !ok {
		i = len(t.all)
		t.at[k] = i
		t.all = append(t.all, cause{causeKey: k, first: o.Facts.Arrived, minute: minute})
	}
	c := &t.all[i]
	c.n++
	c.longest = max(c.longest, delay)
	c.last = o.Facts.Arrived
	if minute != c.minute {
		c.minute, c.inMinute = minute, 0
	}
	c.inMinute++
	if c.inMinute > c.inWorst {
		c.worst, c.inWorst = minute, c.inMinute
	}
	return i
}

// report writes what was found. err is why the log was not read to its end.
func (r *replay) report(err error) Report {
	x := Report{
		Format: r.log.Format(), Requests: r.requests, From: r.first.UTC(), To: r.last.UTC(), Clients: len(r.visitors.all),
		Forgotten: r.visitors.missed, GoodPeak: r.o.GoodPeak, Disordered: r.log.Disorder().Lines, StepsBack: r.log.Disorder().Steps,
	}
	if err != nil {
		x.Incomplete = err.Error()
	}
	var first []ReportMalformed
	n, kept := r.log.Malformed()
	for _, m := range kept {
		first = append(first, ReportMalformed(m))
	}
	x.Malformed, x.Examples = n, first
	for _, s := range r.sites.All() {
		if n := r.counts[s.Policy]; n != nil {
			x.Sites = append(x.Sites, ReportSite{s.Policy.Name, *n, share(*n, r.requests)})
		}
	}
	if r.unknown > 0 {
		x.Sites = append(x.Sites, ReportSite{"", r.unknown, share(r.unknown, r.requests)})
	}
	for i := range r.visitors.all {
		if good, _ := r.visitors.all[i].verdict(r.o.GoodPeak); good {
			x.Good++
		}
	}
	for i := range r.cases {
		x.Cases = append(x.Cases, r.caseReport(i))
	}
	x.Conclusion = x.conclude()
	return x
}

func (r *replay) caseReport(i int) ReportCase {
	c := r.cases[i]
	x := ReportCase{Hot: c.hot, Passed: c.passed, Failures: c.failures, Failure: c.failure, Full: c.table.Stats().NoRoom,
		Causes: []ReportCause{}, Dry: []ReportCause{}, Clients: []ReportClient{}, GoodClients: []ReportClient{}}
	causes := slices.Clone(c.tally.all)
	slices.SortStableFunc(causes, func(a, b cause) int { return cmp.Compare(b.n, a.n) })
	for _, k := range causes {
		rc := ReportCause{Action: k.action, Stage: k.stage, Reason: k.reason, Rule: k.rule, Requests: k.n, Share: share(k.n, r.requests),
			Longest: k.longest.Seconds(), First: k.first.UTC(), Last: k.last.UTC(), Worst: time.Unix(k.worst*60, 0).UTC(), InWorst: k.inWorst}
		if k.dry {
			x.Dry = append(x.Dry, rc)
			continue
		}
		x.Causes = append(x.Causes, rc)
		switch k.action {
		case "delay":
			x.Delayed += k.n
			x.Longest = max(x.Longest, rc.Longest)
		case flow.Admit.String():
			x.Passed += k.n
		default:
			x.Refused += k.n
		}
	}
	r.whom(i, &x)
	return x
}

// whom lists the clients that the i-th case touched, the most touched ones first.
func (r *replay) whom(i int, x *ReportCase) {
	all := r.visitors.all
	var touched []int
	for j := range all {
		if all[j].done[i].about != 0 {
			touched = append(touched, j)
		}
	}
	x.Touched = len(touched)
	slices.SortStableFunc(touched, func(a, b int) int {
		p, q := &all[a].done[i], &all[b].done[i]
		return cmp.Or(cmp.Compare(q.refused, p.refused), cmp.Compare(q.delayed, p.delayed))
	})
	for _, j := range touched {
		good, why := all[j].verdict(r.o.GoodPeak)
		if good {
			x.TouchedGood++
		}
		if len(x.Clients) >= shownClients && (!good || len(x.GoodClients) >= shownClients) {
			continue
		}
		t := &all[j].done[i]
		a := r.visitors.abouts[t.about-1]
		k := r.cases[i].tally.all[a.cause]
		rc := ReportClient{Client: all[j].name(), Requests: int64(all[j].requests), Refused: int64(t.refused), Delayed: int64(t.delayed),
			Cause: cmp.Or(k.rule, string(k.reason)), UserAgent: strings.ToValidUTF8(a.agent, "."), Good: good, Why: why}
		if len(x.Clients) < shownClients {
			x.Clients = append(x.Clients, rc)
		}
		if good && len(x.GoodClients) < shownClients {
			x.GoodClients = append(x.GoodClients, rc)
		}
	}
}

func (r Report) conclude() string {
	end := "."
	if r.Forgotten > 0 {
		end = "; of clients beyond the first " + thousands(int64(r.Clients)) + " nothing is known."
	}
	of := " of " + counted(r.Good, "good visitor")
	switch {
	case r.Good == 0:
		return "There was no good visitor in this log" + end
	case !r.TouchesGood():
		return "No good visitor would have been touched: 0" + of + end
	case len(r.Cases) == 1:
		return thousands(int64(r.Cases[0].TouchedGood)) + of + " would have been touched" + end
	}
	return fmt.Sprintf("%s%s would have been touched while the origins are well, and %s if they had been in trouble all the time%s",
		thousands(int64(r.Cases[0].TouchedGood)), of, thousands(int64(r.Cases[1].TouchedGood)), end)
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return thousands(int64(n)) + " " + thing
}

func share(n, of int64) float64 { return float64(n) / float64(max(of, 1)) }

// thousands writes a number with commas.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
