package stormdoor

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"stormdoor/flow"
)

// Who asks about a host that no site claims reads which hosts there are, a handful of them where there are many.
func TestExplainNamesTheHosts(t *testing.T) {
	many := ""
	for i := range 30 {
		many += fmt.Sprintf(", h%d.example", i)
	}
	for text, want := range map[string]string{
		"sites: [{hosts: [shop.example, '*.shop.example'], origins: ['http://127.0.0.1:1']}, {hosts: [b.example], origins: ['http://127.0.0.1:1']}]": "there are shop.example, *.shop.example, b.example\n",
		"sites: [{hosts: [a.example" + many + "], origins: ['http://127.0.0.1:1']}, {hosts: [b.example], origins: ['http://127.0.0.1:1']}]":          "h17.example, h18.example and 12 more\n",
	} {
		d, err := New(parse(t, text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		x, err := d.Explain(context.Background(), Question{URL: "http://unknown.example/"})
		if err != nil || x.Reason != flow.SiteUnknown || !strings.Contains(x.String(), want) {
			t.Errorf("%v, want %q:\n%s", err, want, x)
		}
	}
}
