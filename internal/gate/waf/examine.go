package waf

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// Examination is all that the rules have to say about a request.
type Examination struct {
	Mode policy.WAFMode `json:"mode"`
	// Verdict is what follows from it, as a stage says it.
	Verdict flow.Verdict `json:"-"`
	// Score is the anomaly score, Threshold from where on it refuses, and Scores who brought it up, the most first.
	Score     int       `json:"score"`
	Threshold int       `json:"threshold"`
	Scores    []Score   `json:"scores,omitempty"`
	Matches   []Matched `json:"matches,omitempty"`
	// Work is what the inspection took, of at most Most, in units of seclang.Cost; Bytes and Fields are what was looked at.
	Work   int64 `json:"work"`
	Most   int64 `json:"most_work"`
	Bytes  int64 `json:"bytes"`
	Fields int64 `json:"fields"`
	// Body is how many bytes of the body were inspected, of Length, which is that of what it holds where it is packed and long;
	// Streamed says that the type of the body is never inspected.
	Body     int  `json:"body"`
	Length   int  `json:"length"`
	Streamed bool `json:"streamed,omitempty"`
	// OpenAPI is what the site's OpenAPI document says; nil without one.
	OpenAPI *Conformity `json:"openapi,omitempty"`
}

// Score is the sum of what rules of one class score.
type Score struct {
	Class string `json:"class"`
	Score int    `json:"score"`
}

// Matched is a rule that matched, with all that is known about it.
type Matched struct {
	Rule     int    `json:"rule"`
	Message  string `json:"message"`
	Data     string `json:"data,omitempty"`
	Severity string `json:"severity,omitempty"`
	Class    string `json:"class,omitempty"`
	Paranoia int    `json:"paranoia,omitempty"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	// Score is what it adds; Why says why it adds nothing, where it does not count.
	Score  int            `json:"score"`
	Why    string         `json:"does_not_count,omitempty"`
	Values []MatchedValue `json:"values,omitempty"`
}

// MatchedValue is a value in which a rule matched.
type MatchedValue struct {
	Field    string `json:"field"`
	Operator string `json:"operator"`
	// Sent is the value as it was sent, and Value after the Transformations.
	Sent            string   `json:"sent"`
	Transformations []string `json:"transformations,omitempty"`
	Value           string   `json:"value"`
	// Start and End are where the operator matched in Value, in bytes; both 0 where it matches no particular place.
	Start int `json:"start"`
	End   int `json:"end"`
	// SentAt is where the same bytes stand in Sent; -1 where they do not stand there as they are.
	SentAt int `json:"sent_at"`
}

// points is what a rule of a severity scores in the Core Rule Set.
var points = map[seclang.Severity]int{2: 5, 3: 4, 4: 3, 5: 2}

// Examine judges a request as Decide and Inspect do, and tells all about it; nothing is counted. It takes longer, for the
// places of all matches are worked out. body is the whole body.
func (s *Stage) Examine(f *flow.Facts, body []byte) Examination {
	x := Examination{Mode: s.mode(f), Length: len(body)}
	held := s.contracts.find(f)
	if x.Mode == policy.WAFOff && held.contract == nil {
		return x
	}
	whole := len(body) > 0 || f.Length == 0 // of a recent request it is not kept
	var text []byte
	var cut *seclang.Cutter
	ends := false // what is behind the beginning cannot be looked at
	isBinary := x.Mode != policy.WAFOff && s.isBinary(f, body[:min(int64(len(body)), s.limit+1)])
	if s.over == policy.OverFollowed && x.Mode != policy.WAFOff && s.WantsBody(f) && !isBinary {
		text, cut, ends = s.long(f, body)
	}
	var calls []byte
	if x.Mode != policy.WAFOff && s.WatchesBody(f) {
		calls, body, whole = body, nil, false
	}
	if len(body) > 0 && (!s.WantsBody(f) || isBinary) {
		body, x.Streamed, whole = nil, true, false
	}
	if int64(len(body)) > s.limit {
		if s.over == policy.OverRefused {
			x.Verdict = flow.Verdict{Action: flow.Refuse, Reason: flow.WAFBody, Dry: !s.blocks(f)}
			return x
		}
		body, whole = body[:s.limit], false
	}
	x.Body = len(body)
	if ends && uncut(x.Mode).Sure() {
		x.Verdict = uncut(x.Mode)
		return x
	}
	j := held.judge(f, openapi.Body{Bytes: body, Whole: whole})
	x.OpenAPI, x.Verdict = held.conformity(&j), j.verdict
	if x.Mode == policy.WAFOff {
		return x
	}
	var ruled flow.Verdict
	switch {
	case len(calls) > 0:
		ruled = s.examineCalls(&x, f, calls)
	case cut != nil:
		x.Length = len(text)
		ruled = s.examineLong(&x, f, text, cut)
	default:
		ruled = s.examine(&x, f, len(body), func(tx *seclang.Transaction) { s.feed(tx, f, body) })
	}
	if !j.verdict.Sure() {
		x.Verdict = joined(j.verdict, ruled)
	}
	if ends {
		x.Verdict = orUncut(x.Verdict, x.Mode)
	}
	slices.SortStableFunc(x.Scores, func(a, b Score) int { return b.Score - a.Score })
	return x
}

// examine takes a request, of whose body so many bytes are told, through the rules.
func (s *Stage) examine(x *Examination, f *flow.Facts, size int, feed func(*seclang.Transaction)) flow.Verdict {
	start := s.start(f, x.Mode, size)
	start.Places = true
	tx := s.rules.New(start)
	defer tx.Close()
	feed(tx)
	x.Score, x.Threshold = number(tx, "blocking_inbound_anomaly_score"), number(tx, "inbound_anomaly_score_threshold")
	c := tx.Cost()
	x.Work, x.Most, x.Bytes, x.Fields = x.Work+c.Work, x.Most+start.Budget.Work, x.Bytes+c.Bytes, x.Fields+c.Fields
	matches := tx.Matches()
	for i := range matches {
		if m := &matches[i]; m.Rule.Log {
			x.add(s.matched(f, m))
		}
	}
	return s.verdict(f, tx, x.Mode)
}

// examineLong examines a long body as it is judged on its way to an origin, piece by piece. It returns the verdict of the first piece that has
// one, and tells what was found there; or else what was found in any.
func (s *Stage) examineLong(x *Examination, f *flow.Facts, body []byte, cut *seclang.Cutter) (v flow.Verdict) {
	for x.Body = 0; x.Body < len(body); {
		window := body[x.Body:min(int64(len(body)), int64(x.Body)+s.limit+1)]
		piece := cut.Cut(window, x.Body+len(window) == len(body), true)
		x.Body += piece.Settled()
		if piece.Settled() == 0 {
			return flow.Verdict{Action: flow.Refuse, Reason: flow.StageFailed, Dry: x.Mode != policy.WAFBlocks}
		}
		if piece.Len() == 0 {
			continue
		}
		v = s.examineOne(x, f, piece.Len(), func(tx *seclang.Transaction) { feedPiece(tx, f, piece) })
		if v.Action > flow.Admit {
			break
		}
	}
	return v
}

// examineOne examines a portion of a body, and adds what it found to what the others have.
func (s *Stage) examineOne(x *Examination, f *flow.Facts, size int, feed func(*seclang.Transaction)) flow.Verdict {
	of := Examination{Mode: x.Mode}
	v := s.examine(&of, f, size, feed)
	x.Work, x.Most, x.Bytes, x.Fields = x.Work+of.Work, x.Most+of.Most, x.Bytes+of.Bytes, x.Fields+of.Fields
	x.Threshold = of.Threshold
	if v.Action > flow.Admit || of.Score > x.Score || len(x.Matches) == 0 {
		x.Score, x.Scores, x.Matches = of.Score, of.Scores, of.Matches
	}
	return v
}

// examineCalls examines the messages of a remote call, as they are judged on their way. It returns the first verdict that is one.
func (s *Stage) examineCalls(x *Examination, f *flow.Facts, body []byte) (v flow.Verdict) {
	m := s.watch(f, bytes.NewReader(body))
	defer m.release()
	v = s.examineOne(x, f, 0, func(tx *seclang.Transaction) { s.feed(tx, f, nil) })
	m.judge = func(p portion) bool {
		if v.Action > flow.Admit {
			return false
		}
		v = s.examineOne(x, f, p.size, p.feed(s, f))
		return v.Action <= flow.Admit
	}
	n, _ := io.Copy(io.Discard, m)
	x.Body = int(n)
	if late, ok := m.late(); ok && v.Action <= flow.Admit {
		v = late
	}
	return v
}

func (x *Examination) add(m Matched) {
	x.Matches = append(x.Matches, m)
	if m.Score == 0 {
		return
	}
	for i := range x.Scores {
		if x.Scores[i].Class == m.Class {
			x.Scores[i].Score += m.Score
			return
		}
	}
	x.Scores = append(x.Scores, Score{m.Class, m.Score})
}

// matched copies a match: its strings end with the transaction.
func (s *Stage) matched(f *flow.Facts, m *seclang.Match) Matched {
	r := m.Rule
	out := Matched{Rule: r.ID, Message: strings.Clone(m.Message), Data: strings.Clone(m.Data), Severity: r.Severity.String(),
		Class: classOf(r), Paranoia: paranoiaOf(r), File: r.File, Line: r.Line}
	switch {
	case m.Doubted && m.Excused:
		out.Why = s.why(f, m)
	case m.Doubted:
		out.Why = "the value reads as text and has nothing that an attack of this class cannot do without"
	case out.Paranoia > s.policy.Paranoia:
		out.Why = "its paranoia level is detected and does not count"
	case !scored(r.ID):
		out.Score = points[r.Severity] * m.Counted
	}
	for i := range m.Values {
		v := &m.Values[i]
		if v.Variable == "" || i >= flow.MaxFindings {
			continue
		}
		w := MatchedValue{Field: v.Variable, Operator: v.Operator(), Sent: strings.Clone(v.Sent), Value: strings.Clone(v.Value),
			Transformations: v.Transformations(), Start: v.Start, End: v.End, SentAt: -1}
		if v.Key != "" {
			w.Field += ":" + v.Key
		}
		w.Field = strings.Clone(w.Field)
		if v.End > v.Start {
			w.SentAt = strings.Index(v.Sent, v.Value[v.Start:v.End])
		}
		out.Values = append(out.Values, w)
	}
	return out
}

// classOf is the class of attacks that a rule is about, by its tags: "sqli", "xss", "protocol"; "other" without one.
func classOf(r *seclang.Rule) string {
	for _, tag := range r.Tags {
		if class, ok := strings.CutPrefix(tag, "attack-"); ok && class != "generic" {
			return class
		}
	}
	return "other"
}

// paranoiaOf is a rule's paranoia level, 0 for none.
func paranoiaOf(r *seclang.Rule) int {
	for _, tag := range r.Tags {
		if level, ok := strings.CutPrefix(tag, "paranoia-level/"); ok {
			n, _ := strconv.Atoi(level)
			return n
		}
	}
	return 0
}

// Recalled is a match of which only what was written down is known.
func Recalled(f flow.Finding) Matched {
	m := Matched{Rule: f.Rule, Message: f.Message, Values: []MatchedValue{{Field: f.Field, Value: f.Value, SentAt: -1}}}
	if message, why, ok := strings.Cut(f.Message, doesNotCount); ok {
		m.Message, m.Why = message, strings.TrimSuffix(why, ")")
	}
	return m
}
