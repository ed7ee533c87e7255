package policy

import (
	"cmp"
	"encoding"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultLimit is the limit that is in force when a policy says nothing about limits. It acts only while an origin is in
// trouble: 50 requests a second of one client, 3000 (a minute of it) at once.
func DefaultLimit() Limit {
	return Limit{
		Name: "default", By: ByClient, Charge: ChargeRequests, Rate: Rate{50, time.Second}, Burst: 3000,
		Over: OverRefuse, MaxWait: Duration(5 * time.Second), MaxQueue: 1000, While: Hot,
	}
}

// WithDefaults returns a policy in which every default is filled in and names are in their one spelling. The receiver is
// not touched, and the new policy shares nothing with it. What has no default (an absent health check, an unset bound)
// stays zero; the timeouts and max_body of a route are filled in from its site, its origins stay empty where it has none
// of its own. It looks at the environment for data and at what this process may bind for listen.
func (p *Policy) WithDefaults() *Policy { return p.withDefaults(thisProcess()) }

// environment is what defaults depend on outside of the policy.
type environment struct {
	getenv  func(string) string
	mayBind func(port int) bool
}

func (p *Policy) withDefaults(env environment) *Policy {
	q := p.clone()
	q.normalise(func(string, error) {})
	if q.Limits == nil {
		q.Limits = []Limit{DefaultLimit()}
	}
	fill(reflect.ValueOf(q).Elem())
	for i := range q.Sites {
		q.Sites[i].fill(&q.WAF)
	}
	for i := range q.Limits {
		l := &q.Limits[i]
		if l.Burst == 0 {
			l.Burst = l.Rate.in(10 * time.Second)
		}
	}
	for i := range q.Rules {
		if q.Rules[i].Then != RuleRefuses {
			q.Rules[i].Status = 0
		}
	}
	q.listenDefaults(env)
	if q.WAF.Detect == 0 {
		q.WAF.Detect = q.WAF.Paranoia
	}
	if q.Data == "" {
		q.Data = dataFolder(env.getenv)
	}
	return q
}

func (p *Policy) listenDefaults(env environment) {
	if p.Listen.HTTP == nil {
		p.Listen.HTTP = []string{":80"}
		if !env.mayBind(80) {
			p.Listen.HTTP = []string{":8080"}
		}
	}
	if p.Listen.HTTPS == nil && slices.ContainsFunc(p.Sites, func(s Site) bool { return s.TLS != nil }) {
		p.Listen.HTTPS = []string{":443"}
		if !env.mayBind(443) {
			p.Listen.HTTPS = []string{":8443"}
		}
	}
}

// fill sets the fields that are zero to what their default tags say, inside of lists and pointers too.
func fill(v reflect.Value) {
	for i, tag := range fieldsOf(v.Type()) {
		f := v.Field(i)
		if v.Type() == reflect.TypeFor[Route]() && (f.Type() == reflect.TypeFor[Timeouts]() || f.Type() == reflect.TypeFor[CacheRules]()) {
			continue // the site's are the default
		}
		switch {
		case tag.def != "":
			if f.IsZero() {
				setText(f, tag.def)
			}
		case f.Kind() == reflect.Pointer && !f.IsNil():
			fill(f.Elem())
		case isMapping(f.Type()):
			fill(f)
		case f.Kind() == reflect.Slice && isMapping(f.Type().Elem()):
			for j := range f.Len() {
				fill(f.Index(j))
			}
		}
	}
}

// fill sets the defaults of a site that depend on other fields of it, and on the mode of the firewall.
func (s *Site) fill(waf *WAF) {
	s.Name = s.title()
	if s.WAF == "" {
		s.WAF = waf.Mode
	}
	if s.Leaks == "" {
		s.Leaks = waf.Leaks
	}
	if s.Health != nil && s.Health.Host == "" {
		for _, h := range s.Hosts {
			if !strings.Contains(h, "*") {
				s.Health.Host = h
				break
			}
		}
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		r.Name = r.title()
		if r.MaxBody == 0 {
			r.MaxBody = s.MaxBody
		}
		if r.WAF == "" {
			r.WAF = s.WAF
		}
		if r.Leaks == "" {
			r.Leaks = s.Leaks
		}
		if r.OpenAPI == "" && s.OpenAPI != nil {
			r.OpenAPI = cmp.Or(s.OpenAPI.Mode, WAFCounts)
		}
		inherit(&r.Timeouts, s.Timeouts)
		inherit(&r.Cache, s.Cache)
	}
}

// inherit fills the zero fields of to in from another value.
func inherit[T any](to *T, from T) {
	f, t := reflect.ValueOf(from), reflect.ValueOf(to).Elem()
	for i := range t.NumField() {
		if t.Field(i).IsZero() {
			t.Field(i).Set(f.Field(i))
		}
	}
}

// in returns how much a rate gives in d, at least 1, rounded down.
func (r Rate) in(d time.Duration) Amount {
	if r.Amount <= 0 || r.Per <= 0 {
		return 1
	}
	high, low := bits.Mul64(uint64(r.Amount), uint64(d))
	if high >= uint64(r.Per) {
		return math.MaxInt64
	}
	n, _ := bits.Div64(high, low, uint64(r.Per))
	return Amount(min(max(n, 1), math.MaxInt64))
}

// dataFolder is where a service keeps its state: what systemd made for it, else the user's (XDG base directory
// specification).
func dataFolder(getenv func(string) string) string {
	if state, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); state != "" {
		return state
	}
	if data := getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "stormdoor")
	}
	home := getenv("HOME")
	if home == "" {
		return filepath.Join("/var/lib", "stormdoor")
	}
	return filepath.Join(home, ".local", "share", "stormdoor")
}

func thisProcess() environment {
	return environment{getenv: os.Getenv, mayBind: mayBind}
}

// mayBind reports whether this process may bind a low port: on Linux from ip_unprivileged_port_start on, or with
// CAP_NET_BIND_SERVICE.
func mayBind(port int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	if start, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(start))); err == nil && port >= n {
			return true
		}
	}
	const netBindService = 10 // linux/capability.h
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return os.Geteuid() == 0
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return err == nil && caps&(1<<netBindService) != 0
		}
	}
	return os.Geteuid() == 0
}

// clone returns a policy that shares nothing with p.
func (p *Policy) clone() *Policy {
	q := new(Policy)
	copyInto(reflect.ValueOf(q).Elem(), reflect.ValueOf(p).Elem())
	return q
}

// copyInto copies from deeply into to, which has the same type.
func copyInto(to, from reflect.Value) {
	to.Set(from)
	_, text := to.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case text:
	case from.Kind() == reflect.Struct:
		for i := range fieldsOf(from.Type()) {
			copyInto(to.Field(i), from.Field(i))
		}
	case from.Kind() == reflect.Pointer && !from.IsNil():
		to.Set(reflect.New(from.Type().Elem()))
		copyInto(to.Elem(), from.Elem())
	case from.Kind() == reflect.Slice && !from.IsNil():
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			copyInto(to.Index(i), from.Index(i))
		}
	}
}
