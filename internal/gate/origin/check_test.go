package origin

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// checkedPool is a pool over origins and their checkers, in the order of the origins.
func checkedPool(t *testing.T, log *syncLog, h policy.Health, origins, checkers []*fakeOrigin) *Pool {
	made := map[string]bool{}
	return script(t, func(c *Config) {
		c.Health, c.Log = &h, log.logger()
		c.NewUpstream = func(u wire.UpstreamConfig) wire.Upstream {
			i := u.Address[1] - '0'
			if !made[u.Address] {
				made[u.Address] = true
				return origins[i]
			}
			return checkers[i]
		}
	}, origins...)
}

// runs starts p.Run and returns what ends it.
func runs(p *Pool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestChecksTakeOutAndLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncLog
		good, bad := answers(204, ""), fails(wire.FaultDial, true)
		a, b := plays(answers(200, "a")), plays(answers(200, "b"))
		sick := plays(good, bad, bad, bad, bad, good, good, good, good, good, good)
		p := checkedPool(t, &log, policy.Health{Path: "/up", Status: "200-299"}, []*fakeOrigin{a, b}, []*fakeOrigin{plays(good), sick})
		stop := runs(p)
		defer stop()
		time.Sleep(4 * 5500 * time.Millisecond) // 4 checks at the latest
		if s := p.Status(); !s[0].Up || s[1].Up || !strings.Contains(s[1].Why, "health check") {
			t.Fatalf("%+v", s)
		}
		for range 20 {
			p.Forward(visitor("GET", "/"), facts())
		}
		if a.count() != 20 || b.count() != 0 {
			t.Errorf("the origin that is out got %d of 20", b.count())
		}
		time.Sleep(4 * 5500 * time.Millisecond)
		if s := p.Status(); !s[1].Up || s[1].Why != "" {
			t.Fatalf("it must be back: %+v", s[1])
		}
		if got := log.String(); strings.Count(got, "\n") != 2 {
			t.Errorf("want one line out and one line back:\n%s", got)
		}
		q := sick.asked[0].req
		if q.Method != "GET" || q.Target != "/up" || q.Authority != "shop.example" || !looped(&q, testToken) {
			t.Errorf("asked %+v", q)
		}
	})
}

func TestChecksThatAreWrongRefuseNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncLog
		a, b := plays(answers(200, "a")), plays(answers(200, "b"))
		wrong := plays(answers(404, "no such page"))
		p := checkedPool(t, &log, policy.Health{}, []*fakeOrigin{a, b}, []*fakeOrigin{wrong, wrong})
		defer runs(p)()
		time.Sleep(time.Minute)
		for range 20 {
			if r := p.Forward(visitor("GET", "/"), facts()); r != "" {
				t.Fatal(r)
			}
		}
		if a.count() != 10 || b.count() != 10 {
			t.Errorf("%d and %d of 20: both are asked when all checks fail", a.count(), b.count())
		}
		if s := p.Status(); s[0].Up || s[1].Up {
			t.Errorf("the status must show it: %+v", s)
		}
	})
}

func TestEjectedOriginComesBackByOneTrial(t *testing.T) {
	now := time.Unix(1000, 0)
	var log syncLog
	dead := fails(wire.FaultDial, true)
	a, b := plays(answers(200, "a")), plays(dead, dead, dead, dead, answers(200, "b"))
	p := script(t, func(c *Config) {
		c.Balance, c.Now, c.Log = policy.RoundRobin, func() time.Time { return now }, log.logger()
	}, a, b)
	send := func(n int) {
		for range n {
			if r := p.Forward(visitor("GET", "/"), facts()); r != "" {
				t.Fatal(r)
			}
		}
	}
	send(20)
	if b.count() != 3 {
		t.Fatalf("a dead origin was asked %d times, want 3", b.count())
	}
	now = now.Add(ejectFirst)
	send(10)
	if b.count() != 4 {
		t.Fatalf("half open: asked %d times, want one trial", b.count()-3)
	}
	now = now.Add(2 * ejectFirst)
	send(10)
	if n := b.count(); n < 8 {
		t.Errorf("after a good trial it must get its share again, got %d", n-4)
	}
	if got := log.String(); strings.Count(got, "\n") != 2 {
		t.Errorf("want one line out and one line back:\n%s", got)
	}
}

func TestCheckOfAStoppedOriginEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := plays(func(ctx context.Context, _ *wire.Request, _ io.Reader, _ wire.Hooks) (*wire.Response, error) {
			<-ctx.Done()
			return nil, &wire.UpstreamError{Fault: wire.FaultCanceled, Err: ctx.Err()}
		})
		var log syncLog
		p := checkedPool(t, &log, policy.Health{Every: policy.Duration(time.Second), Timeout: policy.Duration(100 * time.Millisecond)}, []*fakeOrigin{plays(answers(200, ""))}, []*fakeOrigin{hangs})
		stop := runs(p)
		time.Sleep(10 * time.Second)
		stop()
		if s := p.Status()[0]; s.Up || !strings.Contains(s.Why, "no answer within 100ms") || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestConfigErrors(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`site "shop": it has no origin`:                                               func(c *Config) { c.Origins = nil },
		`site "shop": origin 1 (ftp://x): url: "ftp://x" has no scheme that is known`: func(c *Config) { c.Origins[0].URL = "ftp://x" },
		`url: "http://x/path" has more than a host and a port`:                        func(c *Config) { c.Origins[0].URL = "http://x/path" },
		`url: "http://" names no host`:                                                func(c *Config) { c.Origins[0].URL = "http://" },
		`url: "unix:app.sock" has no absolute path`:                                   func(c *Config) { c.Origins[0].URL = "unix:app.sock" },
		`origin 1 (https://x): ca: the file cannot be read`:                           func(c *Config) { c.Origins[0] = policy.Origin{URL: "https://x", CA: "/nowhere.pem"} },
		`ca: check_test.go holds no certificate`:                                      func(c *Config) { c.Origins[0] = policy.Origin{URL: "h2://x", CA: "check_test.go"} },
		`certificate and key belong together`:                                         func(c *Config) { c.Origins[0] = policy.Origin{URL: "https://x", Key: "k.pem"} },
		`certificate check_test.go, key check_test.go: the pair cannot be used`: func(c *Config) {
			c.Origins[0] = policy.Origin{URL: "https://x", Key: "check_test.go", Certificate: "check_test.go"}
		},
		`site "shop": health: status: "200-99" is not a range of statuses`:               func(c *Config) { c.Health = &policy.Health{Status: "200-99"} },
		`site "shop": health: path: "up" is not the path of a URL; write it as /healthz`: func(c *Config) { c.Health = &policy.Health{Path: "up"} },
		`site "shop": the loop token has 0 characters`:                                   func(c *Config) { c.Token = "" },
	} {
		c := Config{Site: "shop", Token: testToken, Origins: []policy.Origin{{URL: "http://o0:80"}}, NewUpstream: func(wire.UpstreamConfig) wire.Upstream { return plays() }}
		change(&c)
		p, err := New(c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if p != nil {
			t.Errorf("%s: a pool all the same", want)
		}
	}
	_, err := New(Config{Site: "shop", Token: testToken, Origins: []policy.Origin{{URL: "a"}, {URL: "b"}}})
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 2 {
		t.Errorf("want all errors at once, got %v", err)
	}
}

func TestTargets(t *testing.T) {
	for url, want := range map[string]target{
		"http://app":                {network: "tcp", address: "app:80", label: "app:80", host: "app", scheme: "http"},
		"http://127.0.0.1:3000/":    {network: "tcp", address: "127.0.0.1:3000", label: "127.0.0.1:3000", host: "127.0.0.1:3000", scheme: "http"},
		"http://[::1]:80":           {network: "tcp", address: "[::1]:80", label: "[::1]:80", host: "[::1]", scheme: "http"},
		"h2c://app:50051":           {network: "tcp", address: "app:50051", label: "app:50051", host: "app:50051", scheme: "http", http2: true},
		"unix:/run/app.sock":        {network: "unix", address: "/run/app.sock", label: "unix:/run/app.sock", host: "localhost", scheme: "http"},
		"unix+h2c:/run/app.sock":    {network: "unix", address: "/run/app.sock", label: "unix:/run/app.sock", host: "localhost", scheme: "http", http2: true},
		"https://app.internal:8443": {network: "tcp", address: "app.internal:8443", label: "app.internal:8443", host: "app.internal:8443", scheme: "https"},
	} {
		got, err := parseTarget(policy.Origin{URL: url})
		if err != nil {
			t.Error(err)
		}
		if (got.tls != nil) != (want.scheme == "https") {
			t.Errorf("%s: TLS %v", url, got.tls)
		}
		if got.tls = nil; got != want {
			t.Errorf("%s: %+v, want %+v", url, got, want)
		}
	}
	for o, want := range map[policy.Origin]string{{URL: "https://app:1"}: "app", {URL: "h2://app:1", ServerName: "other"}: "other"} {
		if got, err := parseTarget(o); err != nil || got.tls.ServerName != want {
			t.Errorf("%s: server name %q, %v", o.URL, got.tls.ServerName, err)
		}
	}
}

func TestHostToTheOrigin(t *testing.T) {
	for _, tt := range []struct {
		preserve        bool
		authority, want string
	}{{true, "shop.example", "shop.example"}, {false, "shop.example", "o0"}, {true, "", "o0"}} {
		u := plays(answers(200, ""))
		ex := visitor("GET", "/")
		ex.req.Authority = tt.authority
		script(t, func(c *Config) { c.PreserveHost = tt.preserve }, u).Forward(ex, facts())
		if got := u.asked[0].req.Authority; got != tt.want {
			t.Errorf("preserve %v, asked for %q: the origin is asked for %q, want %q", tt.preserve, tt.authority, got, tt.want)
		}
	}
}

func TestRunWithoutChecksOnlyWaits(t *testing.T) {
	p := script(t, nil, plays(answers(200, "")))
	stop := runs(p)
	if r := p.Forward(visitor("GET", "/"), facts()); r != flow.Reason("") {
		t.Error(r)
	}
	stop()
}
