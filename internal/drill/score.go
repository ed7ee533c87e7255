package drill

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// Seconds is a length of time that JSON has as a number of seconds.
type Seconds time.Duration

// MarshalJSON writes seconds with milliseconds.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(float64(time.Duration(s).Round(time.Millisecond)) / float64(time.Second))
}

func (s Seconds) String() string {
	d := time.Duration(s)
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0fms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1fms", d.Seconds()*1e3)
}

// Card is the scorecard of a drill.
type Card struct {
	Started time.Time `json:"started"`
	Seed    uint64    `json:"seed"`
	Length  Seconds   `json:"seconds_a_scene"`
	Took    Seconds   `json:"took"`
	// Total is the processor time of all storms together.
	Total  Row     `json:"total_cpu"`
	Scores []Score `json:"scenes"`
}

// Broken are the scenes in which a law was broken. All of them together can break one that none breaks alone: Total.
func (c *Card) Broken() (out []*Score) {
	for i := range c.Scores {
		if !c.Scores[i].Pass() {
			out = append(out, &c.Scores[i])
		}
	}
	return out
}

// Played counts the scenes that were run: some wait for a part of the door that is not built.
func (c *Card) Played() (n int) {
	for i := range c.Scores {
		if c.Scores[i].NotBuilt == "" {
			n++
		}
	}
	return n
}

// Score is how one scene went.
type Score struct {
	Scene    string `json:"scene"`
	Title    string `json:"title"`
	Story    string `json:"story,omitempty"`
	NotBuilt string `json:"not_built,omitempty"`
	Goal     Goal   `json:"goal"`
	// All is everybody, Kinds is each kind of visitor.
	All   Service   `json:"all"`
	Kinds []Service `json:"kinds,omitempty"`
	// Hurt says who was not served during and after the storm, and why.
	Hurt []Hurt `json:"hurt,omitempty"`
	// ProtectedIn is from the storm's begin to the end of the last quarter of a second in it in which fewer than nine in
	// ten were served; RecoveredIn is the same from the storm's end.
	ProtectedIn Seconds `json:"protected_in"`
	RecoveredIn Seconds `json:"recovered_in"`
	// OriginLoad is the share of the origin's capacity that was used during the storm; MostInFlight how many requests
	// were inside it at once, of Workers that it works on.
	OriginLoad   float64 `json:"origin_load"`
	MostInFlight int64   `json:"origin_most_in_flight"`
	Workers      int     `json:"origin_workers"`
	// Storm is what the bots did in how many seconds; GeneratorCPU what bots and visitors cost, which is nobody's fault.
	Storm        StormStats `json:"storm"`
	StormLength  Seconds    `json:"storm_length"`
	GeneratorCPU Seconds    `json:"generator_cpu"`
	// Amplification compares the defence with the same storm without it.
	Amplification []Row `json:"amplification,omitempty"`
	// Laws are the verdicts. Unconfirmed are the laws that were broken when the scene was played before, shorter: see
	// Options.Confirm.
	Laws        []Law    `json:"laws,omitempty"`
	Unconfirmed []Law    `json:"unconfirmed,omitempty"`
	Windows     []Window `json:"windows,omitempty"`
	// Peers is the service that other doors gave in the same scene.
	Peers []PeerScore `json:"peers,omitempty"`

	wrong    []string
	cpuOn    float64 // microseconds that the storm cost the door
	cpuOff   float64 // and what it would have cost without a defence
	lastGood bool    // the last second of the scene was a good one
}

// Pass reports whether no law was broken.
func (s *Score) Pass() bool { return len(s.broken()) == 0 }

// broken are the laws that were.
func (s *Score) broken() (out []Law) {
	for _, l := range s.Laws {
		if !l.Pass {
			out = append(out, l)
		}
	}
	return out
}

// Service is how visitors were served before, during and after the storm.
type Service struct {
	Kind   string `json:"kind"`
	Before Phase  `json:"before"`
	During Phase  `json:"during"`
	After  Phase  `json:"after"`
}

// Phase is the service in one part of a scene.
type Phase struct {
	Asked  int     `json:"asked"`
	Served int     `json:"served"`
	P50    Seconds `json:"p50"`
	P99    Seconds `json:"p99"`
}

// Share is the served in per cent, 100 where nobody asked.
func (p Phase) Share() float64 {
	if p.Asked == 0 {
		return 100
	}
	return 100 * float64(p.Served) / float64(p.Asked)
}

// Hurt is a kind of visitor and what kept it from being served, with how often.
type Hurt struct {
	Kind  string `json:"kind"`
	By    string `json:"by"`
	Times int    `json:"times"`
}

// Law is a law of the project, and whether it was kept.
type Law struct {
	Law    string `json:"law"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail"`
}

// PeerScore is how another door did. Before shows that its configuration is sound: where that is little, the rest says nothing.
type PeerScore struct {
	Name   string `json:"name"`
	Before Phase  `json:"before"`
	During Phase  `json:"during"`
	After  Phase  `json:"after"`
}

// Window is a quarter of a second.
type Window struct {
	At      Seconds `json:"at"`
	Phase   string  `json:"phase"`
	Asked   int     `json:"asked"`
	Served  int     `json:"served"`
	Slowest Seconds `json:"slowest"` // of the served
	// Sent and Passed are the storm's requests and those of them that were answered below 400.
	Sent       int64   `json:"storm_sent"`
	Passed     int64   `json:"storm_passed"`
	OriginLoad float64 `json:"origin_load"`
	DoorRSS    int64   `json:"door_rss"`

	total StormStats
}

// Share is the served in per cent, 100 where nobody asked.
func (w Window) Share() float64 { return Phase{Asked: w.Asked, Served: w.Served}.Share() }

func (w *Window) count(samples []Sample, total StormStats, before []Window) {
	for _, s := range samples {
		w.Asked++
		if s.Failed == "" {
			w.Served++
			w.Slowest = max(w.Slowest, Seconds(s.Took))
		}
	}
	w.total, w.Sent, w.Passed = total, total.Sent, total.Answered
	if n := len(before); n > 0 {
		w.Sent -= before[n-1].total.Sent
		w.Passed -= before[n-1].total.Answered
	}
}

func (s *StormStats) add(t StormStats) {
	s.Sent += t.Sent
	s.Answered += t.Answered
	s.Refused += t.Refused
	s.Broken += t.Broken
	s.BytesOut += t.BytesOut
	s.BytesIn += t.BytesIn
	s.Connections += t.Connections
	s.Handshakes += t.Handshakes
}

// newScore counts what was seen with the defence on.
func newScore(s *Scene, r *record, length time.Duration) *Score {
	score := &Score{
		Scene: s.Name, Title: s.Title, Story: s.Story, Goal: s.Goal, Windows: r.Windows, wrong: r.Wrong,
		Storm: r.Storm, StormLength: Seconds(r.StormEnd.Sub(r.StormBegin)), GeneratorCPU: Seconds(r.GeneratorCPU),
		MostInFlight: r.PeakInFlight, Workers: s.Workers,
	}
	score.All, score.Kinds = services(r)
	score.Hurt = hurt(r)
	busy := r.OriginEnd.Busy - r.OriginBefore.Busy
	score.OriginLoad = busy.Seconds() / r.StormEnd.Sub(r.StormBegin).Seconds() / float64(s.Workers)
	score.ProtectedIn = lastBad(r.Windows, "storm")
	score.RecoveredIn = lastBad(r.Windows, "after")
	score.lastGood = endsWell(r.Windows)
	return score
}

// lastBad is from the begin of a phase to the end of its last bad window.
func lastBad(windows []Window, phase string) Seconds {
	n, last := 0, 0
	for _, w := range windows {
		if w.Phase != phase {
			continue
		}
		if n++; w.Share() < 90 {
			last = n
		}
	}
	return Seconds(time.Duration(last) * tick)
}

// endsWell reports whether nineteen in twenty were served in the last second.
func endsWell(windows []Window) bool {
	var p Phase
	for _, w := range windows[max(0, len(windows)-4):] {
		p.Asked, p.Served = p.Asked+w.Asked, p.Served+w.Served
	}
	return p.Share() >= 95
}

// services counts by kind and phase.
func services(r *record) (all Service, kinds []Service) {
	type bin struct{ kind, phase string }
	times, asked := map[bin][]time.Duration{}, map[bin]int{}
	seen := map[string]bool{}
	for _, s := range r.Samples {
		seen[s.Kind] = true
		for _, k := range []string{s.Kind, "all"} {
			b := bin{k, r.phase(s.At)}
			asked[b]++
			if s.Failed == "" {
				times[b] = append(times[b], s.Took)
			}
		}
	}
	of := func(kind string) Service {
		p := func(phase string) Phase {
			b := bin{kind, phase}
			t := times[b]
			return Phase{asked[b], len(t), Seconds(quantile(t, 0.5)), Seconds(quantile(t, 0.99))}
		}
		return Service{kind, p("before"), p("storm"), p("after")}
	}
	for k := range seen {
		kinds = append(kinds, of(k))
	}
	slices.SortFunc(kinds, func(a, b Service) int { return cmp.Compare(a.Kind, b.Kind) })
	return of("all"), kinds
}

// phase is the part of the scene in which a request was asked.
func (r *record) phase(at int64) string {
	switch {
	case at < r.StormBegin.UnixNano():
		return "before"
	case at < r.StormEnd.UnixNano():
		return "storm"
	}
	return "after"
}

func hurt(r *record) (out []Hurt) {
	n := map[Hurt]int{}
	for _, s := range r.Samples {
		if s.Failed != "" && r.phase(s.At) != "before" {
			n[Hurt{Kind: s.Kind, By: s.Failed}]++
		}
	}
	for h, times := range n {
		h.Times = times
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Hurt) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.By, b.By))
	})
	return out
}

func (s *Score) addPeer(name string, r *record) {
	all, _ := services(r)
	s.Peers = append(s.Peers, PeerScore{name, all.Before, all.During, all.After})
}

// least is how many of the requests must be served for the promise to be kept. A short scene proves less than a long one:
// it is broken when so many were not served as chance alone would bring about once in a thousand times (three standard
// deviations of a binomial distribution).
func (g Goal) least(asked int) int {
	lost := 1 - g.Served/100
	n := float64(asked)
	return asked - int(n*lost+3*math.Sqrt(n*lost*(1-lost)))
}

// judge holds the scene against the laws.
func (s *Score) judge() {
	amplified := Law{Law: "never amplify", Pass: true, Detail: "no row of the table above its ceiling"}
	for _, r := range s.Amplification {
		if !r.Pass {
			amplified.Pass = false
			amplified.Detail = fmt.Sprintf("%s: %s, the ceiling is %s", r.What, r.Figure(), r.Bound())
			break
		}
	}
	if len(s.Amplification) > 0 {
		s.Laws = append(s.Laws, amplified)
	}
	proven := Law{Law: "nothing unproven", Pass: len(s.wrong) == 0, Detail: "no change reached traffic that should not"}
	if !proven.Pass {
		proven.Detail = s.wrong[0]
	}
	s.Laws = append(s.Laws, proven, s.visitors())
}

// visitors is the third law.
func (s *Score) visitors() Law {
	l := Law{Law: "good visitors first", Pass: true, Detail: fmt.Sprintf("%.1f %% served within a second, %v at p99", s.All.During.Share(), s.All.During.P99)}
	switch bound, _ := time.ParseDuration(s.Goal.P99); {
	case s.All.During.Asked == 0:
		l.Pass, l.Detail = false, "not one good visitor came: the drill itself is broken"
	case s.Goal.OriginDown:
		if l.Detail = fmt.Sprintf("back in service %v after it", s.RecoveredIn); !s.lastGood {
			l.Pass, l.Detail = false, "not back in service at the end of the scene"
		}
	case s.All.During.Served < s.Goal.least(s.All.During.Asked):
		l.Pass = false
		l.Detail = fmt.Sprintf("%.1f %% of %d served within a second, %.1f %% is promised", s.All.During.Share(), s.All.During.Asked, s.Goal.Served)
	case bound > 0 && time.Duration(s.All.During.P99) > bound:
		l.Pass = false
		l.Detail = fmt.Sprintf("%v at p99, %v is promised", s.All.During.P99, bound)
	case !s.lastGood:
		l.Pass, l.Detail = false, "not back to normal at the end of the scene"
	}
	return l
}
