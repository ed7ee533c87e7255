//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// line is a line of the door's log.
type line struct {
	Level, Msg, Error string
	NewPID            int `json:"new_pid"`
}

// logged waits for a line of the log that holds all the words, and returns it.
func (d *door) logged(words ...string) (found line) {
	d.t.Helper()
	await(d.t, fmt.Sprintf("a line of the log with %q", words), func() bool {
	lines:
		for text := range strings.Lines(d.output()) {
			for _, w := range words {
				if !strings.Contains(text, w) {
					continue lines
				}
			}
			return json.Unmarshal([]byte(text), &found) == nil
		}
		return false
	})
	return found
}

func says(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, what) }
}

func TestReloadUnderLoadHarmsNobody(t *testing.T) {
	one, two := goOrigin(t, says("one")), goOrigin(t, says("two"))
	d := startDoor(t, site(one))
	for _, fresh := range []bool{false, true} {
		v := visit(t, d.url, fresh)
		defer v.unharmed(t)
	}
	v := visitByHTTP2(t, d.url)
	v.more(t, 100)
	for i := range 6 {
		want, origin := "one", one
		if i%2 == 0 {
			want, origin = "two", two
		}
		d.rewrite(site(origin))
		d.signal(syscall.SIGHUP)
		await(t, "an answer from "+want, func() bool {
			_, body, err := fetch(d.url)
			return err == nil && body == want
		})
	}
	v.more(t, 100)
	d.logged("the policy is in force", "SIGHUP")
	v.unharmed(t)
}

func TestABadPolicyIsSaidAndNotApplied(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, hello)))
	v := visit(t, d.url, false)
	v.more(t, 100)
	for _, c := range []struct{ policy, want string }{
		{"sites:\n  - hosts: ['*']\n    orgins: ['http://127.0.0.1:1']\n", d.file + ":3:5: "},
		{"sites: [", d.file + ":1:"},
		{site("http://127.0.0.1:1") + "lists: [{name: gone, action: refuse, file: /nowhere/list.txt}]\n", "/nowhere/list.txt"},
		{site("http://127.0.0.1:1") + "limit_table: {memory: 2MiB}\n", "kill -USR2"},
	} {
		d.rewrite(c.policy)
		d.signal(syscall.SIGHUP)
		if said := d.logged("the policy was not applied", c.want); said.Level != "ERROR" {
			t.Errorf("%q: said as %s", c.want, said.Level)
		}
	}
	v.more(t, 100)
	v.unharmed(t)
}

func TestTheDoorLooksAtItsFilesWhenAsked(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, says("one")))+"watch: true\n")
	d.rewrite(site(goOrigin(t, says("two"))) + "watch: true\n")
	await(t, "the new policy", func() bool { _, body, _ := fetch(d.url); return body == "two" })
}

func TestRequestsUnderWayEndBeforeTheDoorDoes(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	d := startDoor(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-goOn
		hello(w, r)
	})))
	got := make(chan string, 1)
	go func() { _, body, err := fetch(d.url); got <- fmt.Sprint(body, err) }()
	<-asked
	d.signal(syscall.SIGTERM)
	d.logged("waiting for requests under way")
	close(goOn)
	if answer := <-got; answer != "hello from the origin\n<nil>" {
		t.Errorf("the request under way got %q", answer)
	}
	if code := d.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestSystemdSocketIsUsed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	d := &door{addr: l.Addr().String(), admin: freeAddr(t)}
	d.file = write(t, "stormdoor.yaml", d.policy(site(goOrigin(t, hello))))
	// LISTEN_PID is the door's own, so that a shell says it and becomes the door.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=stormdoor.socket exec "$0" "$@"`, binary, "serve", "-c", d.file)
	cmd.ExtraFiles = []*os.File{socket}
	// A connection from before the start waits for the door: nobody is refused while it is restarted.
	early := make(chan string, 1)
	go func() { _, body, err := fetch("http://" + d.addr); early <- fmt.Sprint(body, err) }()
	d.start(t, cmd)
	select {
	case answer := <-early:
		if answer != "hello from the origin\n<nil>" {
			t.Errorf("the early visitor got %q", answer)
		}
	case <-time.After(patience):
		t.Error("the early visitor got nothing")
	}
}

func TestANotifiedSystemdKnowsWhenTheDoorIsReady(t *testing.T) {
	path := t.TempDir() + "/notify"
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &door{addr: freeAddr(t), admin: freeAddr(t)}
	d.file = write(t, "stormdoor.yaml", d.policy(site(goOrigin(t, hello))))
	cmd := exec.Command(binary, "serve", "-c", d.file)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path)
	d.start(t, cmd)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	said := func() string {
		b := make([]byte, 4096)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if got := said(); got != "READY=1" {
		t.Errorf("said %q first", got)
	}
	d.signal(syscall.SIGHUP)
	if got := said(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("said %q when reloading", got)
	}
	if got := said(); got != "READY=1" {
		t.Errorf("said %q after reloading", got)
	}
}

// TestAReloadMovesTheLog: place, form and share are the policy's, and a policy that is refused changes none of them.
func TestAReloadMovesTheLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "door.log")
	plain := site(goOrigin(t, hello))
	d := startDoor(t, plain)
	d.rewrite(plain + "log: {file: " + file + ", format: console, access: 1}\nlists: [{name: gone, action: refuse, file: /nowhere}]\n")
	d.refusesReload(t, "a policy with a list that is gone", "/nowhere")
	d.rewrite(plain + "log: {file: /nowhere/door.log}\n")
	d.refusesReload(t, "a log in a folder that is not there", "/nowhere/door.log")
	d.rewrite(plain + "log: {file: " + file + ", format: console, access: 1}\n")
	d.signal(syscall.SIGHUP)
	await(t, "the log in its file", func() bool {
		if status, _, err := fetch(d.url); err != nil || status != 200 {
			t.Fatalf("%d, %v", status, err)
		}
		return strings.Contains(text(t, file), " 200 GET 127.0.0.1/")
	})
	d.rewrite(plain)
	d.signal(syscall.SIGHUP)
	d.logged(`"msg":"the policy is in force"`)
}
