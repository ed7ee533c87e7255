package openapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stormdoor/flow"
)

// ask is a request as a line: METHOD PATH?QUERY, then fields; behind an empty line its body.
func ask(line string) (*flow.Facts, Body) {
	head, body, _ := strings.Cut(line, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	f := &flow.Facts{Method: method, Proto: flow.HTTP11, Length: int64(len(body))}
	path, query, _ := strings.Cut(target, "?")
	f.Path, f.Query = flow.Path{Raw: path, Clean: path, Script: path}, query
	for _, h := range lines[1:] {
		name, v, _ := strings.Cut(h, ": ")
		f.Header.Add(name, v)
	}
	return f, Body{Bytes: []byte(body), Whole: true}
}

func say(r Result) string {
	out := r.Violation.Kind.String()
	if r.Operation != nil {
		out = r.Operation.ID + " " + out
	}
	if v := r.Violation; v.Field != "" {
		out += " " + v.Field + ": " + v.Expected
		if v.Value != "" {
			out += " <" + v.Value + ">"
		}
	}
	return out
}

func load(t testing.TB, text string) *Document {
	t.Helper()
	file := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func orders(t testing.TB) *Document {
	t.Helper()
	d, err := Load("testdata/orders.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const anID = "0198f4a2-3c61-7a4e-9c5d-1f2e3d4c5b6a"

func TestRequestsAreHeldToADocument(t *testing.T) {
	d := orders(t)
	if len(d.Notes()) > 0 {
		t.Errorf("notes: %q", d.Notes())
	}
	json := "\nContent-Type: application/json; charset=utf-8\n\n"
	form := "\nContent-Type: application/x-www-form-urlencoded\n\n"
	for _, c := range [][2]string{
		{"GET /api/orders", "listOrders conforms"},
		{"GET /orders", "path path: a path that this API has"},
		{"GET /api/orders/", "path path: a path that this API has"},
		{"HEAD /api/orders?limit=5", "listOrders conforms"},
		{"OPTIONS /api/orders", "conforms"},
		{"PUT /api/orders", "method method: GET, HEAD, OPTIONS, POST <PUT>"},
		{"GET /api/orders?limit=100", "listOrders conforms"},
		{"GET /api/orders?limit=101", "listOrders parameter query.limit: an integer, at least 1, at most 100 <101>"},
		{"GET /api/orders?limit=5%27--", "listOrders parameter query.limit: an integer, at least 1, at most 100 <5'-->"},
		{"GET /api/orders?limit=+5", "listOrders parameter query.limit: an integer, at least 1, at most 100 < 5>"},
		{"GET /api/orders?limit=05", "listOrders parameter query.limit: an integer, at least 1, at most 100 <05>"},
		{"GET /api/orders?limit=1e1", "listOrders conforms"},
		{"GET /api/orders?limit=5&limit=6", "listOrders parameter query.limit: one value <6>"},
		{"GET /api/orders?l%69mit=x", "listOrders parameter query.limit: an integer, at least 1, at most 100 <x>"},
		{"GET /api/orders?sort=-created", "listOrders conforms"},
		{"GET /api/orders?sort=name", "listOrders parameter query.sort: one of created, -created, total <name>"},
		{"GET /api/orders?since=2026-02-30", "listOrders parameter query.since: a date such as 2026-12-31 <2026-02-30>"},
		{"GET /api/orders?state=open&state=paid", "listOrders conforms"},
		{"GET /api/orders?state=open&state=lost", "listOrders parameter query.state[1]: one of open, paid, sent <lost>"},
		{"GET /api/orders?ids=1,2,3", "listOrders conforms"},
		{"GET /api/orders?ids=1,x", "listOrders parameter query.ids[1]: an integer <x>"},
		{"GET /api/orders?filter%5Btotal%5D=9.5&filter[gift]=true", "listOrders conforms"},
		{"GET /api/orders?filter[total]=x", "listOrders parameter query.filter.total: a number <x>"},
		{"GET /api/orders?filter[name]=x", "listOrders parameter query.filter.name: no such property <x>"},
		{"GET /api/orders\nX-Tenant: north", "listOrders conforms"},
		{"GET /api/orders\nx-tenant: North", "listOrders parameter header.X-Tenant: a text, of the form ^[a-z]{3,10}$ <North>"},
		{"GET /api/orders\nCookie: a=b; beta=true", "listOrders conforms"},
		{"GET /api/orders\nCookie: a=b; beta=1", "listOrders parameter cookie.beta: true or false <1>"},
		{"GET /api/orders/latest", "latestOrder conforms"},
		{"GET /api/orders/" + anID, "getOrder conforms"},
		{"GET /api/orders/1", "getOrder parameter path.id: a UUID <1>"},
		{"GET /api/orders/" + anID + "/bill.pdf", "getBill conforms"},
		{"GET /api/orders/" + anID + "/bill.doc", "getBill parameter path.kind: one of pdf, xml <doc>"},
		{"DELETE /api/orders/" + anID, "cancelOrder parameter query.reason: something here, for it is required: one of mistake, late"},
		{"POST /api/orders" + json, "createOrder body body: something here, for it is required"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234","count":2}],"note":null}`, "createOrder conforms"},
		{"POST /api/orders" + json + `{"items":[]}`, "createOrder body body.items: a list, at least 1 item, at most 50 items"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234","count":2},{"article":"x"}]}`, "createOrder body body.items[1].article: a text, of the form ^[A-Z]{2}[0-9]{4}$ <x>"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234"}]}`, "createOrder body body.items[0].count: something here, for it is required: an integer, at least 1"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234","count":"2"}]}`, "createOrder body body.items[0].count: an integer, at least 1 <2>"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234","count":2}],"admin":true}`, "createOrder body body.admin: no such property <true>"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234","count":2}],"to":{"street":"x"}}`, "createOrder conforms"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234","count":2}],"to":{"street":"x","box":1}}`, "createOrder body body.to: what the description of this API allows here"},
		{"POST /api/orders" + json + `{"items":[{"article":"AB1234","count":2,"count":3}]}`, `createOrder body body: JSON that has each name once in an object <{"items":[{"article":"AB1234","count":2,"count":3}]}>`},
		{"POST /api/orders" + json + `{"items":`, `createOrder body body: JSON <{"items":>`},
		{"POST /api/orders" + form + "item=5&gift=true&tag=a&tag=b", "createOrder conforms"},
		{"POST /api/orders" + form + "gift=true", "createOrder body body.item: something here, for it is required: an integer"},
		{"POST /api/orders" + form + "item=5&item=6", "createOrder body body.item: an integer"},
		{"POST /api/orders\nContent-Type: text/xml\n\n<a/>", "createOrder type header.Content-Type: one of application/json, application/x-www-form-urlencoded <text/xml>"},
		{"POST /api/orders\n\nitem=1", "createOrder type header.Content-Type: one of application/json, application/x-www-form-urlencoded"},
	} {
		f, body := ask(c[0])
		if got := say(d.Judge(f, body, Options{})); got != c[1] {
			t.Errorf("%s\n got %s\nwant %s", c[0], got, c[1])
		}
	}
}
