package seclang_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"github.com/goccy/go-yaml"

	"stormdoor/seclang"
)

// The Core Rule Set's own regression suite: each test is a request and the ids of rules that must, or must not, log it.

// exchange is a request and the answer that the origin would give.
type exchange struct {
	method, target, protocol string
	headers                  [][2]string
	body                     string

	status          int
	responseHeaders [][2]string
	responseBody    string
}

// suiteStage is one request of a test, and what is expected.
type suiteStage struct {
	name            string // "920100-4"
	exchange        exchange
	expect, forbid  []int
	match, mismatch string // expressions on the log
	status          int    // expected of the HTTP server before the rules; 0: nothing
}

type suiteFile struct {
	RuleID int `yaml:"rule_id"`
	Tests  []struct {
		TestID int `yaml:"test_id"`
		Stages []struct {
			Input  suiteInput
			Output struct {
				Status      int
				ExpectError bool `yaml:"expect_error"`
				Log         struct {
					ExpectIDs   []int  `yaml:"expect_ids"`
					NoExpectIDs []int  `yaml:"no_expect_ids"`
					MatchRegex  string `yaml:"match_regex"`
					NoMatch     string `yaml:"no_match_regex"`
				}
			}
		}
	}
}

type suiteInput struct {
	Method, URI, Data   string
	Version             *string
	Headers             yaml.MapSlice
	EncodedRequest      string `yaml:"encoded_request"`
	AutocompleteHeaders *bool  `yaml:"autocomplete_headers"`
}

// suite reads the whole suite, once.
var suite = sync.OnceValues(func() ([]suiteStage, error) {
	var stages []suiteStage
	err := fs.WalkDir(tests.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".yaml") {
			return err
		}
		data, err := fs.ReadFile(tests.FS, name)
		if err != nil {
			return err
		}
		var file suiteFile
		if err := yaml.Unmarshal(data, &file); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, test := range file.Tests {
			for _, stage := range test.Stages {
				x, err := stage.Input.exchange()
				if err != nil {
					return fmt.Errorf("%s: test %d: %w", name, test.TestID, err)
				}
				log := stage.Output.Log
				stages = append(stages, suiteStage{
					name: fmt.Sprintf("%d-%d", file.RuleID, test.TestID), exchange: x, expect: log.ExpectIDs,
					forbid: log.NoExpectIDs, match: log.MatchRegex, mismatch: log.NoMatch, status: stage.Output.Status,
				})
			}
		}
		return nil
	})
	return stages, err
})

// exchange builds the request as go-ftw, the suite's own runner, would send it.
func (in *suiteInput) exchange() (exchange, error) {
	if in.EncodedRequest != "" {
		raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(in.EncodedRequest, "\n", ""))
		if err != nil {
			return exchange{}, err
		}
		return rawExchange(string(raw)), nil
	}
	x := exchange{method: in.Method, target: in.URI, protocol: "HTTP/1.1", body: repeated(in.Data)}
	x.target = repeated(x.target)
	if in.Version != nil {
		x.protocol = *in.Version
	}
	set := func(value *string, otherwise string) {
		if *value == "" {
			*value = otherwise
		}
	}
	set(&x.method, "GET")
	set(&x.target, "/")
	for _, h := range in.Headers {
		x.headers = append(x.headers, [2]string{fmt.Sprint(h.Key), fmt.Sprint(h.Value)})
	}
	kind := strings.ToLower(x.header("Content-Type"))
	complete := in.AutocompleteHeaders == nil || *in.AutocompleteHeaders
	if complete && x.body != "" && kind == "" {
		kind = "application/x-www-form-urlencoded"
		x.headers = append(x.headers, [2]string{"Content-Type", kind})
	}
	switch {
	case strings.HasPrefix(kind, "application/x-www-form-urlencoded"):
		if plain, err := url.QueryUnescape(x.body); err == nil && plain == x.body {
			x.body = escapeForm(x.body)
		}
	case strings.HasPrefix(kind, "multipart/"):
		x.body = strings.ReplaceAll(strings.ReplaceAll(x.body, "\r\n", "\n"), "\n", "\r\n")
	}
	if complete {
		if x.header("Connection") == "" {
			x.headers = append(x.headers, [2]string{"Connection", "close"})
		}
		if x.body != "" && x.header("Content-Length") == "" {
			x.headers = append(x.headers, [2]string{"Content-Length", strconv.Itoa(len(x.body))})
		}
	}
	x.frame()
	x.answer()
	return x, nil
}

// frame makes of the body what an HTTP server reads.
func (x *exchange) frame() {
	switch {
	case strings.EqualFold(x.header("Transfer-Encoding"), "chunked"):
		x.body = unchunk(x.body)
		x.headers = slices.DeleteFunc(x.headers, func(h [2]string) bool { return strings.EqualFold(h[0], "Content-Length") })
	case x.header("Content-Length") == "":
		x.body = ""
	}
}

// escapeForm encodes names and values, and leaves the marks between them.
func escapeForm(body string) string {
	pairs := strings.Split(body, "&")
	for i, pair := range pairs {
		name, value, has := strings.Cut(pair, "=")
		pairs[i] = url.QueryEscape(name)
		if has {
			pairs[i] += "=" + url.QueryEscape(value)
		}
	}
	return strings.Join(pairs, "&")
}

// repeated expands {{ "1" | repeat 64200 }}.
func repeated(s string) string {
	before, rest, ok := strings.Cut(s, `{{ "`)
	if !ok {
		return s
	}
	what, rest, ok1 := strings.Cut(rest, `" | repeat `)
	count, after, ok2 := strings.Cut(rest, " }}")
	n, err := strconv.Atoi(count)
	if !ok1 || !ok2 || err != nil {
		return s
	}
	return before + strings.Repeat(what, n) + after
}

// rawExchange reads a request as sent.
func rawExchange(raw string) exchange {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	x := exchange{body: body}
	x.method, x.target, _ = strings.Cut(lines[0], " ")
	if i := strings.LastIndexByte(x.target, ' '); i >= 0 {
		x.target, x.protocol = x.target[:i], x.target[i+1:]
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		x.headers = append(x.headers, [2]string{name, strings.TrimSpace(value)})
	}
	x.frame()
	x.answer()
	return x
}

func unchunk(s string) string {
	var out strings.Builder
	for {
		size, rest, ok := strings.Cut(s, "\r\n")
		n, err := strconv.ParseInt(size, 16, 32)
		if !ok || err != nil || n == 0 || int(n)+2 > len(rest) {
			return out.String()
		}
		out.WriteString(rest[:n])
		s = rest[n+2:]
	}
}

func (x *exchange) header(name string) string {
	for _, h := range x.headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// answer sets what the suite's origin answers: at /reflect what the request's body asks for.
func (x *exchange) answer() {
	x.status, x.responseHeaders = 200, [][2]string{{"Content-Type", "text/plain; charset=utf-8"}}
	if !strings.HasPrefix(x.target, "/reflect") {
		return
	}
	var want struct {
		Status      int               `json:"status"`
		Headers     map[string]string `json:"headers"`
		Body        string            `json:"body"`
		EncodedBody string            `json:"encodedBody"`
	}
	if err := json.Unmarshal([]byte(x.body), &want); err != nil {
		return
	}
	if want.Status != 0 {
		x.status = want.Status
	}
	if len(want.Headers) > 0 {
		x.responseHeaders = nil
		for name, value := range want.Headers {
			x.responseHeaders = append(x.responseHeaders, [2]string{name, value})
		}
	}
	x.responseBody = want.Body
	if body, err := base64.StdEncoding.DecodeString(want.EncodedBody); err == nil && len(body) > 0 {
		x.responseBody = string(body)
	}
}

// crs is a configuration with the whole rule set; before comes ahead of the rule set's own set-up.
func crs(mode string, before string) string {
	return "Include @coraza.conf-recommended\nSecRuleEngine " + mode + "\n" + before +
		"\nInclude @crs-setup.conf.example\nInclude @owasp_crs/*.conf\n"
}

// suiteSetup is the configuration that the suite asks for.
func suiteSetup(paranoia int) string {
	return crs("DetectionOnly", fmt.Sprintf(`
SecResponseBodyMimeType text/plain
SecDefaultAction "phase:3,log,auditlog,pass"
SecDefaultAction "phase:4,log,auditlog,pass"
SecDefaultAction "phase:5,log,auditlog,pass"
SecAction "id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,setvar:tx.blocking_paranoia_level=%d,\
    setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,\
    setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
`, paranoia))
}

func compileRules(t testing.TB, directives string) *seclang.Ruleset {
	t.Helper()
	rules, err := seclang.Compile(coreruleset.FS, seclang.Options{Directives: directives})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

var (
	clientAddr = netip.MustParseAddrPort("127.0.0.1:40000")
	serverAddr = netip.MustParseAddrPort("127.0.0.1:80")
	arrived    = time.Date(2026, 11, 25, 12, 30, 45, 0, time.UTC)
)

// judge takes an exchange through a transaction, up to an interruption. The caller closes the transaction.
func judge(rules *seclang.Ruleset, x *exchange) *seclang.Transaction {
	tx := rules.New(seclang.Start{ID: "UI5Hy8xbPP7N23aEO5QxwvlKs5", Arrived: arrived})
	tx.Connection(clientAddr, serverAddr)
	tx.RequestLine(x.method, x.target, x.protocol)
	for _, h := range x.headers {
		tx.RequestHeader(h[0], h[1])
		if strings.EqualFold(h[0], "Host") {
			tx.ServerName(h[1])
		}
	}
	defer tx.Finish()
	if tx.RequestHeadersEnd().Refuses() {
		return tx
	}
	if x.body != "" && tx.RequestBody([]byte(x.body)).Refuses() {
		return tx
	}
	if tx.RequestEnd().Refuses() {
		return tx
	}
	for _, h := range x.responseHeaders {
		tx.ResponseHeader(h[0], h[1])
	}
	if tx.ResponseHeadersEnd(x.status, "HTTP/1.1").Refuses() {
		return tx
	}
	if tx.WantsResponseBody() && tx.ResponseBody([]byte(x.responseBody)).Refuses() {
		return tx
	}
	tx.ResponseEnd()
	return tx
}

// logged lists the ids that a transaction logs, in order.
func logged(tx *seclang.Transaction) []int {
	var ids []int
	for _, m := range tx.Matches() {
		if m.Rule.Log {
			ids = append(ids, m.Rule.ID)
		}
	}
	return ids
}
