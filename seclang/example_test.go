package seclang_test

import (
	"fmt"
	"testing/fstest"

	"stormdoor/seclang"
)

func Example() {
	fsys := fstest.MapFS{"rules/ids.conf": {Data: []byte(`
SecRule ARGS:id "!@rx ^[0-9]{1,9}$" \
    "id:100,phase:1,deny,status:400,log,msg:'An id is a number',logdata:'%{MATCHED_VAR}'"`)}}
	rules, err := seclang.Compile(fsys, seclang.Options{Directives: "SecRuleEngine On\nInclude rules/*.conf"})
	if err != nil {
		fmt.Println(err)
		return
	}
	tx := rules.New(seclang.Start{ID: "1"})
	defer tx.Close()
	tx.RequestLine("GET", "/item?id=1%27--", "HTTP/1.1")
	tx.RequestHeader("Host", "example.org")
	if it := tx.RequestHeadersEnd(); it.Refuses() {
		m := tx.Matches()[0]
		fmt.Printf("%s %d: %s: %s (%s:%d)\n", it.Action, it.Status, m.Message, m.Data, m.Rule.File, m.Rule.Line)
	}
	// Output: deny 400: An id is a number: 1'-- (rules/ids.conf:2)
}
