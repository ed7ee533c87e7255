package policy

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const twoSites = `
sites:
  - hosts: ["*.shop.example", SHOP.example]
    origins: [http://127.0.0.1:3000]
    health: {}
    max_body: 10MB
    timeouts: {response: 30s, idle: 1h}
    tls: {self_signed: true}
    routes:
      - path: /api/*
        timeouts: {idle: 10m}
  - hosts: ["*"]
    origins: [{url: "http://127.0.0.1:3001", weight: 5}]
    health: {}
rules:
  - {name: a, when: "true", then: refuse}
  - {name: b, when: "true", then: hangup}
`

func parsed(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWithDefaults(t *testing.T) {
	p := parsed(t, twoSites)
	before := p.clone()
	q := p.withDefaults(testEnvironment)
	if !reflect.DeepEqual(p, before) {
		t.Error("WithDefaults touched its receiver")
	}
	if again := q.withDefaults(testEnvironment); !reflect.DeepEqual(q, again) {
		t.Error("the defaults of the defaults are others")
	}
	shop, rest := q.Sites[0], q.Sites[1]
	yes := func(b *bool) bool { return b != nil && *b }
	for what, ok := range map[string]bool{
		"listen":             reflect.DeepEqual(q.Listen.HTTP, []string{":80"}) && reflect.DeepEqual(q.Listen.HTTPS, []string{":443"}),
		"connections":        q.Listen.MaxConnections == 50000 && q.Listen.MaxConnectionsPerClient == 1024,
		"site names":         shop.Name == "*.shop.example" && rest.Name == "*",
		"health host":        shop.Health.Host == "shop.example" && rest.Health.Host == "",
		"health":             shop.Health.Path == "/" && shop.Health.Every == Duration(5*time.Second) && shop.Health.Timeout == Duration(2*time.Second) && shop.Health.Status == "200-399",
		"route":              shop.Routes[0].Name == "/api/*" && shop.Routes[0].MaxBody == 1e7,
		"route timeouts":     shop.Routes[0].Timeouts.Idle == Duration(10*time.Minute) && shop.Routes[0].Timeouts.Response == Duration(30*time.Second),
		"route connect":      shop.Routes[0].Timeouts.Connect == Duration(3*time.Second) && shop.Timeouts.Connect == Duration(3*time.Second),
		"written timeouts":   shop.Timeouts.Response == Duration(30*time.Second) && shop.Timeouts.Idle == Duration(time.Hour),
		"other timeouts":     rest.Timeouts.Head == Duration(10*time.Second) && rest.Timeouts.KeepAlive == Duration(75*time.Second) && rest.Timeouts.MinRate == 240,
		"weights":            shop.Origins[0].Weight == 1 && rest.Origins[0].Weight == 5,
		"preserve host":      yes(shop.PreserveHost) && yes(rest.PreserveHost),
		"redirect":           yes(shop.TLS.Redirect) && rest.TLS == nil,
		"limits":             reflect.DeepEqual(q.Limits, []Limit{DefaultLimit()}),
		"status":             q.Rules[0].Status == 403 && q.Rules[1].Status == 0,
		"words":              shop.Balance == LeastConnections && q.OnError == OnErrorAdmit && q.Log.Format == LogAuto && q.Log.Level == "info",
		"log":                q.Log.FirstRefusals == 20 && q.Log.MaxRate == 1<<20 && q.Log.Access == 0,
		"memory, admin":      q.LimitTable.Memory == 64<<20 && q.Admin.Listen == "127.0.0.1:2112",
		"data, grace, trust": q.Data == "/var/lib/stormdoor" && q.Grace == Duration(30*time.Second) && q.Trust.Header == "x-forwarded-for",
	} {
		if !ok {
			t.Errorf("%s: not the promised default: %+v", what, q)
		}
	}
}

func TestWithDefaultsSharesNothing(t *testing.T) {
	p := parsed(t, twoSites)
	q := p.WithDefaults()
	q.Sites[0].Hosts[0], q.Sites[0].TLS.SelfSigned, q.Sites[0].Routes[0].Path, q.Rules[0].Name = "changed", false, "/changed", "changed"
	if p.Sites[0].Hosts[0] != "*.shop.example" || !p.Sites[0].TLS.SelfSigned || p.Sites[0].Routes[0].Path != "/api/*" || p.Rules[0].Name != "a" {
		t.Errorf("a change of the result changed the receiver: %+v", p)
	}
}

func TestDefaultsFollowTheEnvironment(t *testing.T) {
	env := map[string]string{"XDG_DATA_HOME": "/home/a/data", "HOME": "/home/a"}
	high := environment{getenv: func(n string) string { return env[n] }, mayBind: func(int) bool { return false }}
	q := parsed(t, twoSites).withDefaults(high)
	if q.Listen.HTTP[0] != ":8080" || q.Listen.HTTPS[0] != ":8443" || q.Data != "/home/a/data/stormdoor" {
		t.Errorf("http %v, https %v, data %s", q.Listen.HTTP, q.Listen.HTTPS, q.Data)
	}
	delete(env, "XDG_DATA_HOME")
	if got := dataFolder(high.getenv); got != "/home/a/.local/share/stormdoor" {
		t.Errorf("data = %s", got)
	}
	env["STATE_DIRECTORY"] = "/var/lib/a:/var/lib/b"
	if got := dataFolder(high.getenv); got != "/var/lib/a" {
		t.Errorf("data = %s", got)
	}
	if q := parsed(t, "sites: [{hosts: ['*'], origins: ['http://127.0.0.1:3000']}]").withDefaults(high); q.Listen.HTTPS != nil {
		t.Errorf("https = %v without tls", q.Listen.HTTPS)
	}
}

func TestBurstDefault(t *testing.T) {
	for _, c := range []struct {
		rate Rate
		want Amount
	}{
		{Rate{100, time.Second}, 1000}, {Rate{600, time.Minute}, 100}, {Rate{1, day}, 1}, {Rate{10, time.Minute}, 1}, {Rate{math.MaxInt64, time.Second}, math.MaxInt64},
		{Rate{math.MaxInt64, 10 * time.Second}, math.MaxInt64}, {Rate{}, 1}, {Rate{math.MaxInt64, time.Nanosecond}, math.MaxInt64},
	} {
		if got := c.rate.in(10 * time.Second); got != c.want {
			t.Errorf("%v gives %d in ten seconds, want %d", c.rate, got, c.want)
		}
	}
}

func TestDefault(t *testing.T) {
	p, err := Default("http://localhost:3000")
	if err != nil {
		t.Fatal(err)
	}
	if p.Listen.HTTP[0] != "127.0.0.1:8080" || p.Sites[0].Hosts[0] != "*" || p.Sites[0].Origins[0].URL != "http://localhost:3000" {
		t.Errorf("Default = %+v", p)
	}
	for origin, want := range map[string]string{
		"localhost:3000": `did you mean "http://localhost:3000"?`, "": "is missing", "http://a/b": "has a path", "http://127.0.0.1:8080": "this door itself",
	} {
		if _, err := Default(origin); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Default(%q): %v, want %q on one line", origin, err, want)
		}
	}
}

func TestAddress(t *testing.T) {
	for url, want := range map[string][4]any{
		"http://127.0.0.1:3000":  {"tcp", "127.0.0.1:3000", false, false},
		"http://localhost":       {"tcp", "localhost:80", false, false},
		"https://Shop.Internal":  {"tcp", "shop.internal:443", true, false},
		"h2c://[::1]:50051":      {"tcp", "[::1]:50051", false, true},
		"h2://[2001:db8:0::1]":   {"tcp", "[2001:db8::1]:443", true, true},
		"HTTP://bücher.example:": {"tcp", "xn--bcher-kva.example:80", false, false},
		"unix:/run/shop.sock":    {"unix", "/run/shop.sock", false, false},
		"unix+h2c:/run/a b.sock": {"unix", "/run/a b.sock", false, true},
	} {
		network, address, tls, http2, err := Origin{URL: url}.Address()
		if got := [4]any{network, address, tls, http2}; err != nil || got != want {
			t.Errorf("%s = %v, %v: want %v", url, got, err, want)
		}
	}
	for _, url := range []string{"", "http:", "http:///", "unix:", "unix://run/a", "unix:/", "http://a:0", "http://a:-1", "http://a?b", "http://a#b", "http://a#", "http://a?", "tcp://a:1", "//a:1", "http://a_b c"} {
		if _, _, _, _, err := (Origin{URL: url}).Address(); err == nil || err.Error() == "" {
			t.Errorf("%q: no error", url)
		}
	}
	if _, _, _, _, err := (Origin{URL: "http://user:secret@a"}).Address(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells a password: %v", err)
	}
}

func TestStatusRange(t *testing.T) {
	for text, want := range map[string][2]int{"": {200, 399}, "204": {204, 204}, "200-299": {200, 299}} {
		if low, high, err := (Health{Status: text}).StatusRange(); err != nil || low != want[0] || high != want[1] {
			t.Errorf("%q = %d-%d, %v", text, low, high, err)
		}
	}
}

func TestLoadTellsWhichFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yaml")
	var all *Errors
	if _, err := Load(missing); !errors.Is(err, os.ErrNotExist) || errors.As(err, &all) || !strings.Contains(err.Error(), missing) {
		t.Errorf("err = %v", err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder was read as a policy")
	}
}

func TestEmbeddedNeedsNoOrigins(t *testing.T) {
	const text = "sites: [{hosts: [shop.example]}]"
	if _, err := Parse("a.yaml", []byte(text)); err == nil {
		t.Error("Parse takes a site without origins")
	}
	p, err := ParseEmbedded("a.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Errorf("Validate: %v", err)
	}
}

func TestValidateWithoutAFile(t *testing.T) {
	p := &Policy{Sites: []Site{{Hosts: []string{"a.example", "b/c"}, Origins: []Origin{{URL: "x"}}}}, Limits: []Limit{{Name: "a"}}, Grace: -1}
	err := p.Validate()
	for _, want := range []string{"sites[0].hosts[1]: ", "sites[0].origins[0].url: ", "limits[0].rate: is missing", "grace: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := (&Policy{}).Validate(); err == nil || !strings.Contains(err.Error(), "sites: is missing") {
		t.Errorf("the empty policy: %v", err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	text := "sites:\n" + strings.Repeat("  - {hots: [a]}\n", 500)
	_, err := Parse("many.yaml", []byte(text))
	var all *Errors
	if !errors.As(err, &all) || len(all.Problems) != maxProblems || all.More == 0 {
		t.Fatalf("%d problems and %d more, want %d and some", len(all.Problems), all.More, maxProblems)
	}
	if !strings.Contains(err.Error(), "more") {
		t.Error("the text does not say that there are more")
	}
}

func TestDescribeOfASmallPolicyIsShort(t *testing.T) {
	var b strings.Builder
	parsed(t, twoSites).Describe(&b)
	if n := strings.Count(b.String(), "\n"); n > 40 {
		t.Errorf("%d lines:\n%s", n, b.String())
	}
}
