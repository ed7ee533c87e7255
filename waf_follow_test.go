package stormdoor

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"stormdoor/flow"
)

const guardedSite = `
sites: [{hosts: ["127.0.0.1", "*.example"], origins: ["ORIGIN"]}]
waf: {mode: block}
`

// longJSON is a document of about so many bytes, with the value in its last member.
func longJSON(size int, value string) string {
	var b strings.Builder
	for b.WriteString(`{"items":[`); b.Len() < size; {
		fmt.Fprintf(&b, `{"name":"door %d is open today"},`, b.Len()*7919%100_003)
	}
	return b.String() + `{}],"last":"` + value + `"}`
}

func zipped(t *testing.T, level int, text string) string {
	var b strings.Builder
	w, err := gzip.NewWriterLevel(&b, level)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const hostile = "1' UNION SELECT password FROM users--"

// An attack far behind what is inspected at once is refused as any other is, and the origin never has the request whole.
func TestAnAttackInTheRestOfABodyIsRefused(t *testing.T) {
	whole := make(chan bool, 16) // more than there are requests
	r := start(t, strings.Replace(guardedSite, "ORIGIN", upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		whole <- err == nil
		ok(w, r)
	}), 1))
	var reference, coding string
	post := func(body io.Reader) (int, string) {
		q, err := http.NewRequest("POST", r.url+"/comment", body)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		if coding != "" {
			q.Header.Set("Content-Encoding", coding)
		}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		reference = res.Header.Get("Stormdoor-Request-Id")
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"announced": func(r io.Reader) io.Reader { return r },
		"chunked":   func(r io.Reader) io.Reader { return io.MultiReader(r) },
	} {
		if status, text := post(wrap(strings.NewReader(longJSON(600<<10, "harmless")))); status != 200 || text != "from the origin" || !<-whole {
			t.Errorf("%s, harmless: %d %.200s", name, status, text)
		}
		if status, text := post(wrap(strings.NewReader(longJSON(600<<10, hostile)))); status != 403 || <-whole {
			t.Errorf("%s, an attack at its end: %d %.200s", name, status, text)
		}
	}
	coding = "gzip"
	for name, level := range map[string]int{"stored": gzip.NoCompression, "packed": gzip.BestSpeed} {
		if status, text := post(strings.NewReader(zipped(t, level, longJSON(600<<10, "harmless")))); status != 200 || text != "from the origin" || !<-whole {
			t.Errorf("%s, harmless: %d %.200s", name, status, text)
		}
		if status, text := post(strings.NewReader(zipped(t, level, longJSON(600<<10, hostile)))); status != 403 || <-whole {
			t.Errorf("%s, an attack at its end: %d %.200s", name, status, text)
		}
	}
	r.stop()
	id, _ := flow.ParseRequestID(reference)
	x, ok := r.door.ExplainRecent(t.Context(), id)
	if !ok || x.Reason != flow.WAFScore || x.Ended.Status != 403 || x.Ended.Origin == "" {
		t.Errorf("explained %v: %+v", ok, x)
	}
	if in, ok, err := r.door.InspectRecent(id); !ok || err != nil || !strings.Contains(in.String(), "ARGS:json.last") {
		t.Errorf("%v, %v: inspected as\n%s", ok, err, in)
	}
}

// An origin that answers before it has the body whole has answered: what is found in the rest is noted.
func TestAnOriginThatAnswersEarlyIsHeard(t *testing.T) {
	r := start(t, strings.Replace(guardedSite, "ORIGIN", upstream(t, ok), 1))
	res, err := http.Post(r.url+"/comment", "application/json", strings.NewReader(longJSON(200<<10, "harmless")))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(text) != "from the origin" {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// A handler behind the embedded form cannot read on where something is found, and its visitor is refused.
func TestTheRestIsInspectedInTheEmbeddedForm(t *testing.T) {
	d, err := New(parse(t, guarded), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for value, want := range map[string]int{"harmless": 200, hostile: 403} {
		body := longJSON(300<<10, value)
		r := httptest.NewRequest("POST", "http://shop.example/comment", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		var read int64
		d.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { read, _ = io.Copy(io.Discard, r.Body) })).ServeHTTP(w, r)
		if w.Code != want || (read == int64(len(body))) != (want == 200) {
			t.Errorf("%q: %d after %d of %d bytes", value, w.Code, read, len(body))
		}
	}
}
