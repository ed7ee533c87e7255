package stormdoor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/site"
	"stormdoor/internal/wire"
	"stormdoor/seclang"
)

// InspectRaw asks the firewall about a request as it comes over the wire, HTTP/1.1, read as the door reads it. named is the
// site that it is for, "" for the one that claims its host. A request that cannot be read is no error: see Inspection.Unread.
func (d *Door) InspectRaw(raw []byte, named string) (in Inspection, err error) {
	unread, err := d.readRaw(raw, named, func(v *visit, body []byte) (err error) {
		in, err = v.inspection(body)
		for _, s := range [...]*string{&in.Method, &in.Host, &in.Path, &in.Clean, &in.Query} {
			*s = strings.Clone(*s) // they end with the connection
		}
		return err
	})
	if unread != nil {
		in = Inspection{Refused: true, Status: unread.Status, Reason: flow.RequestMalformed, Unread: unread.Reason}
	}
	return in, err
}

// readRaw reads one request as the door does and calls judge with it, or returns why it cannot be read.
func (d *Door) readRaw(raw []byte, named string, judge func(v *visit, body []byte) error) (unread *wire.MalformedError, err error) {
	chosen, err := d.siteNamed(named)
	if err != nil {
		return nil, err
	}
	err = errors.New("the request is not complete: a head ends with an empty line, and a body is as long as Content-Length says")
	asked := false
	handle := func(ex wire.Exchange) {
		defer ex.Abort()
		if asked {
			return // what follows in the same bytes is another request
		}
		asked = true
		v := d.facts(ex.Conn(), ex.Request(), d.now())
		f := &v.outcome.Facts
		if chosen != nil {
			v.site, f.Site, f.Route = chosen.Policy, chosen.Policy.Name, ""
			if v.route = chosen.Route(f.Path.Clean, f.Method); v.route != nil {
				f.Route = v.route.Name
			}
		}
		body, failed := io.ReadAll(ex.Body())
		switch {
		case failed != nil:
			unread, err = &wire.MalformedError{Status: 400, Reason: failed.Error()}, nil
		case v.site == nil:
			err = fmt.Errorf("no site of the policy claims the host %q: name one with --site", f.Host)
		default:
			err = judge(v, body)
		}
	}
	s := wire.NewServer(wire.ServerConfig{Handle: handle, Unread: func(_ *wire.Conn, _ flow.Proto, e *wire.MalformedError) flow.Header {
		if !asked {
			unread, err = e, nil
		}
		return flow.Header{}
	}})
	defer s.Close()
	s.ServeConn(&saidAll{raw: raw})
	return unread, err
}

// siteNamed finds a site of the policy in force; nil for the name "".
func (d *Door) siteNamed(name string) (*site.Site, error) {
	all := d.deployed.Load().Stable.sites.All()
	i := slices.IndexFunc(all, func(s *site.Site) bool { return s.Policy.Name == name })
	switch {
	case name == "":
		return nil, nil
	case i < 0:
		return nil, fmt.Errorf("the policy has no site %q: its sites are %s", name, siteNames(all))
	}
	return all[i], nil
}

// Weight is what the firewall spends on a request.
type Weight struct {
	Method, Type string // the media type of the body, "" without one
	seclang.Cost
	// Took is the time for one inspection, the mean of several.
	Took time.Duration
	// Scanned is the work of the scan for all rules at once by phase, Alone the work of rules that were evaluated by
	// themselves, and Matched those that matched.
	Scanned [6]int64
	Alone   map[int]int64
	Matched []int
}

// WeighRaw measures what the firewall spends on a request as it comes over the wire, over so many rounds. ok is false for a
// request that cannot be read. See InspectRaw.
func (d *Door) WeighRaw(raw []byte, named string, rounds int) (w Weight, ok bool, err error) {
	w.Alone = map[int]int64{}
	unread, err := d.readRaw(raw, named, func(v *visit, body []byte) error {
		f := &v.outcome.Facts
		stage := v.edition.waf
		if w.Cost, ok = stage.Weigh(f, body, weigher{&w}); !ok {
			return fmt.Errorf("%s %s%s: %w", f.Method, f.Host, f.Path.Raw, ErrFirewallOff)
		}
		w.Method, w.Type = strings.Clone(f.Method), ""
		if len(body) > 0 {
			t, _, _ := strings.Cut(f.Header.Get("Content-Type"), ";")
			w.Type = strings.ToLower(strings.TrimSpace(t))
		}
		began := time.Now()
		for range rounds {
			stage.Weigh(f, body, nil)
		}
		w.Took = time.Since(began) / time.Duration(max(1, rounds))
		return nil
	})
	return w, ok && unread == nil, err
}

// weigher lets a Weight be told on what it is spent. It implements seclang.Observer.
type weigher struct{ of *Weight }

// Scanned implements seclang.Observer.
func (w weigher) Scanned(phase int, work int64) { w.of.Scanned[phase] += work }

// Evaluated implements seclang.Observer.
func (w weigher) Evaluated(r *seclang.Rule, work int64, matched bool) {
	if work > 0 {
		w.of.Alone[r.ID] += work
	}
	if matched && r.Log {
		w.of.Matched = append(w.of.Matched, r.ID)
	}
}

// RuleFiles names the file of each rule in force.
func (d *Door) RuleFiles() map[int]string {
	out := map[int]string{}
	d.deployed.Load().Stable.waf.RuleNames(func(rule int, file string) { out[rule] = file })
	return out
}

// saidAll is a connection whose other end has said all that it has to say.
type saidAll struct{ raw []byte }

func (c *saidAll) Read(p []byte) (int, error) {
	if len(c.raw) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.raw)
	c.raw = c.raw[n:]
	return n, nil
}

func (c *saidAll) Write(p []byte) (int, error) { return len(p), nil }
func (c *saidAll) Close() error                { return nil }
func (c *saidAll) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:80"))
}
func (c *saidAll) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1"))
}
func (c *saidAll) SetDeadline(time.Time) error      { return nil }
func (c *saidAll) SetReadDeadline(time.Time) error  { return nil }
func (c *saidAll) SetWriteDeadline(time.Time) error { return nil }
