package seclang_test

import (
	"net/netip"
	"testing"
)

func TestAlike(t *testing.T) {
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	for _, c := range []struct {
		name, directives string
		here, there      bool
	}{
		{"the request alone", `SecRule ARGS|REQUEST_HEADERS|REQUEST_LINE "@rx x" "id:1,phase:1,deny,log,msg:'%{MATCHED_VAR}'"`, true, true},
		{"no rule", ``, true, true},
		{"a list of addresses", `SecRule REMOTE_ADDR "@ipMatch 192.0.2.0/24" "id:1,phase:1,deny"`, false, true},
		{"the same in a chain", "SecRule ARGS \"x\" \"id:1,phase:1,deny,chain\"\nSecRule REMOTE_ADDR \"@ipMatch 192.0.2.0/24\"", false, true},
		{"whoever is not in a list", `SecRule REMOTE_ADDR "!@ipMatch 192.0.2.0/24" "id:1,phase:1,deny"`, false, false},
		{"an address in another way", `SecRule REMOTE_ADDR "@beginsWith 192." "id:1,phase:1,deny"`, false, false},
		{"an address in a message", `SecRule ARGS "x" "id:1,phase:1,deny,log,msg:'%{REMOTE_ADDR}'"`, false, false},
		{"an address that is kept", `SecAction "id:1,phase:1,pass,setvar:tx.a=%{REMOTE_ADDR}"`, false, false},
		{"the time", `SecRule TIME_HOUR "@eq 3" "id:1,phase:1,deny"`, false, false},
		{"the ID", `SecRule UNIQUE_ID "@rx ^a" "id:1,phase:1,deny"`, false, false},
		{"the environment", `SecRule ENV:x "@rx ^a" "id:1,phase:1,deny"`, false, false},
		{"a rule that is always skipped", "SecAction \"id:1,phase:1,pass,skipAfter:END\"\nSecRule UNIQUE_ID \"@rx ^a\" \"id:2,phase:1,deny\"\nSecMarker END", true, true},
	} {
		rules := compileRules(t, c.directives)
		if a, b := rules.Alike(here), rules.Alike(there); a != c.here || b != c.there {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, a, b, c.here, c.there)
		}
	}
	core := compileRules(t, crs("On", ""))
	for addr, want := range map[string]bool{"203.0.113.9": true, "2001:db8::1": true, "127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false} {
		if got := core.Alike(netip.MustParseAddr(addr)); got != want {
			t.Errorf("the Core Rule Set, %s: %v", addr, got)
		}
	}
}
