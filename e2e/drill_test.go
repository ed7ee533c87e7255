//go:build e2e

package e2e

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A drill of one scene, as a newcomer would run it, with everything that it can write.
func TestDrillWritesItsScorecard(t *testing.T) {
	dir, temporary := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	file := func(name string) string { return filepath.Join(dir, name) }
	out, errs, status := command(t, binary, "drill", "--only", "slow-heads", "--seconds", "5", "--json", file("card.json"), "--markdown", file("card.md"),
		"--html", file("card.html"), "--record", file("tape.log"), "--compare", "nginx,haproxy")
	if status != 0 && status != 1 { // 1: a law was broken, which a test on a busy machine does not judge
		t.Fatalf("exit status %d\n%s%s", status, out, errs)
	}
	var card struct {
		Scenes []struct {
			Scene string
			All   struct{ During struct{ Asked, Served int } }
			Peers []struct {
				Name   string
				Before struct{ Asked, Served int }
			}
		}
	}
	b, err := os.ReadFile(file("card.json"))
	if err == nil {
		err = json.Unmarshal(b, &card)
	}
	if err != nil || len(card.Scenes) != 1 || card.Scenes[0].Scene != "slow-heads" || card.Scenes[0].All.During.Asked == 0 || len(card.Scenes[0].Peers) != 2 {
		t.Errorf("card.json: %v, %+v", err, card)
	}
	for _, p := range card.Scenes[0].Peers { // a peer that fails without a storm proves nothing about storms
		if p.Before.Served*10 < p.Before.Asked*8 || p.Before.Asked == 0 {
			t.Errorf("%s served %d of %d before the storm", p.Name, p.Before.Served, p.Before.Asked)
		}
	}
	for name, want := range map[string]string{"card.md": "| who | asked |", "card.html": "<polyline class=\"served\"", "tape.log": `"msg":"request"`} {
		b, err := os.ReadFile(file(name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(temporary, "*")); len(left) > 0 {
		t.Errorf("it has left %v behind", left)
	}
}

// A drill tries the operator's own policy, whatever hosts, origins and routes it has.
func TestDrillTriesAPolicy(t *testing.T) {
	file := write(t, "stormdoor.yaml", `
sites:
  - hosts: [my.example, www.my.example]
    origins: [http://10.0.0.5:8080]
    tls: {acme: true}
    routes: [{path: /api/*, origins: ['http://10.0.0.6:8080']}]
  - {hosts: ["*"], origins: [http://10.0.0.7:8080]}
acme: {agree: true}
limits: [{name: api, paths: ["/api/*"], rate: 20/s}]
waf: {mode: count}
`)
	out, errs, status := command(t, binary, "drill", "-c", file, "--only", "quiet-day", "--seconds", "4")
	if status != 0 && status != 1 || !strings.Contains(out, "all storms together") { // 1: a law was broken, as above
		t.Errorf("exit status %d\n%s%s", status, out, errs)
	}
}

// What a drill's processes ask of the system, seen from outside of them: not one address that is not loopback.
func TestDrillStaysOnLoopback(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(program(t, "strace"), "-f", "-qq", "-e", "trace=connect,bind,sendto", "-e", "signal=none", "-o", trace, binary, "drill", "--only", "guessing", "--seconds", "4")
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err != nil && code != 1 {
		t.Fatalf("exit status %d\n%s", code, out)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	sockets := 0
	for _, m := range regexp.MustCompile(`inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
		sockets++
		if a, err := netip.ParseAddr(m[1] + m[2]); err != nil || !a.Unmap().IsLoopback() {
			t.Errorf("a socket with the address %s%s", m[1], m[2])
		}
	}
	if sockets < 300 {
		t.Errorf("only %d sockets were seen", sockets)
	}
}

func TestDrillMistakesAreToldPlainly(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--only", "no-such-scene"}, "--list"},
		{[]string{"--seconds", "1"}, "lasts from"},
		{[]string{"--only", "slow-heads", "--seconds", "4", "--compare", "apache"}, "haproxy nginx"},
		{[]string{"-c", "/no/such/policy.yaml", "--only", "slow-heads"}, "/no/such/policy.yaml"},
	} {
		out, errs, status := command(t, binary, append([]string{"drill"}, c.args...)...)
		if status != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("%q: exit status %d, want %q in\n%s%s", c.args, status, c.want, out, errs)
		}
	}
	out, _, status := command(t, binary, "drill", "--list")
	if status != 0 || !strings.Contains(out, "flood-one-page") || !strings.Contains(out, "not built yet") {
		t.Errorf("--list: exit status %d\n%s", status, out)
	}
}
