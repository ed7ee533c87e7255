package stormdoor

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stormdoor/flow"
)

const ordersAPI = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /orders:
    post:
      operationId: createOrder
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [count], properties: {count: {type: integer, maximum: 9}, note: {type: string}}}
`

// heldTo returns a door whose one site is held to ordersAPI, by the policy's further fields of the site.
func heldTo(t *testing.T, site string) *Door {
	t.Helper()
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(ordersAPI), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := New(parse(t, "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1'], "+strings.ReplaceAll(site, "FILE", file)+"}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A body is held to the document also where the firewall is off: it reaches the handler whole or not at all, and programs
// are told what was expected.
func TestBodiesAreHeldToADocument(t *testing.T) {
	d := heldTo(t, "openapi: {file: FILE, mode: block}")
	got := ""
	h := d.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = string(b)
	}))
	ask := func(method, body string) *httptest.ResponseRecorder {
		got = ""
		r := httptest.NewRequest(method, "http://shop.example/orders", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := ask("POST", `{"count":3}`); w.Code != 200 || got != `{"count":3}` {
		t.Errorf("status %d, the handler read %q", w.Code, got)
	}
	w := ask("POST", `{"count":30}`)
	var said struct {
		Status int
		Reason flow.Reason
		Errors []struct{ Field, Detail string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	if w.Code != 400 || got != "" || said.Reason != flow.OpenAPIBody || len(said.Errors) != 1 || said.Errors[0].Field != "body.count" || said.Errors[0].Detail != "expected an integer, at most 9" {
		t.Errorf("status %d, the handler read %q, the client %s", w.Code, got, w.Body)
	}
	id, _ := flow.ParseRequestID(w.Header().Get("Stormdoor-Request-Id"))
	if x, ok := d.ExplainRecent(context.Background(), id); !ok || !strings.Contains(x.String(), `body.count: expected an integer, at most 9, there is "30"`) {
		t.Errorf("explained %v as\n%s", ok, x)
	}
	if in, ok, err := d.InspectRecent(id); !ok || err != nil || !strings.Contains(in.String(), `operation createOrder; body.count: expected an integer, at most 9, there is "30"`) {
		t.Errorf("%v, %v: inspected as\n%s", ok, err, in)
	}
	if w := ask("PUT", "{}"); w.Code != 405 || w.Header().Get("Allow") != "OPTIONS, POST" || got != "" {
		t.Errorf("status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	m := httptest.NewRecorder()
	d.Metrics().Handler().ServeHTTP(m, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`{operation="createOrder",outcome="body",site="shop.example"} 1`, `{operation="createOrder",outcome="conforms",site="shop.example"} 1`, `{operation="",outcome="method",site="shop.example"} 1`} {
		if !strings.Contains(m.Body.String(), "stormdoor_openapi_requests_total"+want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
	if n := d.heldBodies.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}

// Where the document only counts, the rules still refuse, and the log has what both found.
func TestRulesJudgeBesideADocument(t *testing.T) {
	d := heldTo(t, "openapi: FILE, waf: block")
	in, err := d.Inspect(context.Background(), Question{URL: "http://shop.example/orders", Method: "POST", Body: []byte(`{"count":"1' OR '1'='1"}`),
		Header: []flow.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "x"}, {Name: "Accept", Value: "*/*"}}})
	if err != nil {
		t.Fatal(err)
	}
	if in.Reason != flow.WAFScore || in.Noted || in.OpenAPI == nil || in.OpenAPI.Field != "body.count" || in.Verdict.Found.Matches[0].Field != "body.count" || len(in.Verdict.Found.Matches) < 2 {
		t.Errorf("%+v", in)
	}
}

// A mistake in a document is one of the policy, and nothing is put in force.
func TestAMistakeInADocumentIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(ordersAPI, "maximum: 9", "maximum: nine", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(parse(t, "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1'], openapi: "+file+"}]"), Options{})
	if want := file + ":12: #/paths/~1orders/post/requestBody/content/application~1json/schema/properties/count/maximum: maximum is a number"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}
