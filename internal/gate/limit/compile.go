package limit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/state"
)

const (
	defaultWait = 5 * time.Second
	// leastOverdraft bounds what one long download or slow request can cost its client: the debt beyond the burst is
	// at most an hour, or as long as the burst takes to refill if that is more.
	leastOverdraft = time.Hour
	// usPerMs scales origin time: it is counted in microseconds, so that many short requests are not for free.
	usPerMs = 1000
)

// factors are what the rate of each breadth is multiplied by.
var factors = [state.Broadest + 1]int64{1, 16, 64, 1024}

// limit is a compiled policy.Limit.
type limit struct {
	name    string
	sites   []string
	routes  []string
	methods []string
	paths   []path

	by     keyKind
	header string // of byHeader
	sip    sipKey
	salt   uint64
	charge charge
	all    bool // it is for all requests of its sites
	reason flow.Reason
	rates  [len(factors)]state.Rate // by breadth
	quota  Quota
	hot    bool
	dry    bool
}

type path struct {
	text   string // without the "*" of a prefix
	prefix bool
}

func compile(given []policy.Limit, secret [32]byte) ([]*limit, error) {
	var limits []*limit
	var errs []error
	seen := map[string]bool{}
	for i, g := range given {
		name := fmt.Sprintf("limit %q", g.Name)
		if g.Name == "" {
			name = fmt.Sprintf("limit number %d", i+1)
			errs = append(errs, fmt.Errorf("%s has no name: give it one, verdicts and headers show it", name))
		} else if seen[g.Name] {
			errs = append(errs, fmt.Errorf("%s is given twice: rename one of them", name))
		}
		seen[g.Name] = true
		l, err := compileOne(&g)
		if err != nil {
			errs = append(errs, policy.Of(name, policy.Item("limits", i), err))
			continue
		}
		l.sip = deriveKey(secret, g.Name)
		l.salt = l.sip.text(textDomain, "salt")
		limits = append(limits, l)
	}
	return limits, errors.Join(errs...)
}

func compileOne(g *policy.Limit) (*limit, error) {
	l := &limit{
		name:    g.Name,
		sites:   slices.Clone(g.Sites),
		routes:  slices.Clone(g.Routes),
		methods: slices.Clone(g.Methods),
		dry:     g.DryRun,
	}
	for _, p := range g.Paths {
		text, prefix := strings.CutSuffix(p, "*")
		l.paths = append(l.paths, path{text, prefix})
	}
	l.all = len(g.Routes) == 0 && len(g.Methods) == 0 && len(g.Paths) == 0
	errs := []error{l.setKey(cmp.Or(g.By, policy.ByClient)), l.setCharge(cmp.Or(g.Charge, policy.ChargeRequests))}
	switch g.While {
	case "", policy.Always:
	case policy.Hot:
		l.hot = true
	default:
		errs = append(errs, fmt.Errorf("while is %q: write always or hot", g.While))
	}
	patience, err := patience(g)
	errs = append(errs, err, l.setRates(g, patience))
	return l, errors.Join(errs...)
}

// keyKind is a policy.LimitKey as a number: a decision compares no texts.
type keyKind uint8

const (
	byClient keyKind = iota
	byCredential
	byHost
	byPath
	byJA4
	byHeader
)

var keyKinds = map[policy.LimitKey]keyKind{
	policy.ByClient: byClient, policy.ByCredential: byCredential, policy.ByHost: byHost, policy.ByPath: byPath, policy.ByJA4: byJA4,
}

func (l *limit) setKey(by policy.LimitKey) (err error) {
	name, header := strings.CutPrefix(string(by), "header:")
	kind, known := keyKinds[by]
	switch {
	case known:
		l.by = kind
	case header && name != "":
		l.by, l.header = byHeader, name
	default:
		err = fmt.Errorf("by is %q: write client, credential, host, path, ja4 or header:NAME", by)
	}
	return err
}

// charge is a policy.Charge as a number.
type charge uint8

const (
	requests charge = iota
	bytes
	originTime
	inspection
)

func (l *limit) setCharge(c policy.Charge) error {
	switch c {
	case policy.ChargeRequests:
		l.charge, l.reason, l.quota.Unit = requests, flow.LimitRate, "requests"
	case policy.ChargeBytes:
		l.charge, l.reason, l.quota.Unit = bytes, flow.LimitBytes, "content-bytes"
	case policy.ChargeOriginTime:
		l.charge, l.reason, l.quota.Unit = originTime, flow.LimitOriginTime, "origin-milliseconds"
	case policy.ChargeInspection:
		l.charge, l.reason, l.quota.Unit = inspection, flow.LimitInspection, "inspection-milliseconds"
	default:
		return fmt.Errorf("charge is %q: write requests, bytes, origin_time or inspection", c)
	}
	return nil
}

func patience(g *policy.Limit) (time.Duration, error) {
	if g.MaxWait < 0 {
		return 0, fmt.Errorf("max_wait is %v: it must not be negative", time.Duration(g.MaxWait))
	}
	switch g.Over {
	case "", policy.OverRefuse:
		return 0, nil
	case policy.OverThrottle, policy.OverQueue:
		return cmp.Or(time.Duration(g.MaxWait), defaultWait), nil
	}
	return 0, fmt.Errorf("over is %q: write refuse, throttle or queue", g.Over)
}

// setRates compiles the rate for every breadth, and the quota.
func (l *limit) setRates(g *policy.Limit, patience time.Duration) error {
	amount, burst := int64(g.Rate.Amount), int64(g.Burst)
	if burst == 0 && amount > 0 && g.Rate.Per > 0 {
		tenSeconds := float64(amount) * float64(10*time.Second) / float64(g.Rate.Per)
		burst = max(1, int64(min(tenSeconds, math.MaxInt64/2)))
	}
	scale := int64(1)
	if l.charge == originTime || l.charge == inspection {
		scale = usPerMs
	}
	q := state.Quota{Amount: times(amount, scale), Per: g.Rate.Per, Burst: times(burst, scale), Patience: patience}
	plain, err := state.NewRate(q)
	if err != nil {
		return err
	}
	if l.charge != requests {
		q.Overdraft = max(leastOverdraft, plain.Refill())
	}
	for b, factor := range factors {
		wide := q
		wide.Amount, wide.Burst = times(q.Amount, factor), times(q.Burst, factor)
		if l.rates[b], err = state.NewRate(wide); err != nil {
			return err
		}
	}
	l.quota.Amount, l.quota.Window = burst, int64((plain.Refill()+time.Second-1)/time.Second)
	if plain.Refill() < time.Second {
		inSecond := float64(amount) * float64(time.Second) / float64(g.Rate.Per)
		l.quota.Amount, l.quota.Window = int64(min(inSecond, math.MaxInt64/2)), 1
	}
	return nil
}

// times is a product that stays in range; both factors are positive, or the product is the caller's error to find.
func times(a, factor int64) int64 {
	if a > math.MaxInt64/factor {
		return math.MaxInt64
	}
	return a * factor
}

func (l *limit) hasSite(name string) bool { return len(l.sites) == 0 || slices.Contains(l.sites, name) }

// matches reports whether the limit is for such requests; the site has been looked at already.
func (l *limit) matches(f *flow.Facts) bool {
	if len(l.routes) > 0 && !slices.Contains(l.routes, f.Route) ||
		len(l.methods) > 0 && !slices.Contains(l.methods, f.Method) {
		return false
	}
	return len(l.paths) == 0 || slices.ContainsFunc(l.paths, func(p path) bool { return p.matches(f.Path.Clean) })
}

// matches holds "/api/*" to match "/api/x" and "/api" too, as routes do.
func (p path) matches(clean string) bool {
	if !p.prefix {
		return clean == p.text
	}
	return strings.HasPrefix(clean, p.text) || strings.HasSuffix(p.text, "/") && clean == p.text[:len(p.text)-1]
}

// cost is what a request that has ended costs, 0 for limits of requests.
func (l *limit) cost(o *flow.Outcome) int64 {
	switch l.charge {
	case bytes:
		return max(0, o.BytesIn) + max(0, o.BytesOut)
	case originTime:
		return o.OriginTime.Microseconds()
	case inspection:
		return o.Work / 1000
	}
	return 0
}

// objects reports whether an answer stands against letting the request pass at once.
func objects(a state.Answer) bool {
	return a.Finding == state.Exceeds || a.Finding == state.Conforms && a.Wait > 0
}

// verdict says what follows from an answer that objects.
func (l *limit) verdict(a state.Answer) flow.Verdict {
	v := flow.Verdict{Reason: l.reason, Rule: l.name, Dry: l.dry}
	if a.Finding == state.Exceeds {
		v.Action, v.RetryIn = flow.Refuse, a.Wait
	} else {
		v.Delay = a.Wait
	}
	return v
}
