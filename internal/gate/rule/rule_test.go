package rule

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// visit is a request as a browser sends it.
func visit() *flow.Facts {
	h := flow.NewHeader(12)
	for _, f := range [][2]string{
		{"Host", "shop.example"}, {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, {"Accept-Language", "en-US,en;q=0.5"},
		{"Accept-Encoding", "gzip, deflate, br"}, {"Referer", "https://shop.example/"}, {"Cookie", "theme=dark; session=abc=1"},
		{"Sec-Fetch-Mode", "navigate"}, {"X-Two", "a"}, {"x-two", "b"},
	} {
		h.Add(f[0], f[1])
	}
	return &flow.Facts{
		Site: "shop", Route: "catalogue", Proto: flow.HTTP2, TLS: true, Method: "GET", Host: "shop.example",
		Path:  flow.Path{Raw: "/a//catalogue/list.php/x.css", Clean: "/a/catalogue/list.php/x.css", Script: "/a/catalogue/list.php"},
		Query: "page=2&q=b%C3%A4r+nice&page=3&flag", Header: h, Client: netip.MustParseAddr("198.51.100.7"),
		JA4: "t13d1516h2_8daaf6152771_02713d6af862", Country: "DE", Network: 64500,
	}
}

func rule(when string) policy.Rule {
	return policy.Rule{Name: "r", When: when, Then: policy.RuleRefuses}
}

// The conditions that tests, oracle and fuzzing share, with what they yield for visit.
var conditions = []struct {
	when string
	want bool
}{
	{`true`, true},
	{`method == 'GET'`, true},
	{`method != "GET"`, false},
	{`method in ['PUT', 'DELETE']`, false},
	{`'GET' in ['GET']`, true},
	{`method in ['1', '2', '3', '4', '5', '6', '7', '8', 'GET']`, true},
	{`path.startsWith('/a/catalogue/') && !(method == 'POST' || hot)`, true},
	{`path_raw.contains('//') && path.contains('//') == false`, true},
	{`script.endsWith('.php')`, true},
	{`path.endsWith('.css')`, true},
	{`path.matches('^/a/.*\\.php')`, true},
	{`matches(path, '^/b')`, false},
	{`tls && proto == 'HTTP/2'`, true},
	{`tls != hot`, true},
	{`hot ? method == 'GET' : site == 'shop'`, true},
	{`site == 'shop' && route == 'catalogue' && host == 'shop.example'`, true},
	{`client == '198.51.100.7'`, true},
	{`'198.51.100.8' != client`, true},
	{`client.startsWith('198.51.')`, true},
	{`client in ['192.0.2.1', '198.51.100.7']`, true},
	{`client_in('10.0.0.0/8', '198.51.100.0/24')`, true},
	{`client_in('10.0.0.0/8')`, false},
	{`client_in('198.51.100.7')`, true},
	{`client_in('2001:db8::/32') || client_in('192.0.2.0/24')`, false},
	{`country in ['DE', 'FR'] && network == 64500`, true},
	{`country == ''`, false},
	{`network in [1, 64500, 3]`, true},
	{`ja4.startsWith('t13d')`, true},
	{`length == 0`, true},
	{`length > 1000 || length <= -1 || length < 0 || length >= 1`, false},
	{`user_agent.contains('Firefox')`, true},
	{`user_agent.lowerAscii().contains('firefox')`, true},
	{`header('User-Agent').lowerAscii() == user_agent.lowerAscii()`, true},
	{`(method + '').lowerAscii() == 'get'`, true},
	{`header('accept-LANGUAGE') == 'en-US,en;q=0.5'`, true},
	{`has_header('X-Two') && header('x-two') == 'a'`, true},
	{`headers('x-two').exists(v, v == 'b')`, true},
	{`headers('x-two').all(v, v == 'b')`, false},
	{`size(headers('x-two')) == 2`, true},
	{`has_header('x-none') || header('x-none') != ''`, false},
	{`cookie('session') == 'abc=1' && has_cookie('theme')`, true},
	{`has_cookie('Theme')`, false},
	{`cookies('theme') == ['dark']`, true},
	{`query_param('page') == '2'`, true},
	{`query_param('q') == 'bär nice'`, true},
	{`query_params('page').exists(v, v == '3')`, true},
	{`has_query_param('flag') && query_param('flag') == ''`, true},
	{`has_query_param('fla')`, false},
	{`query.contains('%C3')`, true},
	{`size(path) == 27 && path.size() > size('x')`, true},
	{`['/a/', '/b/'].exists(p, path.startsWith(p))`, true},
	{`['/a/'].exists(path, path == '/a/')`, true},
	{`path < '/b' && path <= '/b' && '/b' > path && '/b' >= path`, true},
	{`method.contains(method) && path.startsWith(method) == false && path.endsWith(path)`, true},
	{`length + 1 == 1`, true},
	{`headers('x-two').exists_one(v, v == 'b')`, true},
	{`headers('x-two').filter(v, v != 'a') == ['b']`, true},
	{`headers('x-two').map(v, v + '!') == ['a!', 'b!']`, true},
	{`true && tls && tls && tls`, true},
}

func TestConditions(t *testing.T) {
	for _, c := range conditions {
		s, err := New([]policy.Rule{rule(c.when)}, Options{Budget: 1 << 40})
		if err != nil {
			t.Errorf("%s: %v", c.when, err)
			continue
		}
		v, err := s.Decide(context.Background(), visit())
		if err != nil || v.Sure() != c.want {
			t.Errorf("%s = %v, %v; want %v", c.when, v.Sure(), err, c.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	yes, no := "tls", "!tls"
	allow := policy.Rule{Name: "allow", When: yes, Then: policy.RuleAllows}
	refuse := policy.Rule{Name: "refuse", When: yes, Then: policy.RuleRefuses}
	teapot := policy.Rule{Name: "teapot", When: yes, Then: policy.RuleRefuses, Status: 418}
	hangup := policy.Rule{Name: "hangup", When: yes, Then: policy.RuleHangsUp}
	miss := policy.Rule{Name: "miss", When: no, Then: policy.RuleHangsUp}
	dry := func(r policy.Rule) policy.Rule { r.DryRun = true; return r }
	cases := []struct {
		name  string
		rules []policy.Rule
		want  flow.Verdict
	}{
		{"none", nil, flow.Verdict{}},
		{"no match", []policy.Rule{miss}, flow.Verdict{}},
		{"allow", []policy.Rule{miss, allow, refuse}, flow.Verdict{Action: flow.Admit, Reason: flow.RuleMatch, Rule: "allow"}},
		{"refuse", []policy.Rule{refuse, allow}, flow.Verdict{Action: flow.Refuse, Reason: flow.RuleMatch, Rule: "refuse", Status: 403}},
		{"status", []policy.Rule{teapot}, flow.Verdict{Action: flow.Refuse, Reason: flow.RuleMatch, Rule: "teapot", Status: 418}},
		{"hangup", []policy.Rule{hangup}, flow.Verdict{Action: flow.Hangup, Reason: flow.RuleMatch, Rule: "hangup"}},
		{"first dry", []policy.Rule{dry(hangup), dry(refuse), miss}, flow.Verdict{Action: flow.Hangup, Reason: flow.RuleMatch, Rule: "hangup", Dry: true}},
		{"sure behind dry", []policy.Rule{dry(hangup), allow}, flow.Verdict{Action: flow.Admit, Reason: flow.RuleMatch, Rule: "allow"}},
	}
	for _, c := range cases {
		s, err := New(c.rules, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.Decide(context.Background(), visit()); err != nil || v != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, v, err, c.want)
		}
	}
}

// What operators write every day has to fit into the default budget.
func TestEverydayRulesFitTheBudget(t *testing.T) {
	for _, when := range []string{
		`path.matches('(?i)^/(wp-login\\.php|xmlrpc\\.php|wp-admin|phpmyadmin|vendor/phpunit|cgi-bin|actuator)')`,
		`user_agent.lowerAscii().matches('sqlmap|nikto|nmap|masscan|zgrab|python-requests|go-http-client')`,
		`[path, path_raw, script].exists(p, p.contains('/GetPhpInfo.php'))`,
		`headers('x-forwarded-for').exists(v, v.contains('127.0.0.1'))`,
		`query_params('page').all(v, v.matches('^[0-9]{1,6}$'))`,
		`query.contains('../') || query.contains('%2e%2e') || cookie('session') == '' && method in ['POST', 'PUT']`,
	} {
		if _, err := New([]policy.Rule{rule(when)}, Options{}); err != nil {
			t.Error(err)
		}
	}
}

// A rule that panics is not asked again, is told once, and takes no other rule with it.
func TestPanic(t *testing.T) {
	var told []string
	s, err := New([]policy.Rule{{Name: "bad", When: "tls", Then: policy.RuleHangsUp}, {Name: "good", When: "hot", Then: policy.RuleRefuses}},
		Options{Notice: func(rule, _ string) { told = append(told, rule) }})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	s.rules[0].when = func(*scope) bool { asked++; panic("boom") }
	hot := visit()
	hot.Hot = true
	if v, err := s.Decide(context.Background(), hot); v.Rule != "good" || err != nil {
		t.Fatalf("the rule behind: %+v, %v", v, err)
	}
	if v, err := s.Decide(context.Background(), visit()); v != (flow.Verdict{}) || err != nil {
		t.Fatalf("afterwards: %+v, %v", v, err)
	}
	if asked != 1 || len(told) != 1 || told[0] != "bad" || s.PutAside() != 1 {
		t.Fatalf("asked %d times, told %v, put aside %d", asked, told, s.PutAside())
	}
}

func TestPanicIsAnError(t *testing.T) {
	s, err := New([]policy.Rule{rule("tls"), rule("hot")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.rules[0].when, s.rules[0].slow = nil, func(*scope) (bool, error) { return false, &celPanic{"boom"} }
	if _, err := s.Decide(context.Background(), visit()); err == nil || s.PutAside() != 1 {
		t.Fatalf("%v, put aside %d", err, s.PutAside())
	}
}

// A rule that fails at run time fails the stage unless a later rule is sure; on a dry run it never does.
func TestRunTimeError(t *testing.T) {
	const overflow = `length + 9223372036854775807 > 0`
	f := visit()
	f.Length = 1
	notices := 0
	o := Options{Notice: func(string, string) { notices++ }}
	for _, c := range []struct {
		rules []policy.Rule
		rule  string
		fails bool
	}{
		{[]policy.Rule{rule(overflow)}, "", true},
		{[]policy.Rule{rule(overflow), {Name: "next", When: "tls", Then: policy.RuleRefuses}}, "next", false},
		{[]policy.Rule{{Name: "d", When: overflow, Then: policy.RuleRefuses, DryRun: true}}, "", false},
	} {
		s, err := New(c.rules, o)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if v, err := s.Decide(context.Background(), f); v.Rule != c.rule || (err != nil) != c.fails {
				t.Errorf("%+v: %+v, %v", c.rules, v, err)
			}
		}
	}
	if notices != 1 {
		t.Errorf("%d notices of the dry rule, want 1", notices)
	}
}

func TestErrors(t *testing.T) {
	long := strings.Repeat("[a-z]+x", 40)
	cases := []struct {
		when         string
		line, column int
		msg          string
	}{
		{`pth == '/x'`, 1, 1, `there is nothing called "pth"; did you mean "path"?`},
		{`tls && usr_agent == ''`, 1, 8, `did you mean "user_agent"?`},
		{"tls &&\n  path.startWith('/x')", 2, 17, `did you mean "startsWith"?`},
		{`zebra`, 1, 1, `there is nothing called "zebra"; the manual lists`},
		{`path`, 1, 1, `the condition is a text`},
		{`tls && network`, 1, 8, "expected type 'bool' but found 'int'"},
		{`path == 1`, 1, 6, `== does not work on (string, int)`},
		{`path == '/x' &&`, 1, 16, `something is missing at the end`},
		{`method = 'GET'`, 1, 8, `to compare write ==`},
		{`tls and hot`, 1, 5, `"and" is written &&`},
		{`tls or hot`, 1, 5, `"or" is written ||`},
		{`not(tls)`, 1, 4, `"not" is written !`},
		{`  `, 0, 0, `has no condition`},
		{`header()  == ''`, 1, 1, `header takes one name in quotes`},
		{`header(path) == ''`, 1, 8, `header needs a name in quotes`},
		{`header('a b') == ''`, 1, 8, `nothing is ever called "a b"`},
		{`client_in('10.0.0.1/8')`, 1, 11, `write '10.0.0.0/8'`},
		{`client_in('ten')`, 1, 11, `neither an address nor a prefix`},
		{`client_in(client)`, 1, 11, `needs prefixes in quotes`},
		{`client == '10.0.0.0/8'`, 1, 11, `client_in`},
		{`client == '2001:DB8::1'`, 1, 11, `shortest form, '2001:db8::1'`},
		{`country in ['DE', 'fr']`, 1, 19, `two capital letters`},
		{`host == 'Shop.example'`, 1, 9, `lower case`},
		{`proto == 'HTTP/2.0'`, 1, 10, `proto never equals this`},
		{`path == 'index.html'`, 1, 9, `begins with "/"`},
		{`path.matches('(a')`, 1, 14, `missing closing )`},
		{`path.matches(query)`, 1, 14, `needs a pattern in quotes`},
		{`tls && user_agent.matches('` + long + `')`, 1, 8, `over the budget of 25000; this part alone costs`},
		{`headers('x').exists(a, headers('x').exists(b, a.contains(b)))`, 1, 20, `over the budget`},
		{`headers('x') == []  && @facts`, 1, 24, `unexpected '@'`},
		{`timestamp('2020-01-01T00:00:00Z') > timestamp('')`, 1, 10, `there is nothing called "timestamp"`},
	}
	for _, c := range cases {
		_, err := New([]policy.Rule{rule(c.when)}, Options{})
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: loaded", c.when)
			continue
		}
		if e.Line != c.line || e.Column != c.column || !strings.Contains(e.Msg, c.msg) {
			t.Errorf("%s:\n%d:%d %s\nwant\n%d:%d %s", c.when, e.Line, e.Column, e.Msg, c.line, c.column, c.msg)
		}
	}
}

func TestErrorsOfAllRulesAtOnce(t *testing.T) {
	_, err := New([]policy.Rule{
		{Name: "one", When: "tls && pat == ''", Then: policy.RuleRefuses}, {Name: "fine", When: "tls", Then: policy.RuleAllows},
		{When: "hot", Then: "drop", Status: 200}, {Name: "four", When: "hot", Then: policy.RuleAllows, Status: 403},
	}, Options{})
	want := `rule "one", line 1, column 8 of its condition: there is nothing called "pat"; did you mean "path"?
  tls && pat == ''
         ^
rule number 3: "then" is "drop", but it has to be allow, refuse or hangup
rule number 3: the status of a refusal is 200, but it has to be 400 to 599
rule number 3: has a status but refuses nothing: take the status away, or say refuse under "then"
rule "four": has a status but refuses nothing: take the status away, or say refuse under "then"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestExcerptOfALongLine(t *testing.T) {
	when := strings.Repeat("tls && ", 40) + "pth == '/ü' && " + strings.Repeat("tls && ", 40) + "tls"
	_, err := New([]policy.Rule{rule(when)}, Options{})
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal("loaded")
	}
	lines := strings.Split(e.Excerpt, "\n")
	if at := strings.IndexByte(lines[1], '^'); len(lines[0]) > maxExcerpt+3 || !strings.HasPrefix(lines[0][at:], "pth") {
		t.Errorf("\n%s", e.Excerpt)
	}
}

func TestConcurrentUse(t *testing.T) {
	s, err := New([]policy.Rule{rule("headers('x-two').exists(v, v == 'c')"), rule("user_agent.lowerAscii().contains('bot')")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if v, err := s.Decide(context.Background(), visit()); err != nil || v.Sure() {
					t.Errorf("%+v, %v", v, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
