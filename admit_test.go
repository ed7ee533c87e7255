package stormdoor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"stormdoor/flow"
)

// TestShedVisitorIsToldAndExplained: the origin has a place for one; somebody has it, and nobody else's turn comes.
func TestShedVisitorIsToldAndExplained(t *testing.T) {
	inside, leave := make(chan struct{}, 1), make(chan struct{})
	r := start(t, `
sites:
  - hosts: ['*']
    origins: ['`+upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			inside <- struct{}{}
			<-leave
		}
		ok(w, r)
	})+`']
    admission: {max_in_flight: 1}
    routes: [{path: /stored, cache: {ttl: 1s}}]
`)
	if _, body := get(t, r.url+"/stored"); body != "from the origin" {
		t.Fatalf("body %q", body)
	}
	var slow sync.WaitGroup
	slow.Go(func() {
		if res, _ := get(t, r.url+"/slow"); res.StatusCode != 200 {
			t.Errorf("who was first: status %d", res.StatusCode)
		}
	})
	<-inside
	res, page := get(t, r.url+"/x", "Sec-Fetch-Mode", "navigate")
	if res.StatusCode != 503 || res.Header.Get("Stormdoor-Reason") != string(flow.OriginShed) || !strings.Contains(page, `http-equiv="refresh"`) {
		t.Errorf("status %d, header %v, page %q", res.StatusCode, res.Header, page)
	}
	res, problem := get(t, r.url+"/x")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(problem, `"reason":"origin.shed"`) {
		t.Errorf("status %d, header %v, body %q", res.StatusCode, res.Header, problem)
	}
	// What is stored is too old by now, and better than a refusal.
	if res, body := get(t, r.url+"/stored"); res.StatusCode != 200 || body != "from the origin" {
		t.Errorf("what is stored: status %d, body %q", res.StatusCode, body)
	}
	close(leave)
	slow.Wait()
	id, _ := flow.ParseRequestID(res.Header.Get("Stormdoor-Request-Id"))
	r.stop()
	x, ok := r.door.ExplainRecent(context.Background(), id)
	if !ok || x.Reason != flow.OriginShed || x.Result != "refused" || x.Ended.Priority != "new" || !strings.Contains(x.String(), "priority new") ||
		!strings.Contains(x.Cost, "of at most 1 are in flight") {
		t.Errorf("explained %v: %+v", ok, x)
	}
	if x, _ := r.door.ExplainRecent(context.Background(), id); !x.Hot && !r.door.deployed.Load().Stable.pools[&r.door.Policy().Sites[0]].Hot(r.door.now()) {
		t.Error("a site that sends visitors away is hot")
	}
}

// TestSitesDoNotTakeCapacityFromEachOther: one of three sites is asked for a hundred times what it can do, and its origin
// hangs; the others do not notice.
func TestSitesDoNotTakeCapacityFromEachOther(t *testing.T) {
	leave := make(chan struct{})
	hangs := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		<-leave
		ok(w, r)
	})
	well := upstream(t, ok)
	r := start(t, fmt.Sprintf(`
sites:
  - {hosts: [storm.example], origins: [%q]}
  - {hosts: [a.example], origins: [%q]}
  - {hosts: [b.example], origins: [%q], routes: [{path: /storm, origins: [%q]}]}
limits: []
`, hangs, well, well, hangs))
	var storm sync.WaitGroup
	for i := range 800 {
		storm.Go(func() {
			host, path := "storm.example", "/"
			if i%2 == 0 {
				host, path = "b.example", "/storm"
			}
			get(t, r.url+path, "Host", host)
		})
	}
	for i := range 100 {
		if res, _ := get(t, r.url+"/", "Host", []string{"a.example", "b.example"}[i%2]); res.StatusCode != 200 {
			t.Errorf("status %d, reason %q", res.StatusCode, res.Header.Get("Stormdoor-Reason"))
		}
	}
	close(leave)
	storm.Wait()
}
