package stormdoor

import (
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/internal/gate/answer"
	"stormdoor/internal/loop/observe"
	"stormdoor/internal/wire"
)

// unreadCounts counts requests that could not be read, by what was wrong. The map does not change.
type unreadCounts map[wire.Malformation]*atomic.Int64

func newUnreadCounts(m *observe.Metrics) unreadCounts {
	counts := unreadCounts{}
	for _, class := range wire.Malformations {
		n := new(atomic.Int64)
		counts[class] = n
		m.Count("stormdoor_requests_malformed_total", "Requests that could not be read, by what was wrong.", map[string]string{"class": string(class)},
			func() float64 { return float64(n.Load()) })
	}
	return counts
}

// unreadable writes the outcome of a request that the wire could not read, so that there is no exchange to serve. Nothing
// is known of it but its connection. It returns the fields of the answer, so that a visitor can quote the reference.
func (d *Door) unreadable(c *wire.Conn, proto flow.Proto, err *wire.MalformedError) flow.Header {
	v := d.begin(c, &wire.Request{Proto: proto})
	v.site, v.route = nil, nil
	o := &v.outcome
	o.Facts.Site, o.Facts.Route, o.Facts.Hot = "", "", false
	o.Status, o.Err = err.Status, err.Reason
	reason := flow.RequestMalformed
	switch {
	case err.Class == wire.MalformedSlow:
		reason, o.End = flow.ClientSlow, flow.ClientSlow
	case err.Class == wire.MalformedSize:
		reason = flow.RequestTooLarge
		o.Verdict = flow.Verdict{Action: flow.Refuse, Reason: reason}
	case err.Status == 0:
		o.Verdict = flow.Verdict{Action: flow.Hangup, Reason: reason}
	default:
		o.Verdict = flow.Verdict{Action: flow.Refuse, Reason: reason}
	}
	d.unread[err.Class].Add(1)
	h := flow.NewHeader(2)
	answer.Mark(&h, reason, o.Facts.ID)
	d.record(v)
	return h
}
