package origin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// The policy's defaults for active checks.
const (
	checkEvery   = 5 * time.Second
	checkTimeout = 2 * time.Second
	checkLow     = 200
	checkHigh    = 399
	checkBody    = 64 << 10 // bytes of an answer that a check reads; what is longer costs the connection, not us
)

// check is how origins are checked actively.
type check struct {
	path, host     string
	every, timeout time.Duration
	low, high      int // the range of good statuses
	token          string
}

// newCheck reads the health policy; nil when there is none.
func newCheck(c Config) (*check, error) {
	if c.Health == nil {
		return nil, nil
	}
	h := &check{
		path: cmp.Or(c.Health.Path, "/"), host: cmp.Or(c.Health.Host, firstExact(c.Hosts)),
		every:   cmp.Or(time.Duration(c.Health.Every), checkEvery),
		timeout: cmp.Or(time.Duration(c.Health.Timeout), checkTimeout),
		low:     checkLow, high: checkHigh, token: c.Token,
	}
	if !strings.HasPrefix(h.path, "/") || strings.ContainsAny(h.path, " \t\r\n#") {
		return nil, fmt.Errorf("path: %q is not the path of a URL; write it as /healthz", h.path)
	}
	if c.Health.Status == "" {
		return h, nil
	}
	low, high, both := strings.Cut(c.Health.Status, "-")
	if !both {
		high = low
	}
	var err1, err2 error
	h.low, err1 = strconv.Atoi(strings.TrimSpace(low))
	h.high, err2 = strconv.Atoi(strings.TrimSpace(high))
	if err1 != nil || err2 != nil || h.low < 200 || h.high > 599 || h.low > h.high {
		return nil, fmt.Errorf(`status: %q is not a range of statuses; write it as "200-399" or "204"`, c.Health.Status)
	}
	return h, nil
}

// firstExact returns the first host without a wildcard, "" when there is none.
func firstExact(hosts []string) string {
	for _, h := range hosts {
		if !strings.Contains(h, "*") {
			return h
		}
	}
	return ""
}

// watch checks m until ctx ends. The first check comes at a random time within the first interval, and each interval
// varies by a tenth, so that the checks of many origins and many doors do not fall together.
func (h *check) watch(ctx context.Context, m *member) {
	timer := time.NewTimer(rand.N(h.every))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := h.ask(ctx, m)
		if ctx.Err() != nil {
			return
		}
		h.note(m, err)
		timer.Reset(h.every - h.every/20 + rand.N(h.every/10+1))
	}
}

// note tells the member how a check ended.
func (h *check) note(m *member, err error) {
	now, why := m.pool.now(), ""
	if err != nil {
		why = "health check: " + err.Error()
	}
	m.change(func(c condition) condition { return c.checked(now, err == nil, why) })
}

// ask makes one check. An error says why the origin is not well.
func (h *check) ask(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	r := &wire.Request{Proto: flow.HTTP11, Method: "GET", Target: h.path, Scheme: m.scheme, Authority: cmp.Or(h.host, m.host)}
	r.Header = flow.NewHeader(3)
	r.Header.Add("User-Agent", "stormdoor-health")
	r.Header.Add("Accept", "*/*")
	r.Header.Add(loopField, string(appendLoop(nil, h.token, r)))
	resp, err := m.checker.RoundTrip(ctx, r, nil, nil, wire.Hooks{})
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("no answer within %v: %w", h.timeout, err)
		}
		return err
	}
	defer resp.Body.Close()
	if resp.Stream != nil {
		resp.Stream.Close()
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, checkBody))
	switch {
	case err != nil:
		return fmt.Errorf("the answer broke off: %w", err)
	case resp.Status < h.low || resp.Status > h.high:
		return fmt.Errorf("%s answered GET %s with %d, and not with %d to %d", m.label, h.path, resp.Status, h.low, h.high)
	}
	return nil
}
