package site

import (
	"strings"
	"testing"

	"stormdoor/policy"
)

func TestFindPrefersTheMostSpecificHost(t *testing.T) {
	table, err := New([]policy.Site{
		{Name: "any", Hosts: []string{"*"}},
		{Name: "wild", Hosts: []string{"*.shop.example"}},
		{Name: "deep", Hosts: []string{"*.eu.shop.example"}},
		{Name: "exact", Hosts: []string{"www.shop.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"www.shop.example":  "exact",
		"api.shop.example":  "wild",
		"a.b.shop.example":  "wild",
		"a.eu.shop.example": "deep",
		"eu.shop.example":   "wild",
		"shop.example":      "any",
		"":                  "any",
		"127.0.0.1":         "any",
	} {
		if got := table.Find(host).Policy.Name; got != want {
			t.Errorf("Find(%q) = %s, want %s", host, got, want)
		}
	}
}

func TestUnknownHostHasNoSite(t *testing.T) {
	table, err := New([]policy.Site{{Name: "a", Hosts: []string{"a.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	if s := table.Find("b.example"); s != nil {
		t.Errorf("Find(b.example) = %s, want none", s.Policy.Name)
	}
}

func TestHostInTwoSites(t *testing.T) {
	for _, h := range []string{"a.example", "*.a.example", "*"} {
		_, err := New([]policy.Site{{Name: "one", Hosts: []string{h}}, {Name: "two", Hosts: []string{h}}})
		if err == nil || !strings.Contains(err.Error(), `"one" and "two"`) {
			t.Errorf("%s: err = %v, want both sites named", h, err)
		}
	}
}

func TestRoutePrefersTheMostSpecificPath(t *testing.T) {
	table, err := New([]policy.Site{{Name: "a", Hosts: []string{"*"}, Routes: []policy.Route{
		{Name: "api", Path: "/api/*"},
		{Name: "users", Path: "/api/users"},
		{Name: "post", Path: "/api/*", Methods: []string{"POST"}},
		{Name: "img", Path: "/img*"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/api/x", "api"}, {"POST", "/api/x", "post"}, {"GET", "/api/users", "users"}, {"POST", "/api/users", "users"},
		{"GET", "/api/users/1", "api"}, {"GET", "/api", "api"}, {"GET", "/apix", ""}, {"GET", "/imgs", "img"}, {"GET", "/", ""},
	} {
		got := ""
		if r := table.Find("x").Route(c.path, c.method); r != nil {
			got = r.Name
		}
		if got != c.want {
			t.Errorf("%s %s: route %q, want %q", c.method, c.path, got, c.want)
		}
	}
}

func BenchmarkFindAndRoute(b *testing.B) {
	table, err := New([]policy.Site{{Name: "wild", Hosts: []string{"*.shop.example"}, Routes: []policy.Route{{Path: "/api/*"}, {Path: "/login"}}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		table.Find("www.shop.example").Route("/index.html", "GET")
	}
}
