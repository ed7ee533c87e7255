package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"stormdoor"
	"stormdoor/policy"
)

func TestWAFExplainShowsWhatMatchedWhere(t *testing.T) {
	status, out, errs := command(t, t.Context(), "waf", "explain", "http://shop.example/search?q=%253Cscript%253E", "-H", "X-Y: z")
	if status != 0 {
		t.Fatal(errs)
	}
	for _, want := range []string{
		"asked     GET shop.example/search?q=%253Cscript%253E\n",
		"941110    XSS Filter - Category 1: Script Tag Vector; scores 5\n",
		"ARGS:q by @rx after utf8toUnicode, urlDecodeUni",
		"sent %3Cscript%3E\n",
		"seen <script>\n                   ^^^^^^^^ bytes 0 to 8 of 8\n",
		"result    refused with 403 (waf.score)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if status, _, errs := command(t, t.Context(), "waf", "explain", "http://a.example/", "-d", "a", "--body", "b"); status != 1 || !strings.Contains(errs, "leave one out") {
		t.Errorf("two bodies: %d, %s", status, errs)
	}
}

func TestWAFTestComparesWithWhatIsExpected(t *testing.T) {
	const ok = `{"id":"one","want":"pass","raw":"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"}`
	const missed = `{"id":"two","want":"block","raw":"GET /?q=harmless HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"}`
	const rules = `{"id":"three","rules":[942100],"not_rules":[941100],"raw":"GET /?q=1'+or+1=1-- HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"}`
	const unread = `{"id":"four","want":"block","raw":"GET / HTTP/1.1\r\nHost : a\r\n\r\n"}`
	const staged = `{"id":"five","pl":1,"stages":[{"raw":"GET /?q=1'+or+1=1-- HTTP/1.1\r\nHost: a.example\r\n\r\n","expect":[942100],"forbid":[1]}]}`
	yaml := writeFile(t, "942100.yaml", "rule_id: 942100\ntests:\n  - test_id: 1\n    stages:\n      - input: {uri: \"/?q=1'+or+1=1--\", headers: {Host: a.example, User-Agent: x}}\n        output: {log: {expect_ids: [942100]}}\n")
	good := writeFile(t, "good.jsonl", ok+"\n\n"+rules+"\n"+unread+"\n"+staged+"\n")
	if status, out, errs := command(t, t.Context(), "waf", "test", good, yaml); status != 0 || !strings.Contains(out, "with rules          3 requests,      3 right, 100.00 %; 0 wrong") {
		t.Errorf("status %d\n%s%s", status, out, errs)
	}
	status, out, _ := command(t, t.Context(), "waf", "test", writeFile(t, "bad.jsonl", ok+"\n"+missed+"\n"))
	if status != 1 || !strings.Contains(out, "missed               two") || !strings.Contains(out, "bad.jsonl:2; score 0 of 5: no rule") {
		t.Errorf("status %d\n%s", status, out)
	}
	for text, want := range map[string]string{
		ok + "\n{\"id\": 7}\n":              "x.jsonl:2: json:",
		ok + "\n{\"want\":\"block\"}\n":     "x.jsonl:2: there is no request in it",
		`{"raw":"GET / HTTP/1.1\r\n\r\n"}`:  "x.jsonl:1: nothing is expected",
		`{"want":"refuse","raw":"GET / x"}`: `x.jsonl:1: want is "refuse": write block or pass`,
		"\n":                                "holds no request",
	} {
		if status, _, errs := command(t, t.Context(), "waf", "test", writeFile(t, "x.jsonl", text)); status != 1 || !strings.Contains(errs, want) {
			t.Errorf("%q: status %d, %s", text, status, errs)
		}
	}
}

func TestWAFCostAddsUp(t *testing.T) {
	status, out, errs := command(t, t.Context(), "waf", "cost", "--rounds", "1", "--json")
	if status != 0 {
		t.Fatal(errs)
	}
	var r wafCostReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, parts := range [][]costPart{r.Phases, r.Groups} {
		for _, p := range parts {
			sum += p.Work
		}
	}
	if r.Requests != strings.Count(wafSample, "\n") || r.Unread != 0 || sum != r.Work || r.Work == 0 || len(r.ByHits) == 0 {
		t.Errorf("the parts add up to %d\n%s", sum, out)
	}
}

// The way of an operator: a visitor quotes a reference, one command makes the exclusion, and it spares the visitor.
func TestWAFExcludeSparesTheVisitor(t *testing.T) {
	text := "# mine\nwaf:\n  mode: block\nsites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1']}]\n"
	file := writeFile(t, "stormdoor.yaml", text)
	ask := func(d *stormdoor.Door, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "http://shop.example/search", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("User-Agent", "Mozilla/5.0")
		r.Header.Set("Accept", "*/*")
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		w := httptest.NewRecorder()
		d.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })).ServeHTTP(w, r)
		return w
	}
	open := func() *stormdoor.Door {
		p, err := policy.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := stormdoor.New(p, stormdoor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const body = "q=1%27+or+a%3Da--"
	d := open()
	defer d.Close()
	admin := httptest.NewServer(d.Admin())
	defer admin.Close()
	at := strings.TrimPrefix(admin.URL, "http://")
	w := ask(d, body)
	ref := w.Header().Get("Stormdoor-Request-Id")
	if w.Code != 403 || ref == "" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if _, out, errs := command(t, t.Context(), "waf", "explain", ref, "--admin", at); !strings.Contains(out, "bodies, cookies and credentials are not kept") || !strings.Contains(out, "942100") {
		t.Errorf("explain: %s%s", out, errs)
	}
	if status, out, errs := command(t, t.Context(), "waf", "exclude", ref, "-c", file, "--admin", at); status != 0 || !strings.Contains(out, "nothing is written") {
		t.Errorf("without --write: %d\n%s%s", status, out, errs)
	}
	if got, _ := os.ReadFile(file); string(got) != text {
		t.Errorf("the policy was written unasked:\n%s", got)
	}
	status, out, errs := command(t, t.Context(), "waf", "exclude", ref, "-c", file, "--admin", at, "--write", "--why", "search terms", "--until", "2126-01-01")
	const line = `    - {rule: 942100, field: "ARGS:q", site: shop.example, path: /search, until: 2126-01-01, why: "search terms"}`
	if got, _ := os.ReadFile(file); status != 0 || !strings.Contains(out, "+"+line) || !strings.Contains(string(got), "  mode: block\n  exclude:\n"+line) {
		t.Fatalf("status %d, %s%s\n%s", status, out, errs, got)
	}
	d2 := open()
	defer d2.Close()
	if w := ask(d2, body); w.Code != 200 {
		t.Errorf("the visitor is refused still: %d", w.Code)
	}
	if got := d2.Exclusions(); len(got) == 0 || got[0].Hits != 1 {
		t.Errorf("hits: %+v", got)
	}
	if _, out, _ := command(t, t.Context(), "waf", "exclusions", "-c", file); !strings.Contains(out, "942100") || !strings.Contains(out, "in force, not needed so far") {
		t.Errorf("exclusions:\n%s", out)
	}
	if _, _, errs := command(t, t.Context(), "waf", "exclude", "0000000000000000", "--admin", at); !strings.Contains(errs, "does not remember") {
		t.Errorf("an unknown reference: %s", errs)
	}
}

func TestCheckRemarksOnExclusions(t *testing.T) {
	file := writeFile(t, "stormdoor.yaml", "waf:\n  mode: count\n  exclude:\n    - {rule: 7}\n    - {rule: 942100, until: 2026-01-01}\nsites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1']}]\n")
	status, out, errs := command(t, t.Context(), "check", file)
	for _, want := range []string{"Worth a look:", "rule 7: there is no rule 7", "ended on 2026-01-01 and is not in force: rule 942100"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d, want %q in\n%s%s", status, want, out, errs)
		}
	}
}
