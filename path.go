package stormdoor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/answer"
	"stormdoor/internal/gate/origin"
	"stormdoor/internal/gate/waf"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// visit is one request on its way through the door. It is pooled.
type visit struct {
	door    *Door
	outcome flow.Outcome
	edition *Edition
	site    *policy.Site
	route   *policy.Route
	asked   int       // how many stages were asked
	held    *waf.Held // the beginning of the body, where it was inspected
}

var visits = sync.Pool{New: func() any { return new(visit) }}

// Serve is the path: it judges one exchange and forwards or refuses it. Exactly one outcome is recorded, whatever happens.
func (d *Door) Serve(ex wire.Exchange) {
	v := d.begin(ex.Conn(), ex.Request())
	defer d.end(v, ex)
	if d.stopping.Load() {
		ex.CloseAfter()
	}
	if d.answersChallenge(ex, v) {
		return
	}
	if !d.judge(ex.Context(), v) {
		d.refuse(ex, v)
		return
	}
	if d.redirect(ex, v) {
		return
	}
	ex, ok := d.inspect(ex, v)
	if !ok {
		d.refuse(ex, v)
		return
	}
	ex.Conn().NotRefused()
	switch reason := d.cached(ex, v); {
	case d.foundLate(v, reason):
		d.refuseLate(ex, v)
	case reason == "":
	case v.outcome.Stage == origin.AdmissionStage:
		d.refuse(ex, v)
	default:
		d.failed(ex, v, reason)
	}
}

// begin counts a request in and reads its facts.
func (d *Door) begin(c *wire.Conn, req *wire.Request) *visit {
	d.inFlight.Add(1)
	return d.facts(c, req, d.now())
}

// facts reads what is known of a request that arrived at the time, and finds its site.
func (d *Door) facts(c *wire.Conn, req *wire.Request, arrived time.Time) *visit {
	v := visits.Get().(*visit)
	*v = visit{door: d, edition: d.deployed.Load().Stable}
	f := &v.outcome.Facts
	f.Arrived = arrived
	v.edition.reader.Fill(f, c, req)
	if s := v.edition.sites.Find(f.Host); s != nil {
		v.site, f.Site = s.Policy, s.Policy.Name
		if v.site.Admission.VisitCookie {
			takeVisit(f, req)
		}
		v.edition.limits.Expect(f) // early, for it takes as long as the rest of the judgement
		if v.route = s.Route(f.Path.Clean, f.Method); v.route != nil {
			f.Route = v.route.Name
		}
		if p := v.edition.pool(v.site, v.route); p != nil {
			f.Hot = p.Hot(f.Arrived)
		}
	}
	f.ID = newID()
	return v
}

// newID returns a reference that tells nothing and repeats practically never.
func newID() (id flow.RequestID) {
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64())
	binary.LittleEndian.PutUint16(id[8:], uint16(rand.Uint32()))
	return id
}

// judge asks the stages and holds the request back where a limit says so. It reports whether the request may go on.
func (d *Door) judge(ctx context.Context, v *visit) bool {
	if !v.decide(ctx) {
		return false
	}
	if v.outcome.Verdict.Delay > 0 {
		return d.wait(ctx, v)
	}
	return true
}

// decide asks the stages. It reports whether the request may go on, after Verdict.Delay.
func (v *visit) decide(ctx context.Context) bool {
	o := &v.outcome
	if v.site == nil {
		o.Verdict = flow.Verdict{Action: flow.Refuse, Reason: flow.SiteUnknown}
		return false
	}
	v.asked = v.edition.chain.Decide(ctx, o)
	if o.Verdict.Action >= flow.Challenge {
		if o.Stage != "limits" || !v.edition.perClient[o.Verdict.Rule] || !v.edition.reader.Undeclared(o.Facts.Client) {
			return false
		}
		// Whoever counts this address counts everybody behind it: the limit is only noted until the proxy is declared.
		o.Dry, o.DryStage = o.Verdict, o.Stage
		o.Verdict, o.Stage = flow.Verdict{}, ""
	}
	return true
}

// maxWaiting bounds how many requests limits hold back at once in the whole door. Beyond it they are refused: to
// wait costs memory, and memory is what a storm is after.
const maxWaiting = 10_000

func (d *Door) wait(ctx context.Context, v *visit) bool {
	o := &v.outcome
	q := v.edition.queues[o.Verdict.Rule]
	defer d.waiting.Add(-1)
	defer q.waiting.Add(-1)
	if n := d.waiting.Add(1); q.waiting.Add(1) > q.most || n > maxWaiting {
		o.Verdict = flow.Verdict{Action: flow.Refuse, Reason: flow.LimitQueueFull, Rule: o.Verdict.Rule, RetryIn: o.Verdict.Delay}
		return false
	}
	t := time.NewTimer(o.Verdict.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		o.Waited = o.Verdict.Delay
		return true
	case <-ctx.Done():
		o.Waited = d.now().Sub(o.Facts.Arrived)
		o.End = flow.ClientGone
		return false
	}
}

// inspected is an exchange whose body has been read in part to be inspected, and is given whole all the same.
type inspected struct {
	wire.Exchange
	body io.Reader
}

func (i inspected) Body() io.Reader { return i.body }

// inspect lets the firewall judge what the facts do not hold: the body. It returns the exchange to go on with, and whether
// to go on.
func (d *Door) inspect(ex wire.Exchange, v *visit) (wire.Exchange, bool) {
	o := &v.outcome
	rules := v.edition.waf
	switch {
	case o.Verdict.Action == flow.Admit:
		return ex, true
	case rules.WatchesBody(&o.Facts):
		v.held = rules.WatchUnder(ex.Context(), &o.Facts, ex.Body())
		return inspected{ex, v.held.Reader()}, true
	case !rules.WantsBody(&o.Facts):
		return ex, true
	}
	delay := o.Verdict
	sure := v.edition.chain.Late(o, waf.Name, func(f *flow.Facts) (verdict flow.Verdict, err error) {
		verdict, v.held = rules.InspectUnder(ex.Context(), f, ex.Body())
		return verdict, nil
	})
	switch {
	case v.held == nil: // the stage has failed in the middle of the body, which is lost
		o.Verdict, o.Stage = flow.Verdict{Action: flow.Refuse, Reason: flow.StageFailed}, waf.Name
		return ex, false
	case sure:
		o.BytesIn = v.held.Len()
		return ex, false
	case v.held.Err() != nil: // an origin has nothing to do with half a body
		o.Verdict, o.BytesIn, o.End, o.Err = delay, v.held.Len(), origin.VisitorReason(v.held.Err()), v.held.Err().Error()
		return ex, false
	}
	o.Verdict = delay
	return inspected{ex, v.held.Reader()}, true
}

// foundLate takes over what the rest of a long body has come to while it was sent on, and reports whether that refuses the request.
// Where the origin has answered all the same, it is only noted.
func (d *Door) foundLate(v *visit, reason flow.Reason) (refused bool) {
	if v.held == nil {
		return false
	}
	late, ok := v.held.Late()
	if !ok {
		return false
	}
	late.Dry = late.Dry || reason == ""
	o := &v.outcome
	before, stage := o.Verdict, o.Stage
	if v.edition.chain.Late(o, waf.Name, func(*flow.Facts) (flow.Verdict, error) { return late, nil }) {
		return true
	}
	o.Verdict, o.Stage = before, stage
	return false
}

// refuseLate answers a request that was refused for the rest of its body, unless the origin's answer has begun.
func (d *Door) refuseLate(ex wire.Exchange, v *visit) {
	o := &v.outcome
	if o.Status != 0 {
		o.End = o.Verdict.Reason
		ex.Abort()
		return
	}
	o.End, o.Err = "", ""
	d.refuse(ex, v)
}

// refuse answers a request that was refused, or whose visitor failed to send it, or hangs up.
func (d *Door) refuse(ex wire.Exchange, v *visit) {
	o := &v.outcome
	switch {
	case o.Verdict.Action == flow.Hangup:
		ex.Abort()
		return
	case o.End != "":
		d.failed(ex, v, o.End)
		return
	}
	r := answer.Refusal{Reason: o.Verdict.Reason, Status: o.Verdict.Status, ID: o.Facts.ID, RetryIn: o.Verdict.RetryIn, Ahead: o.Ahead}
	if q, ok := v.edition.limits.Quota(o.Verdict.Rule); ok && o.Stage == "limits" {
		r.Quota = &answer.Quota{Name: o.Verdict.Rule, Amount: q.Amount, Window: time.Duration(q.Window) * time.Second}
	}
	r.Field, r.Expected = waf.Wrong(&o.Verdict)
	r.Close = status429(r) && ex.Conn().Refused() >= refusalsInARow
	d.answer(ex, v, r)
}

// refusalsInARow is how many requests of one connection may be refused with 429 one after the other before it is closed
// (docs/decisions/0046-refusals-in-a-row.md).
const refusalsInARow = 100

func status429(r answer.Refusal) bool {
	return r.Status == 429 || r.Status == 0 && answer.Status(r.Reason) == 429
}

// failed answers a request that could not be forwarded, unless its answer had already begun.
func (d *Door) failed(ex wire.Exchange, v *visit, reason flow.Reason) {
	o := &v.outcome
	o.End = reason
	if reason == flow.RequestMalformed {
		d.unread[wire.MalformedFraming].Add(1) // of its body, or it would not have come so far
	}
	if o.Status != 0 || reason == flow.ClientGone {
		ex.Abort()
		return
	}
	d.answer(ex, v, answer.Refusal{Reason: reason, ID: o.Facts.ID})
}

func (d *Door) answer(ex wire.Exchange, v *visit, r answer.Refusal) {
	o := &v.outcome
	status, n, err := v.edition.answers.Write(ex, r)
	o.Status, o.BytesOut = status, n
	if err != nil {
		o.End = flow.ClientGone
		ex.Abort()
	}
}

// redirect answers clear text for a site with TLS, unless the operator wants to serve both.
func (d *Door) redirect(ex wire.Exchange, v *visit) bool {
	f := &v.outcome.Facts
	t := v.site.TLS
	if t == nil || f.TLS || f.Proxied || t.Redirect != nil && !*t.Redirect {
		return false
	}
	req := ex.Request()
	status := 308
	if req.Method == "GET" || req.Method == "HEAD" {
		status = 301
	}
	host := f.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := httpsPort(v.edition.policy.Listen.HTTPS); port != "443" && port != "" {
		host += ":" + port
	}
	h := flow.NewHeader(2)
	h.Add("Location", "https://"+host+req.Target)
	h.Add("Cache-Control", "no-store")
	v.outcome.Status = status
	if err := errors.Join(ex.Respond(status, h, 0), ex.End(flow.Header{})); err != nil {
		v.outcome.End = flow.ClientGone
		ex.Abort()
	}
	return true
}

const challengePath = "/.well-known/acme-challenge/"

// answersChallenge answers the ACME server that asks whether this door serves a host. It comes before every stage: a
// limit or a list that kept the ACME server out would end in an expired certificate.
func (d *Door) answersChallenge(ex wire.Exchange, v *visit) bool {
	f := &v.outcome.Facts
	if d.challenge == nil || f.TLS || !strings.HasPrefix(f.Path.Raw, challengePath) {
		return false
	}
	body, ok := d.challenge(f.Host, f.Path.Raw)
	if !ok {
		return false
	}
	h := flow.NewHeader(1)
	h.Add("Content-Type", "text/plain")
	v.outcome.Status = 200
	err := ex.Respond(200, h, int64(len(body)))
	if err == nil {
		_, err = ex.Write([]byte(body))
	}
	if err = errors.Join(err, ex.End(flow.Header{})); err != nil {
		v.outcome.End = flow.ClientGone
		ex.Abort()
	}
	return true
}

// dressed adds what the policy says to the final answer of an origin.
type dressed struct {
	wire.Exchange
	hsts   policy.Duration
	altSvc string
}

// dress returns ex, or ex with what the policy adds to answers over TLS.
func (e *Edition) dress(ex wire.Exchange, s *policy.Site) wire.Exchange {
	if s.TLS == nil || s.TLS.HSTS == 0 && e.altSvc == "" || !ex.Conn().TLS {
		return ex
	}
	return dressed{ex, s.TLS.HSTS, e.altSvc}
}

// Respond adds Strict-Transport-Security (RFC 6797), unless the origin has said it itself, and Alt-Svc.
func (d dressed) Respond(status int, h flow.Header, length int64) error {
	h = h.Clone()
	if d.hsts != 0 && !h.Has("Strict-Transport-Security") {
		h.Add("Strict-Transport-Security", "max-age="+strconv.FormatInt(int64(time.Duration(d.hsts)/time.Second), 10))
	}
	if d.altSvc != "" {
		h.Add("Alt-Svc", d.altSvc)
	}
	return d.Exchange.Respond(status, h, length)
}

func httpsPort(addrs []string) string {
	for _, a := range addrs {
		if i := strings.LastIndexByte(a, ':'); i >= 0 && !strings.HasPrefix(a, "unix:") {
			if _, err := strconv.ParseUint(a[i+1:], 10, 16); err == nil {
				return a[i+1:]
			}
		}
	}
	return ""
}

// end answers what a panic left unanswered, and writes the outcome.
func (d *Door) end(v *visit, ex wire.Exchange) {
	if p := recover(); p != nil {
		o := &v.outcome
		o.End, o.Err = flow.DoorFault, fmt.Sprintf("panic: %v", p)
		d.faults.Add(1)
		d.seldom(func() {
			d.log.Error("the door failed on a request", "id", o.Facts.ID.String(), "panic", p, "stack", string(debug.Stack()))
		})
		if o.Status == 0 {
			d.answer(ex, v, answer.Refusal{Reason: flow.DoorFault, ID: o.Facts.ID, Close: true})
		} else {
			ex.Abort()
		}
	}
	d.record(v)
}

// record writes the outcome and gives the visit back.
func (d *Door) record(v *visit) {
	o := &v.outcome
	o.Took = d.now().Sub(o.Facts.Arrived)
	if v.held != nil {
		v.held.Release()
	}
	v.edition.chain.Settle(o, v.asked)
	d.recorder.Record(o)
	d.inFlight.Add(-1)
	*v = visit{}
	visits.Put(v)
}
