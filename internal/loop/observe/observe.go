// Package observe answers "what is happening?": it turns outcomes, and nothing else, into metrics, log lines and the
// memory of recent requests that explain looks into. Whatever happens to a log or a scraper, the path does not wait.
package observe

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
)

// Recorder takes every outcome. It is safe for concurrent use.
type Recorder struct {
	style   atomic.Pointer[style]
	lines   *Writer
	metrics *Metrics
	recent  *Recent
	tracer  *Tracer

	mu     sync.Mutex
	minute time.Time
	causes map[cause]*tally
	passed uint64 // counts what passed, for sampling
}

// style is what is written, and how.
type style struct {
	log     policy.Log
	console bool
}

// cause is what refusals are grouped by in the log. The number of causes is bounded by maxCauses.
type cause struct {
	reason flow.Reason
	rule   string
}

type tally struct{ logged, only int }

const maxCauses = 256

// NewRecorder returns a recorder that writes to lines, as JSON or for the console, and counts in metrics. Nil lines write
// no log, a nil tracer no spans.
func NewRecorder(log policy.Log, lines *Writer, console bool, metrics *Metrics, recent *Recent, tracer *Tracer) *Recorder {
	r := &Recorder{lines: lines, metrics: metrics, recent: recent, tracer: tracer, causes: map[cause]*tally{}}
	r.Configure(log, console)
	return r
}

// Configure changes what is written from now on, and whether it is for the console.
func (r *Recorder) Configure(log policy.Log, console bool) { r.style.Store(&style{log, console}) }

// Record takes one outcome. o is not kept.
func (r *Recorder) Record(o *flow.Outcome) {
	r.metrics.record(o)
	r.tracer.record(o)
	notable := o.Verdict.Action >= flow.Challenge || o.End != "" || o.Dry.Action != flow.Continue
	if notable {
		r.recent.keep(o)
	}
	how := r.style.Load()
	if r.lines == nil || !r.logs(o, notable, how.log) {
		return
	}
	buf := linePool.Get().(*[]byte)
	if how.console {
		*buf = appendConsole((*buf)[:0], o)
	} else {
		*buf = appendJSON((*buf)[:0], o)
	}
	r.lines.WriteRequest(*buf)
	linePool.Put(buf)
}

// logs decides whether an outcome gets a line: of each cause the first few a minute, of what passed a share.
func (r *Recorder) logs(o *flow.Outcome, notable bool, log policy.Log) bool {
	if !notable && (log.Access <= 0 || o.Facts.Site == "") {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !notable {
		r.passed++
		n := float64(r.passed)
		return int64(n*log.Access) != int64((n-1)*log.Access)
	}
	now := o.Facts.Arrived.Add(o.Took)
	if d := now.Sub(r.minute); d >= time.Minute || d < -time.Minute {
		r.summarise(now)
	}
	c := causeOf(o)
	t := r.causes[c]
	if t == nil {
		if len(r.causes) >= maxCauses {
			c = cause{reason: c.reason}
		}
		if t = r.causes[c]; t == nil {
			t = &tally{}
			r.causes[c] = t
		}
	}
	if t.logged < log.FirstRefusals {
		t.logged++
		return true
	}
	t.only++
	return false
}

func causeOf(o *flow.Outcome) cause {
	switch {
	case o.Verdict.Action >= flow.Challenge:
		return cause{o.Verdict.Reason, o.Verdict.Rule}
	case o.End != "":
		return cause{o.End, o.Facts.Site}
	}
	return cause{o.Dry.Reason, o.Dry.Rule}
}

// summarise writes what was only counted in the past minute and begins a new one.
func (r *Recorder) summarise(now time.Time) {
	for c, t := range r.causes {
		if t.only > 0 {
			slog.New(slog.NewJSONHandler(r.lines, nil)).Warn("more of the same cause, not logged one by one",
				"reason", string(c.reason), "rule", c.rule, "logged", t.logged, "counted", t.only, "since", r.minute.UTC())
		}
	}
	clear(r.causes)
	r.minute = now
}

// Flush writes the summary of what has only been counted so far. The door calls it each minute and at its end.
func (r *Recorder) Flush(now time.Time) {
	if r.lines == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summarise(now)
}
