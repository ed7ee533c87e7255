package seclang_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"stormdoor/seclang"
)

// get is a GET with a query and headers "Name: value".
func get(target string, headers ...string) *exchange {
	x := &exchange{method: "GET", target: target, protocol: "HTTP/1.1", status: 200}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		x.headers = append(x.headers, [2]string{name, value})
	}
	return x
}

// outcome is what rules say about an exchange: the ids that log, and the decision if there is one.
func outcome(t *testing.T, directives string, x *exchange) string {
	t.Helper()
	rules := compileRules(t, directives)
	tx := judge(rules, x)
	defer tx.Close()
	s := fmt.Sprint(logged(tx))
	if it := tx.Interruption(); it.Refuses() {
		s += fmt.Sprintf(" %s %d by %d", it.Action, it.Status, it.Rule)
		if it.Location != "" {
			s += " to " + it.Location
		}
	}
	if it := tx.WouldInterrupt(); it.Refuses() {
		s += fmt.Sprintf(" would %s %d by %d", it.Action, it.Status, it.Rule)
	}
	return s
}

func TestRules(t *testing.T) {
	for _, c := range []struct{ name, directives, target, want string }{
		{"a rule denies", `SecRule ARGS:a "@rx ^x$" "id:1,phase:1,deny,log"`, "/?a=x", "[1] deny 403 by 1"},
		{"names of parameters are compared with case", `SecRule ARGS:a "@rx x" "id:1,phase:1,deny,log"`, "/?A=x", "[]"},
		{"names of headers are not", `SecRule REQUEST_HEADERS:x-A "@rx 1" "id:1,phase:1,deny,log,status:429"`, "/", "[1] deny 429 by 1"},
		{"drop", `SecAction "id:1,phase:1,drop,log"`, "/", "[1] drop 0 by 1"},
		{"redirect", `SecAction "id:1,phase:1,redirect:'https://example.org/%{REQUEST_METHOD}',log"`, "/", "[1] redirect 302 by 1 to https://example.org/GET"},
		{"block is what the defaults say", "SecDefaultAction \"phase:1,deny,status:406,log\"\nSecAction \"id:1,phase:1,block\"", "/", "[1] deny 406 by 1"},
		{"the mode lets nothing be refused", "SecRuleEngine DetectionOnly\nSecAction \"id:1,phase:1,deny,log\"\nSecAction \"id:2,phase:2,deny,log\"", "/", "[1 2] would deny 403 by 1"},
		{"off", "SecRuleEngine Off\nSecAction \"id:1,phase:1,deny,log\"", "/", "[]"},
		{"a negated rule", `SecRule ARGS "!@rx ^\d+$" "id:1,phase:1,pass,log"`, "/?a=1&b=2x", "[1]"},
		{"one pattern that a rule looks for and another rule misses", "SecRule ARGS \"@rx ^1$\" \"id:1,phase:1,pass,log\"\nSecRule ARGS \"!@rx ^1$\" \"id:2,phase:1,pass,log\"", "/?a=1", "[1]"},
		{"and the other way round", "SecRule ARGS \"@rx ^1$\" \"id:1,phase:1,pass,log\"\nSecRule ARGS \"!@rx ^1$\" \"id:2,phase:1,pass,log\"", "/?a=2", "[2]"},
		{"all links of a chain", "SecRule ARGS:a \"x\" \"id:1,phase:1,pass,log,chain\"\nSecRule ARGS:b \"y\"", "/?a=x&b=y", "[1]"},
		{"not only the first", "SecRule ARGS:a \"x\" \"id:1,phase:1,pass,log,chain\"\nSecRule ARGS:b \"y\"", "/?a=x", "[]"},
		{"captures", "SecRule ARGS:a \"(b)(c)?\" \"id:1,phase:1,pass,nolog,capture\"\nSecRule TX:1 \"@streq b\" \"id:2,phase:1,pass,log\"", "/?a=abd", "[2]"},
		{"counts", `SecRule &ARGS "@gt 2" "id:1,phase:1,pass,log"`, "/?a=1&b=2&c=3", "[1]"},
		{"skipAfter", "SecAction \"id:1,phase:1,pass,log,skipAfter:END\"\nSecAction \"id:2,phase:1,pass,log\"\nSecMarker END\nSecAction \"id:3,phase:1,pass,log\"", "/", "[1 3]"},
		{"skip", "SecRule ARGS \"x\" \"id:1,phase:1,pass,log,skip:1\"\nSecAction \"id:2,phase:1,pass,log\"\nSecAction \"id:3,phase:1,pass,log\"", "/?a=x", "[1 3]"},
		{"allow ends all phases", "SecRule ARGS \"x\" \"id:1,phase:1,allow,log\"\nSecAction \"id:2,phase:2,deny,log\"", "/?a=x", "[1]"},
		{"allow:phase ends one", "SecRule ARGS \"x\" \"id:1,phase:1,allow:phase,log\"\nSecAction \"id:2,phase:1,deny,log\"\nSecAction \"id:3,phase:2,pass,log\"", "/?a=x", "[1 3]"},
		{"counting", "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.n=2,setvar:tx.n=+3,setvar:tx.n=-%{tx.m}\"\nSecRule TX:n \"@eq 5\" \"id:2,phase:1,pass,log\"", "/", "[2]"},
		{"a variable by a name made up", "SecRule ARGS \".+\" \"id:1,phase:1,pass,nolog,setvar:'tx.p_%{MATCHED_VAR_NAME}=+1'\"\nSecRule TX:/^p_/ \"@gt 1\" \"id:2,phase:1,pass,log\"", "/?a=1&a=2", "[2]"},
		{"every form of a multiMatch", `SecRule ARGS "@streq %41" "id:1,phase:1,pass,log,t:urlDecode,multiMatch"`, "/?a=%2541", "[1]"},
		{
			"a byte that is no UTF-8 makes no further form under multiMatch", "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,t:removeWhitespace,multiMatch,setvar:tx.n=+1\"\n" +
				`SecRule TX:n "@eq 1" "id:2,phase:1,pass,log"`, "/?a=a%ff", "[2]",
		},
		{"phase 5 sees refused exchanges", "SecAction \"id:1,phase:1,deny,log\"\nSecAction \"id:2,phase:5,pass,log\"", "/", "[1 2] deny 403 by 1"},
		{"MATCHED_VARS", "SecRule ARGS \"x\" \"id:1,phase:1,pass,log,chain\"\nSecRule MATCHED_VARS \"!@rx xx\"", "/?a=x&b=xx", "[1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(t, c.directives, get(c.target, "X-a: 1")); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestExclusions: what operators write to let something pass, in the text of the rule set and while it runs.
func TestExclusions(t *testing.T) {
	const rules = `
SecRule ARGS|REQUEST_HEADERS "@rx attack" "id:10,phase:2,pass,log,tag:t1,msg:'m1'"
SecRule ARGS_NAMES "@rx attack" "id:11,phase:2,pass,log,tag:t2"
SecRule ARGS "@rx att" "id:12,phase:2,pass,log,chain,tag:t2"
    SecRule ARGS "@rx ack"
`
	const target = "/?q=attack&attack=1"
	for _, c := range []struct{ name, before, after, want string }{
		{"none", "", "", "[10 11 12]"},
		{"SecRuleRemoveById", "", "SecRuleRemoveById 10 12", "[11]"},
		{"a range", "", "SecRuleRemoveById 10-11", "[12]"},
		{"SecRuleRemoveByTag", "", "SecRuleRemoveByTag t2", "[10]"},
		{"SecRuleRemoveByMsg", "", "SecRuleRemoveByMsg m1", "[11 12]"},
		{"SecRuleUpdateTargetById", "", `SecRuleUpdateTargetById 10 "!ARGS:q"`, "[11 12]"},
		{"an expression", "", `SecRuleUpdateTargetById 10-11 "!ARGS:/^q$/|!ARGS_NAMES:attack"`, "[12]"},
		{"SecRuleUpdateTargetByTag", "", `SecRuleUpdateTargetByTag t2 "!ARGS_NAMES"`, "[10 12]"},
		{"another target", "", `SecRuleUpdateTargetById 11 "REQUEST_METHOD"`, "[10 11 12]"},
		{"SecRuleUpdateActionById", "", `SecRuleUpdateActionById 11 "deny,status:404,nolog"`, "[10] deny 404 by 11"},
		{"ctl:ruleRemoveById", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=10"`, "", "[11 12]"},
		{"ctl of another place", `SecRule REQUEST_URI "@beginsWith /x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=10"`, "", "[10 11 12]"},
		{"ctl with a range", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=11-12"`, "", "[10]"},
		{"ctl:ruleRemoveByTag", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleRemoveByTag=t2"`, "", "[10]"},
		{"ctl:ruleRemoveByMsg", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleRemoveByMsg=m1"`, "", "[11 12]"},
		{"ctl:ruleRemoveTargetById", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=10;ARGS:q"`, "", "[11 12]"},
		{"ctl:ruleRemoveTargetByTag", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=t2;ARGS"`, "", "[10 11]"},
		{"ctl with an expression", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetByMsg=m1;ARGS:/q/"`, "", "[11 12]"},
		{"ctl:ruleEngine", `SecRule REQUEST_URI "@beginsWith /" "id:1,phase:1,pass,nolog,ctl:ruleEngine=Off"`, "", "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(t, c.before+rules+c.after, get(target)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestRefusedText: every mistake is named with its place, all at once, and what is not supported is refused by name.
func TestRefusedText(t *testing.T) {
	for text, want := range map[string]string{
		"SecFoo On":                                "d:1: SecFoo: the directive is not supported",
		"SecCookieFormat 1":                        `d:1: SecCookieFormat: "1" is not supported: want 0`,
		"SecRuleEngine Maybe":                      `d:1: SecRuleEngine: "Maybe": want On, Off or DetectionOnly`,
		"SecRequestBodyLimit none":                 `d:1: SecRequestBodyLimit: "none": want a number from 1 to 1073741824`,
		`SecRule FOO "x" "id:1"`:                   "d:1: SecRule: there is no variable FOO",
		`SecRule GEO:COUNTRY "x" "id:1"`:           "d:1: SecRule: the variable GEO is not supported: use the door's own countries",
		`SecRule REQUEST_URI:a "x" "id:1"`:         `d:1: SecRule: REQUEST_URI has no keys, but "a" is asked for`,
		`SecRule ARGS "@rx (" "id:1"`:              "d:1: SecRule: @rx: error parsing regexp: missing closing ): `(?sm)(`",
		`SecRule ARGS "@foo" "id:1"`:               "d:1: SecRule: there is no operator @foo",
		`SecRule ARGS:/(/ "x" "id:1"`:              "d:1: SecRule: ARGS: error parsing regexp: missing closing ): `(`",
		`SecRule ARGS "x" "id:0"`:                  `d:1: SecRule: id: "0": want a number greater than 0`,
		`SecRule ARGS "x" "id:1,phase:6"`:          `d:1: SecRule: phase: "6": want 1 to 5, request, response or logging`,
		`SecRule ARGS "x" "id:1,t:rot13"`:          `d:1: SecRule: t: there is no transformation "rot13"`,
		`SecRule ARGS "x" "id:1,exec:/bin/x"`:      "d:1: SecRule: exec: the action is not supported",
		`SecRule ARGS "x" "id:1,setvar:ip.x=1"`:    `d:1: SecRule: setvar: "ip.x=1": want tx.name=value; other collections are not kept`,
		`SecRule ARGS "x" "id:1,msg:'%{foo.x}'"`:   `d:1: SecRule: msg: "%{foo.x}": there is no variable FOO`,
		`SecRule ARGS "x" "id:1,ctl:foo=1"`:        "d:1: SecRule: ctl: foo is not supported",
		`SecRule ARGS "x" "id:1,skipAfter:X"`:      `d:1: skipAfter: no SecMarker "X" follows`,
		`SecRule ARGS "x" "id:1,chain"`:            "d:1: SecRule: the chain ends without the rule that it asks for",
		"SecRuleUpdateTargetById 9 \"!ARGS:a\"":    "d:1: SecRuleUpdateTargetById: no rule with the id 9 stands before this",
		"SecAction \"id:1\"\nSecAction \"id:1\"":   "d:2: SecAction: the id 1 is taken by the rule at d:1",
		"SecFoo 1\nSecBar 2":                       "d:1: SecFoo: the directive is not supported\nd:2: SecBar: the directive is not supported",
		"SecAction \"id:1,chain\"\nSecAction deny": "d:2: SecAction: deny: only the first rule of a chain may have a disruptive action",
		`SecDefaultAction "log,pass"`:              "d:1: SecDefaultAction: want a phase",
		`SecRule ARGS "@pmFromFile gone" "id:1"`:   "d:1: SecRule: @pmFromFile: open gone: file does not exist",
	} {
		_, err := seclang.Compile(fstest.MapFS{}, seclang.Options{Name: "d", Directives: text})
		if err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// TestModSecurityConfiguration: what a ModSecurity installation begins with loads as it is.
func TestModSecurityConfiguration(t *testing.T) {
	compileRules(t, `SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyLimitAction Reject
SecPcreMatchLimit 1000
SecPcreMatchLimitRecursion 1000
SecTmpDir /tmp/
SecDebugLogLevel 3
SecArgumentSeparator &
SecCookieFormat 0
SecUnicodeMapFile unicode.mapping 20127
SecStatusEngine On
SecCollectionTimeout 600
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:'200003',phase:2,t:none,log,deny,status:400, \
    msg:'Multipart: PE %{REQBODY_PROCESSOR_ERROR}, BQ %{MULTIPART_BOUNDARY_QUOTED}, BW %{MULTIPART_BOUNDARY_WHITESPACE}, \
    DB %{MULTIPART_DATA_BEFORE}, DA %{MULTIPART_DATA_AFTER}, HF %{MULTIPART_HEADER_FOLDING}, LF %{MULTIPART_LF_LINE}, \
    SM %{MULTIPART_MISSING_SEMICOLON}, IQ %{MULTIPART_INVALID_QUOTING}, IP %{MULTIPART_INVALID_PART}, \
    IH %{MULTIPART_INVALID_HEADER_FOLDING}, FL %{MULTIPART_FILE_LIMIT_EXCEEDED}'"
SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" "id:'200004',phase:2,t:none,log,deny,msg:'Unmatched boundary.'"
SecRule TX:/^MSC_/ "!@streq 0" "id:'200005',phase:2,t:none,deny,msg:'ModSecurity internal error flagged: %{MATCHED_VAR_NAME}'"
`)
}

func TestNotes(t *testing.T) {
	rules := compileRules(t, "SecAuditEngine On\nSecAction \"id:1,initcol:ip=x,phase:1,pass\"")
	var got []string
	for _, n := range rules.Notes() {
		got = append(got, fmt.Sprintf("%s:%d: %s", n.File, n.Line, n.Text))
	}
	want := []string{
		"directives:1: SecAuditEngine has no effect: the caller writes the log",
		"directives:2: initcol has no effect: persistent collections are not kept",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMatches: what a match tells.
func TestMatches(t *testing.T) {
	rules := compileRules(t, `SecRule ARGS "@rx (b)c" "id:7,phase:2,t:lowercase,deny,log,capture,severity:CRITICAL,tag:x,\
		msg:'found %{TX.1}',logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"`)
	tx := judge(rules, get("/?q=aBC&r=x"))
	defer tx.Close()
	if len(tx.Matches()) != 1 {
		t.Fatalf("got %d matches", len(tx.Matches()))
	}
	m := tx.Matches()[0]
	got := fmt.Sprintf("%s:%d %d %s %v %q %q %v", m.Rule.File, m.Rule.Line, m.Rule.ID, m.Rule.Severity, m.Rule.Tags, m.Message, m.Data, m.Action)
	for _, v := range m.Values {
		got += fmt.Sprintf(" %s:%s %q [%d:%d] of %q", v.Variable, v.Key, v.Value, v.Start, v.End, v.Sent)
	}
	want := `directives:1 7 CRITICAL [x] "found b" "ARGS:q=abc" deny ARGS:q "abc" [1:3] of "aBC"`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestBodyLimit: a body that reaches the limit is refused, or inspected up to there.
func TestBodyLimit(t *testing.T) {
	const base = "SecRequestBodyAccess On\nSecRequestBodyLimit 16\nSecRule ARGS:a \"x\" \"id:1,phase:2,deny,log\"\n"
	for _, c := range []struct{ name, directives, body, want string }{
		{"below", base, "a=xxxxx", "[1] deny 403 by 1"},
		{"beyond", base, "a=12345678901234567890", "[] deny 413 by 0"},
		{"beyond, partial", base + "SecRequestBodyLimitAction ProcessPartial", "a=x4567890123456&b=1", "[1] deny 403 by 1"},
		{"beyond, nothing refused", base + "SecRuleEngine DetectionOnly", "a=x4567890123456&b=1", "[1] would deny 413 by 0"},
		{"not read", "SecRequestBodyAccess Off\nSecRule ARGS:a \"x\" \"id:1,phase:2,deny,log\"", "a=x", "[]"},
	} {
		x := get("/").with("application/x-www-form-urlencoded", c.body)
		if got := outcome(t, c.directives, &x); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestBudget: what is spent is told, and what lies beyond the budget is not looked at.
func TestBudget(t *testing.T) {
	rules := compileRules(t, `SecRule ARGS "@rx attack" "id:1,phase:1,deny,log"`)
	spend := func(b seclang.Budget) (seclang.Cost, seclang.Interruption) {
		tx := rules.New(seclang.Start{Budget: b})
		defer tx.Close()
		tx.RequestLine("GET", "/?a="+strings.Repeat("x", 1000)+"&b=1&c=attack", "HTTP/1.1")
		tx.RequestHeadersEnd()
		return tx.Cost(), tx.Interruption()
	}
	all, it := spend(seclang.Budget{})
	if all.Fields != 3 || all.Bytes != 1007 || all.Work < all.Bytes || all.Exceeded || it.Rule != 1 {
		t.Errorf("without a budget: %+v, %+v", all, it)
	}
	for _, b := range []seclang.Budget{{Bytes: 500}, {Fields: 1}, {Work: all.Work / 2}} {
		if cost, it := spend(b); !cost.Exceeded || it.Refuses() {
			t.Errorf("%+v: %+v, %+v", b, cost, it)
		}
		b.Over = seclang.OverRefuse
		if cost, it := spend(b); !cost.Exceeded || it.Status != 413 {
			t.Errorf("%+v: %+v, %+v", b, cost, it)
		}
	}
	if cost, it := spend(seclang.Budget{Bytes: all.Bytes, Fields: all.Fields, Work: all.Work}); cost.Exceeded || it.Rule != 1 {
		t.Errorf("with just enough: %+v, %+v", cost, it)
	}
}
