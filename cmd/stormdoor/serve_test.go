package main

import (
	"testing"

	"stormdoor/policy"
)

// Who names nothing but an origin gets all of the defence; a policy says for itself whether the firewall is on.
func TestServeWithoutAPolicyHasTheFirewall(t *testing.T) {
	p, err := serveCmd{Origin: "http://127.0.0.1:3000"}.load("")
	if err != nil || p.Sites[0].WAF != policy.WAFBlocks {
		t.Errorf("--origin: the firewall is %q, %v", p.Sites[0].WAF, err)
	}
	file := writeFile(t, "a.yaml", "sites: [{hosts: ['*'], origins: ['http://127.0.0.1:3000']}]\n")
	if p, err = (serveCmd{Config: file}).load(""); err != nil || p.Sites[0].WAF != policy.WAFOff {
		t.Errorf("a policy: the firewall is %q, %v", p.Sites[0].WAF, err)
	}
}

// The admin listener has no password, so the flag may open it no further than a policy may.
func TestAdminOfTheCommandLineStaysOnThisMachine(t *testing.T) {
	for _, at := range []string{"0.0.0.0:2112", ":2112", "[::]:2112", "192.0.2.1:2112", "nonsense"} {
		if _, err := (serveCmd{Origin: "http://127.0.0.1:3000", Admin: at}).load(""); err == nil {
			t.Errorf("--admin %s is taken", at)
		}
	}
	for _, at := range []string{"127.0.0.1:0", "[::1]:2112", "localhost:2112", "unix:/run/a.sock", "off"} {
		if _, err := (serveCmd{Origin: "http://127.0.0.1:3000", Admin: at}).load(""); err != nil {
			t.Errorf("--admin %s: %v", at, err)
		}
	}
}
