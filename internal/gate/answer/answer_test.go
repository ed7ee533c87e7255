package answer

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// ask writes one refusal to a request with the fields and returns the answer.
func ask(t testing.TB, a *Answers, r Refusal, method string, fields ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	if _, _, err := a.Write(wire.NewStdExchange(w, req), r); err != nil {
		t.Fatal(err)
	}
	return w.Result()
}

func builtin(t testing.TB, r policy.Refusals) *Answers {
	t.Helper()
	a, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEveryAnsweredReasonHasWords(t *testing.T) {
	silent := map[flow.Reason]bool{flow.ListAllow: true, flow.ClientGone: true}
	for _, r := range flow.Reasons {
		found := false
		for _, w := range words {
			found = found || w.reason == r.Reason
		}
		if found == silent[r.Reason] {
			t.Errorf("reason %s: words %v, want %v", r.Reason, found, !silent[r.Reason])
		}
	}
}

func TestPeopleGetAPageAndProgramsAProblem(t *testing.T) {
	a := builtin(t, policy.Refusals{})
	for _, c := range []struct {
		name   string
		fields []string
		kind   string
	}{
		{"browser", []string{"Accept", "text/html,application/xhtml+xml"}, "text/html"},
		{"browser that says so", []string{"Accept", "*/*", "Sec-Fetch-Mode", "navigate"}, "text/html"},
		{"script on a page", []string{"Accept", "text/html", "Sec-Fetch-Mode", "cors"}, "application/problem+json"},
		{"curl", []string{"Accept", "*/*"}, "application/problem+json"},
		{"nothing said", nil, "application/problem+json"},
	} {
		res := ask(t, a, Refusal{Reason: flow.LimitRate}, "GET", c.fields...)
		if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, c.kind) {
			t.Errorf("%s: Content-Type %q, want %s", c.name, got, c.kind)
		}
	}
}

func TestRefusalIsTrueAndNotCached(t *testing.T) {
	a := builtin(t, policy.Refusals{Contact: "ops@shop.example", StatusURL: "https://status.shop.example"})
	id := flow.RequestID{1, 2, 3, 4, 5, 6, 7, 8, 0, 1}
	r := Refusal{Reason: flow.LimitRate, ID: id, RetryIn: 8 * time.Second, Quota: &Quota{Name: `per "client"`, Amount: 100, Window: time.Minute}}
	res := ask(t, a, r, "GET")
	if res.StatusCode != 429 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, Cache-Control %q", res.StatusCode, res.Header.Get("Cache-Control"))
	}
	if got, want := res.Header.Get("RateLimit-Policy"), `"per \"client\"";q=100;w=60`; got != want {
		t.Errorf("RateLimit-Policy %s, want %s", got, want)
	}
	wait, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || wait < 8 || wait > 11 {
		t.Errorf("Retry-After %q, want 8 to 11", res.Header.Get("Retry-After"))
	}
	if got, want := res.Header.Get("RateLimit"), `"per \"client\"";r=0;t=`+strconv.Itoa(wait); got != want {
		t.Errorf("RateLimit %s, want %s", got, want)
	}
	var doc map[string]any
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"status": 429.0, "title": "Too Many Requests", "reason": "limit.rate", "request_id": id.String(),
		"retry_after": float64(wait), "contact": "mailto:ops@shop.example", "status_url": "https://status.shop.example"} {
		if doc[k] != want {
			t.Errorf("%s = %v, want %v", k, doc[k], want)
		}
	}
}

func TestPageIsSmallPlainAndSaysWhatToDo(t *testing.T) {
	a := builtin(t, policy.Refusals{Contact: "https://shop.example/help?a=1&b=<x>"})
	for _, w := range words {
		res := ask(t, a, Refusal{Reason: w.reason, ID: flow.RequestID{9}, RetryIn: time.Second}, "GET", "Accept", "text/html")
		b, _ := io.ReadAll(res.Body)
		page := string(b)
		for _, want := range []string{`<html lang="en">`, "<title>", "<h1>", flow.RequestID{9}.String(), "shop.example/help"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q", w.reason, want)
			}
		}
		if len(b) > maxPage || strings.Contains(page, "<script") || strings.Contains(page, "<x>") || res.StatusCode != w.status {
			t.Errorf("%s: %d bytes, status %d, page %s", w.reason, len(b), res.StatusCode, page)
		}
	}
}

// TestWaitingPageComesBackByItself where waiting is all that there is to do, and nowhere else.
func TestWaitingPageComesBackByItself(t *testing.T) {
	a := builtin(t, policy.Refusals{})
	for reason, again := range map[flow.Reason]bool{flow.OriginShed: true, flow.OriginQueueFull: true, flow.LimitRate: false, flow.ListRefuse: false} {
		resp := ask(t, a, Refusal{Reason: reason, RetryIn: 5 * time.Second}, "GET", "Sec-Fetch-Mode", "navigate")
		page, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		refresh := `<meta http-equiv="refresh" content="` + resp.Header.Get("Retry-After") + `">`
		if strings.Contains(string(page), refresh) != again {
			t.Errorf("%s: %d, %s", reason, resp.StatusCode, page)
		}
	}
}

func TestHeadHasNoBody(t *testing.T) {
	res := ask(t, builtin(t, policy.Refusals{}), Refusal{Reason: flow.RuleMatch}, "HEAD")
	b, _ := io.ReadAll(res.Body)
	if len(b) != 0 || res.StatusCode != 403 || res.Header.Get("Retry-After") != "" {
		t.Errorf("status %d, %d bytes, Retry-After %q", res.StatusCode, len(b), res.Header.Get("Retry-After"))
	}
}

func TestRetryIsSpread(t *testing.T) {
	seen := map[int]bool{}
	for i := range 256 {
		seen[retrySeconds(Refusal{RetryIn: 40 * time.Second, ID: flow.RequestID{9: byte(i)}}, 429)] = true
	}
	if len(seen) != 11 || seen[39] || !seen[40] || !seen[50] {
		t.Errorf("waits %v, want all of 40 to 50", seen)
	}
}

func TestOwnTemplates(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := builtin(t, policy.Refusals{Page: file("p", "<b>{{.Title}}</b> {{.ID}} {{.RetrySeconds}}"), Problem: file("j", `{"x":{{json .Text}}}`)})
	res := ask(t, a, Refusal{Reason: flow.OriginDown, ID: flow.RequestID{1}}, "GET", "Accept", "text/html")
	b, _ := io.ReadAll(res.Body)
	if !strings.HasPrefix(string(b), "<b>The site is not reachable</b> "+flow.RequestID{1}.String()) {
		t.Errorf("page %q", b)
	}
	for _, c := range []struct {
		r    policy.Refusals
		want string
	}{
		{policy.Refusals{Page: filepath.Join(dir, "none")}, "refusals.page"},
		{policy.Refusals{Page: file("empty", " \n")}, "is empty"},
		{policy.Refusals{Page: file("broken", "{{.Title")}, "is not a template"},
		{policy.Refusals{Page: file("unknown", "{{.Titel}}")}, "Titel"},
		{policy.Refusals{Page: file("huge", strings.Repeat("x", 5000))}, "at most 4096"},
		{policy.Refusals{Problem: file("nojson", "{{.Title}}")}, "does not render to JSON"},
	} {
		if _, err := New(c.r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: err = %v, want %q in it", c.r, err, c.want)
		}
	}
}

func BenchmarkRefusal(b *testing.B) {
	a := builtin(b, policy.Refusals{})
	req := httptest.NewRequest("GET", "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		a.Write(wire.NewStdExchange(httptest.NewRecorder(), req), Refusal{Reason: flow.LimitRate, RetryIn: time.Second})
	}
}

// TestPlaceInTheLineIsTold to people and to programs, rounded; where nobody knows it, nothing is said of it.
func TestPlaceInTheLineIsTold(t *testing.T) {
	a := builtin(t, policy.Refusals{})
	text := func(ahead int, fields ...string) string {
		body, err := io.ReadAll(ask(t, a, Refusal{Reason: flow.OriginShed, RetryIn: 5 * time.Second, Ahead: ahead}, "GET", fields...).Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	page := text(1234, "Sec-Fetch-Mode", "navigate")
	if !strings.Contains(page, "About 1200 visitors who wait came before you.") || !strings.Contains(page, `http-equiv="refresh"`) {
		t.Errorf("page %s", page)
	}
	if page := text(0, "Sec-Fetch-Mode", "navigate"); strings.Contains(page, "before you") {
		t.Errorf("page %s", page)
	}
	var doc struct {
		Ahead *int `json:"ahead"`
	}
	if err := json.Unmarshal([]byte(text(7)), &doc); err != nil || doc.Ahead == nil || *doc.Ahead != 7 {
		t.Errorf("problem %s: %v", text(7), err)
	}
	doc.Ahead = nil
	if err := json.Unmarshal([]byte(text(0)), &doc); err != nil || doc.Ahead != nil {
		t.Errorf("problem %s: %v", text(0), err)
	}
	for n, want := range map[int]int{0: 0, 99: 99, 101: 100, 149: 150, 12_345: 12_000, 99_600: 100_000} {
		if got := about(n); got != want {
			t.Errorf("about %d is %d, want %d", n, got, want)
		}
	}
}
