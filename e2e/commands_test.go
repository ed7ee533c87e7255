//go:build e2e

package e2e

import (
	"encoding/json"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// judged is a policy that refuses what lies under /admin.
func judged(origin string) string {
	return site(origin) + `
rules: [{name: no-admin, when: path.startsWith('/admin'), then: refuse}]
limits: [{name: few, paths: [/few], rate: 1/h, burst: 1}]
`
}

func TestExplainSaysWhatAPolicyMakesOfARequest(t *testing.T) {
	file := write(t, "stormdoor.yaml", judged("http://127.0.0.1:1"))
	for _, c := range []struct {
		url  string
		want []string
	}{
		{"https://shop.example/cart", []string{"forwarded to the site's origin", "192.0.2.1"}},
		{"https://shop.example/x/..%2fadmin/users", []string{"clean path /admin/users", "refused", "rule.match", "no-admin", "to do"}},
	} {
		out, errs, status := command(t, binary, "explain", c.url, "-c", file)
		for _, w := range c.want {
			if status != 0 || !strings.Contains(out, w) {
				t.Errorf("explain %s: exit status %d, want %q in\n%s%s", c.url, status, w, out, errs)
			}
		}
	}
	out, errs, status := command(t, binary, "explain", "http://shop.example/admin", "-c", file, "-X", "POST", "-H", "User-Agent: test", "--client", "203.0.113.7", "--json")
	var x struct{ Method, Client, Reason string }
	if err := json.Unmarshal([]byte(out), &x); err != nil || status != 0 || x.Method != "POST" || x.Client != "203.0.113.7" || x.Reason != "rule.match" {
		t.Errorf("as JSON: exit status %d, %v: %+v\n%s%s", status, err, x, out, errs)
	}
	for _, wrong := range [][]string{{"shop.example/cart"}, {"http://shop.example/", "--client", "me"}, {"http://shop.example/", "-H", "no colon"}} {
		if out, errs, status := command(t, binary, append([]string{"explain"}, wrong...)...); status != 1 || errs == "" || out != "" {
			t.Errorf("explain %q: exit status %d\n%s%s", wrong, status, out, errs)
		}
	}
}

func TestExplainTellsOfTheReferenceOfARefusal(t *testing.T) {
	d := startDoor(t, judged(goOrigin(t, hello)))
	for _, c := range []struct{ path, status, reason, rule string }{
		{"/admin", "403", "rule.match", "no-admin"},
		{"/few", "200", "", ""},
		{"/few", "429", "limit.rate", "few"},
	} {
		out := curl(t, "-i", "-H", "Accept: application/json", d.url+c.path)
		head, body, _ := strings.Cut(out, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 "+c.status) {
			t.Fatalf("%s: %s", c.path, head)
		}
		if c.reason == "" {
			continue
		}
		_, rest, _ := strings.Cut(head, "Stormdoor-Request-Id: ")
		id := strings.Fields(rest + " none")[0]
		if !strings.Contains(body, id) {
			t.Errorf("%s: the answer does not show its reference %s: %s", c.path, id, body)
		}
		// The outcome is written when the answer has gone out.
		d.logged(`"msg":"request"`, id)
		said, errs, status := command(t, binary, "explain", strings.ToUpper(id), "--admin", d.admin)
		for _, w := range []string{id, c.reason, c.rule, "status " + c.status, "this decides"} {
			if status != 0 || !strings.Contains(said, w) {
				t.Errorf("explain %s: exit status %d, want %q in\n%s%s", id, status, w, said, errs)
			}
		}
	}
	if _, errs, status := command(t, binary, "explain", "0000000000000000", "--admin", d.admin); status != 1 || !strings.Contains(errs, "does not remember") {
		t.Errorf("an unknown reference: exit status %d: %s", status, errs)
	}
	if _, errs, status := command(t, binary, "explain", "0000000000000000", "--admin", freeAddr(t)); status != 1 || !strings.Contains(errs, "--admin") {
		t.Errorf("no door: exit status %d: %s", status, errs)
	}
}

func TestExplainReachesTheAdminListenerOnAUnixSocket(t *testing.T) {
	socket := "unix:" + t.TempDir() + "/admin.sock"
	addr := freeAddr(t)
	file := write(t, "stormdoor.yaml", judged(goOrigin(t, hello))+"listen: {http: ['"+addr+"']}\nadmin: {listen: '"+socket+"'}\n")
	p := spawn(t, exec.Command(binary, "serve", "-c", file))
	await(t, "the door", func() bool {
		c, err := net.Dial("unix", strings.TrimPrefix(socket, "unix:"))
		if err == nil {
			c.Close()
		}
		return err == nil && strings.Contains(p.output(), "serves on")
	})
	if _, errs, status := command(t, binary, "explain", "0000000000000000", "--admin", socket); status != 1 || !strings.Contains(errs, "does not remember") {
		t.Errorf("exit status %d: %s", status, errs)
	}
}

func TestCheckSaysWhatWouldBeInForceOrEveryMistake(t *testing.T) {
	out, errs, status := command(t, binary, "check", write(t, "good.yaml", judged("http://127.0.0.1:3000")))
	for _, w := range []string{"is right", "no-admin", "few", "127.0.0.1:3000"} {
		if status != 0 || !strings.Contains(out, w) {
			t.Errorf("exit status %d, want %q in\n%s%s", status, w, out, errs)
		}
	}
	bad := write(t, "bad.yaml", "sites:\n  - hosts: ['*']\n    orgins: []\n    balance: luck\nrulez: []\n")
	out, errs, status = command(t, binary, "check", bad)
	for _, w := range []string{bad + ":3:5: ", bad + ":4:", bad + ":5:1: ", "3 mistakes; nothing would be put in force"} {
		if status != 1 || !strings.Contains(errs, w) {
			t.Errorf("exit status %d, want %q in\n%s%s", status, w, out, errs)
		}
	}
	bad = write(t, "rule.yaml", site("http://127.0.0.1:1")+"rules: [{name: odd, when: 'pth == 1', then: refuse}]\n")
	if out, errs, status = command(t, binary, "check", bad); status != 1 || !strings.Contains(errs, "pth") || !strings.Contains(errs, "odd") {
		t.Errorf("a rule that does not compile: exit status %d\n%s%s", status, out, errs)
	}
}

func TestCompletionIsAScript(t *testing.T) {
	bash := program(t, "bash")
	script, errs, status := command(t, binary, "completion", "bash")
	if status != 0 {
		t.Fatalf("exit status %d: %s", status, errs)
	}
	file := write(t, "completion.bash", script)
	if _, errs, status := command(t, bash, "-n", file); status != 0 {
		t.Errorf("bash -n: exit status %d: %s", status, errs)
	}
	for _, c := range []struct{ words, want string }{
		{"stormdoor ser", "serve"}, {"stormdoor serve --conf", "--config"}, {"stormdoor explain --jso", "--json"},
	} {
		ask := `source "$0"; COMP_WORDS=(` + c.words + `); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _stormdoor; echo "${COMPREPLY[*]}"`
		out, errs, status := command(t, bash, "--norc", "-c", ask, file)
		if status != 0 || strings.TrimSpace(out) != c.want || errs != "" {
			t.Errorf("%s<tab>: %q, want %q: %s", c.words, out, c.want, errs)
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		if out, errs, status := command(t, binary, "completion", shell); status != 0 || !strings.Contains(out, "serve") {
			t.Errorf("%s: exit status %d\n%s%s", shell, status, out, errs)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range []string{"--help", "serve --help", "check --help", "explain --help", "replay --help", "completion --help", "version"} {
		out, errs, status := command(t, binary, strings.Fields(args)...)
		if status != 0 || len(out) < 10 || errs != "" {
			t.Errorf("%s: exit status %d\n%s%s", args, status, out, errs)
		}
	}
	for _, args := range []string{"", "srve", "serve --prt 80", "serve -c a.yaml --origin http://127.0.0.1:1"} {
		if out, errs, status := command(t, binary, strings.Fields(args)...); status != 2 || errs == "" || strings.Contains(out+errs, "goroutine") {
			t.Errorf("%q: exit status %d\n%s%s", args, status, out, errs)
		}
	}
}
