package origin

import (
	"context"
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/origin/admission"
	"stormdoor/internal/wire"
)

// AdmissionStage is the name under which admission stands in outcomes, beside the stages of the chain.
const AdmissionStage = "admission"

// retryIn is when a request that was not admitted may come again. Whoever comes last in the order is asked to stay away the
// longest; answer spreads it.
var retryIn = map[admission.Priority]time.Duration{
	admission.Operator: time.Second, admission.Vouched: time.Second, admission.Known: 2 * time.Second,
	admission.New: 5 * time.Second, admission.Excess: 15 * time.Second,
}

// retryMost is when somebody may come again at the latest: what is known of the line changes.
const retryMost = 30 * time.Second

// bytesOfMilli is how many bytes of bodies cost a client as much as a millisecond of the origin.
const bytesOfMilli = 100_000

// account is what admission knows of a forward at work.
type account struct {
	permit  admission.Permit
	claim   admission.Claim
	payer   admission.Key
	charged time.Duration // to the payer when the request arrived
	given   bool          // the permit was given back
	known   bool          // claim and payer are set
	calm    bool          // nobody had to wait: what a client does now makes its standing
}

// admit waits until the forward may go. With any reason but "" it must not; the outcome says then why.
func (c *call) admit(ctx context.Context) flow.Reason {
	p, o, a := c.pool, c.o, &c.account
	if p.gate == nil {
		return ""
	}
	now := p.now()
	a.calm = !o.Facts.Hot && !p.gate.Pressed(now)
	route := p.clients.RouteOf(&o.Facts)
	route.Body = route.Body && !arrived(c.ex)
	if p.gate.Try(now, route, &a.permit) {
		if !a.calm {
			p.keepPage(now, &o.Facts, o.Verdict, &a.permit)
		}
		return ""
	}
	c.identify()
	a.claim.Visit = p.clients.VisitOf(p.visits, &o.Facts)
	expected := a.permit.Expected()
	j := p.clients.Judge(now, a.claim, expected, a.permit.Origin())
	o.Priority, o.Level, a.payer = j.Priority.String(), j.Level, j.Payer
	c.ex.Conn().First(j.Priority <= admission.Known)
	c.charge(now, expected)
	await := func(left func(), begin func(wake func())) { wire.Await(ctx, left, begin) }
	refusal := p.gate.Wait(await, now, j.Priority, j.Level, &a.permit)
	o.Waited += p.now().Sub(now)
	switch refusal {
	case admission.Admitted:
		if a.claim.Page {
			p.clients.Page(now, a.claim.Client, j.Priority, j.Level)
		}
		return ""
	case admission.Left:
		return flow.ClientGone
	}
	reason := flow.OriginShed
	if refusal == admission.Full {
		reason = flow.OriginQueueFull
	}
	o.Verdict, o.Stage = flow.Verdict{Action: flow.Refuse, Reason: reason, RetryIn: retryIn[j.Priority]}, AdmissionStage
	c.turnAway(now, j)
	p.shed(now)
	return reason
}

// turnAway gives who was refused a place among all who come back, and says when to.
func (c *call) turnAway(now time.Time, j admission.Judgement) {
	p, o := c.pool, c.o
	at := p.clients.Second(now)
	place, first := p.clients.TurnAway(now, c.account.claim.Client, j.Patient)
	switch {
	case !j.Patient && place != 0:
		p.gate.LeftLine(at, place, false)
	case j.Patient:
		ahead, wait := p.gate.TurnedAway(at, place, first)
		o.Ahead = ahead
		o.Verdict.RetryIn = max(o.Verdict.RetryIn, min(wait, retryMost))
	}
}

// keepPage lets what belongs to a page keep the page's place, where others wait though the page itself had not to.
func (p *Pool) keepPage(now time.Time, f *flow.Facts, v flow.Verdict, permit *admission.Permit) {
	if !admission.Navigates(f) {
		return
	}
	claim := p.clients.ClaimOf(f, v, p.vouched.cookie)
	claim.Visit = p.clients.VisitOf(p.visits, f)
	j := p.clients.Judge(now, claim, permit.Expected(), permit.Origin())
	p.clients.Page(now, claim.Client, j.Priority, j.Level)
}

// Served notes an answer of the cache: whoever gets good ones while there is no trouble is in good standing all the same, and what
// belongs to a page keeps its place though the page itself asked nothing of an origin.
func (p *Pool) Served(o *flow.Outcome) {
	if p.gate == nil || o.Status < 200 || o.Status >= 400 {
		return
	}
	f := &o.Facts
	now := f.Arrived
	p.gate.Hit(p.clients.RouteOf(f))
	if f.Hot || p.gate.Pressed(now) {
		var none admission.Permit
		p.keepPage(now, f, o.Verdict, &none)
		return
	}
	p.clients.Settle(now, p.clients.ClaimOf(f, o.Verdict, "").Client, 0, admission.Good)
}

// Cost is what was learned of the route of a request, and how the gate is; ok is false where admission is off.
func (p *Pool) Cost(f *flow.Facts) (route admission.RouteStatus, known bool, gate admission.Status, ok bool) {
	if p.gate == nil {
		return route, false, gate, false
	}
	route, known = p.gate.Route(p.clients.RouteOf(f))
	return route, known, p.gate.Status(), true
}

// identify reads who asks, once.
func (c *call) identify() {
	a := &c.account
	if !a.known {
		a.claim = c.pool.clients.ClaimOf(&c.o.Facts, c.o.Verdict, c.pool.vouched.cookie)
		a.payer, a.known = a.claim.Client, true
	}
}

// charge notes what a request that has to wait is likely to cost, whether or not its turn comes: it is what clients ask
// for that tells who asks for more than a share.
func (c *call) charge(now time.Time, cost time.Duration) {
	a := &c.account
	c.pool.clients.Charge(now, a.payer, cost)
	c.pool.clients.Charge(now, a.claim.Address, cost)
	a.charged = cost
}

// giveBack gives the permit back after the tries: what the origin did tells what it can take.
func (c *call) giveBack(resp *wire.Response, reason flow.Reason, waited time.Duration) {
	permit := &c.account.permit
	c.account.given = true
	switch {
	case resp == nil && originsFault(reason), resp != nil && overloaded(resp.Status):
		permit.Fail()
	case resp != nil && waited > 0:
		permit.Done(waited)
	default:
		permit.Abandon(resp == nil && c.wrote.Load() != 0)
	}
}

// overloaded reports whether a status says that the origin, or what is behind it, has more to do than it can.
func overloaded(status int) bool { return status >= 502 && status <= 504 }

// settle charges the client with what the request has really cost, and remembers how it went.
func (c *call) settle() {
	p, o := c.pool, c.o
	if p.gate == nil {
		return
	}
	c.identify()
	a, now := &c.account, p.now()
	cost := o.OriginTime + time.Duration(o.BytesIn+o.BytesOut)*time.Millisecond/bytesOfMilli - a.charged
	end := admission.Neither
	switch {
	case o.OriginStatus >= 400 && o.OriginStatus < 500 && o.OriginStatus != 401:
		end = admission.Bad
	case a.calm && o.OriginStatus >= 200 && o.OriginStatus < 400:
		end = admission.Good
	}
	if place := p.clients.Settle(now, a.payer, cost, end); place != 0 {
		p.gate.LeftLine(p.clients.Second(now), place, true)
	}
	p.clients.Charge(now, a.claim.Address, cost)
}

// vouching is how an origin says that a visitor is signed in.
type vouching struct{ header, cookie string }

// noteVouching remembers the sessions for which the origin's answer vouches.
func (c *call) noteVouching(h flow.Header) {
	p := c.pool
	if p.gate == nil || p.vouched == (vouching{}) {
		return
	}
	c.identify()
	a, now := &c.account, p.now()
	if p.vouched.header != "" && h.Has(p.vouched.header) {
		for _, session := range [...]admission.Key{a.claim.Session, a.claim.Cookie} {
			if session != 0 {
				p.clients.Vouch(now, session)
			}
		}
	}
	if p.vouched.cookie == "" {
		return
	}
	for set := range h.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(set, ";")
		p.clients.VouchCookie(now, c.o.Facts.Site, strings.TrimSpace(pair), p.vouched.cookie)
	}
}

// shed tells heat that a visitor was sent away.
func (p *Pool) shed(now time.Time) {
	if p.hotUntil.Load()-now.UnixNano() > int64(heatStays-time.Second) {
		return // it is known
	}
	p.heat.Lock()
	defer p.heat.Unlock()
	p.heat.shed(now)
	p.publish(now)
}

// Gate is what admits forwards to the pool; nil when the policy turns admission off.
func (p *Pool) Gate() *admission.Gate { return p.gate }

// Welcome returns the value of a Set-Cookie field that makes the visitor known from other addresses, too; "" for none. It is meant for
// pages that nobody stores.
func (p *Pool) Welcome(f *flow.Facts) string {
	if p.visits == nil || p.gate == nil {
		return ""
	}
	return p.clients.Welcome(p.visits, f)
}
