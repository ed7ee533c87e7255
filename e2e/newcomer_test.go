//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// commands are the README's commands and how they are tried. A command that is not here fails the test, so that nobody
// reads one that was never run.
var commands = map[string]func(t *testing.T, policy string){
	"go run ./cmd/stormdoor serve":                        trySample,
	"make test":                                           func(*testing.T, string) {}, // what runs this test
	"stormdoor check stormdoor.yaml":                      tryCheck,
	"stormdoor serve -c stormdoor.yaml":                   tryServe,
	"stormdoor serve --origin http://127.0.0.1:3000":      tryOrigin,
	"stormdoor replay access.log --policy stormdoor.yaml": tryReplay,
	"stormdoor drill --compare nginx,haproxy":             tryCompare,
}

// blocks returns the fenced blocks of a language in a Markdown text.
func blocks(text, language string) (out []string) {
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, "\n```"+language+"\n")
		if !ok {
			return out
		}
		block, after, ok := strings.Cut(after, "```\n")
		if !ok {
			return out
		}
		out, rest = append(out, block), after
	}
}

func TestEveryCommandOfTheReadmeWorks(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	yaml := blocks(string(text), "yaml")
	if len(yaml) == 0 {
		t.Fatal("the README shows no policy")
	}
	found := commandsOf(string(text))
	if len(found) < 5 {
		t.Errorf("only %d commands were found in the README", len(found))
	}
	for _, line := range found {
		t.Run(line, func(t *testing.T) {
			try := commands[line]
			if try == nil {
				t.Fatal("this test does not know how to run it")
			}
			try(t, yaml[0])
		})
	}
}

// commandsOf returns the lines of the shell blocks, and what the text quotes as a whole command of the door.
func commandsOf(text string) (out []string) {
	for _, block := range blocks(text, "sh") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
	}
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 && strings.HasPrefix(part, "stormdoor ") && len(strings.Fields(part)) > 2 {
			out = append(out, part)
		}
	}
	return out
}

func TestThePoliciesOfTheReadmeAndTheExamplesAreRight(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks(string(text), "yaml") {
		tryCheck(t, block)
	}
	examples, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range examples {
		if _, errs, status := command(t, binary, "check", file); status != 0 && !strings.Contains(errs, "no such file") {
			t.Errorf("%s: exit status %d\n%s", file, status, errs)
		}
	}
}

func taken(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		l.Close()
	}
	return err != nil
}

// trySample is the first thing that anybody does: nothing configured, and it runs.
func trySample(t *testing.T, _ string) {
	args, addr := []string{"serve"}, "127.0.0.1:8080"
	if taken(addr) {
		addr = freeAddr(t)
		args = append(args, "--listen", addr)
	}
	if taken("127.0.0.1:2112") {
		args = append(args, "--admin", "off")
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+t.TempDir())
	p := spawn(t, cmd)
	await(t, "the banner", func() bool { return strings.Contains(p.output(), "Try:  curl -i ") })
	_, rest, _ := strings.Cut(p.output(), "Try:  curl -i ")
	url := strings.Fields(rest)[0]
	if url != "http://"+addr+"/" {
		t.Errorf("the sample is said to be at %s, want http://%s/ as the README says", url, addr)
	}
	// What the banner says is done as it says it.
	if out := curl(t, "-i", url); !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.Contains(out, "<html") {
		t.Errorf("curl -i %s:\n%s", url, out)
	}
	p.signal(os.Interrupt)
	if code := p.ended(); code != 0 {
		t.Errorf("after Ctrl-C: exit status %d", code)
	}
}

func tryCheck(t *testing.T, policy string) {
	t.Helper()
	out, errs, status := command(t, binary, "check", write(t, "stormdoor.yaml", policy))
	if status != 0 || !strings.Contains(out, "is right") {
		t.Errorf("exit status %d\n%s%s", status, out, errs)
	}
}

// tryServe serves the README's policy with an origin, ports and a certificate that exist here.
func tryServe(t *testing.T, policy string) {
	https := freeAddr(t)
	for _, change := range [][2]string{{"http://10.0.0.5:8080", goOrigin(t, hello)}, {"{acme: true}", "{self_signed: true}"}} {
		if !strings.Contains(policy, change[0]) {
			t.Fatalf("the README's policy has no %q any more", change[0])
		}
		policy = strings.Replace(policy, change[0], change[1], 1)
	}
	d := startDoor(t, policy+"\nlisten: {http: [], https: ['"+https+"']}\n")
	out := curl(t, "-k", "--resolve", "shop.example:"+port(https)+":127.0.0.1", "https://shop.example:"+port(https)+"/")
	if out != "hello from the origin\n" {
		t.Errorf("answer %q", out)
	}
	if !strings.Contains(d.output(), "shop.example -> ") {
		t.Error("the banner does not name the site")
	}
}

func tryOrigin(t *testing.T, _ string) {
	d := &door{addr: freeAddr(t), admin: freeAddr(t)}
	d.start(t, exec.Command(binary, "serve", "--origin", goOrigin(t, hello), "--listen", d.addr, "--admin", d.admin))
	if out := curl(t, "http://"+d.addr); out != "hello from the origin\n" {
		t.Errorf("answer %q", out)
	}
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// tryReplay judges a log of one storm: one client sends 300 requests in a second, another two.
func tryReplay(t *testing.T, policy string) {
	var log strings.Builder
	line := func(client string, second int) {
		fmt.Fprintf(&log, "%s - - [10/Oct/2026:13:55:%02d +0000] \"GET /cart HTTP/1.1\" 200 512 \"-\" \"curl/8\"\n", client, second)
	}
	line("192.0.2.1", 1)
	for range 300 {
		line("198.51.100.9", 2)
	}
	line("192.0.2.1", 3)
	policy += "limits: [{name: per-client, rate: 10/s, burst: 20}]\n"
	out, errs, status := command(t, binary, "replay", write(t, "access.log", log.String()), "--policy", write(t, "stormdoor.yaml", policy))
	if status != 0 || !strings.Contains(out, "per-client") || !strings.Contains(out, "198.51.100.9") {
		t.Errorf("exit status %d\n%s%s", status, out, errs)
	}
}

// tryCompare plays one scene of the drill for a moment; `make storms` plays all of them, without the peers.
func tryCompare(t *testing.T, _ string) {
	out, errs, status := command(t, binary, "drill", "--compare", "nginx,haproxy", "--only", "slow-heads", "--seconds", "4")
	if status != 0 && status != 1 { // 1: a law was broken, which a test on a busy machine does not judge
		t.Fatalf("exit status %d\n%s%s", status, out, errs)
	}
	for _, peer := range []string{"nginx", "haproxy"} {
		if !strings.Contains(errs, peer+": served ") {
			t.Errorf("it does not say how %s did:\n%s%s", peer, errs, out)
		}
	}
}
