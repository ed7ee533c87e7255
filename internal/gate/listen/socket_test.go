package listen

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	tcp, udp, unix := freeAddr(t), "udp:127.0.0.1:0", "unix:"+filepath.Join(dir, "s")
	// A file that an earlier process has left is in the way and is removed.
	old, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()

	set, err := Open([]string{tcp, udp, unix, tcp}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Addrs(); len(got) != 3 {
		t.Errorf("addresses %q", got)
	}
	if set.Packet(udp) == nil || set.Listener(udp) != nil || set.Listener("nobody") != nil {
		t.Error("the packet socket is not where it belongs")
	}
	if st, err := os.Stat(filepath.Join(dir, "s")); err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("unix socket: %v, %v", st, err)
	}
	for _, a := range []string{tcp, unix} {
		go func() {
			if c, err := set.Listener(a).Accept(); err == nil {
				c.Close()
			}
		}()
		network, where, _ := splitAddr(a)
		c, err := net.Dial(network, where)
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		io.ReadAll(c)
		c.Close()
	}

	// The next set shares what both name, and retiring closes only the rest.
	more := freeAddr(t)
	next, err := set.Next([]string{tcp, more}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if next.Listener(tcp) != set.Listener(tcp) {
		t.Error("a socket that stays was opened again")
	}
	if err := set.Retire(next); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unix socket's file is still there: %v", err)
	}
	c, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatalf("the socket that stays is closed: %v", err)
	}
	c.Close()
	if err := next.Listener(tcp).Close(); err != nil { // as whoever serves it does
		t.Error(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	answered, err := net.Listen("unix", filepath.Join(dir, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer answered.Close()
	os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
	free := freeAddr(t)
	for addr, want := range map[string]string{
		busy.Addr().String():               "(process ", // this very process, by /proc
		"192.0.2.1:80":                     "no such address",
		"80":                               `want "host:port"`,
		"127.0.0.1:http":                   "not a port",
		"127.0.0.1:65536":                  "not a port",
		"unix:":                            "path is missing",
		"unix:" + dir + "/busy":            "another process answers",
		"unix:" + dir + "/file":            "not a socket",
		"unix:" + dir + "/no/such":         "make the folder first",
		"udp:" + busy.Addr().String()[0:9]: `want "host:port"`,
	} {
		set, err := Open([]string{free, addr}, nil)
		if err == nil {
			set.Close()
			t.Errorf("%s: opened", addr)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: the error says %q, want %q", addr, err, want)
		}
	}
	// All or none: the good address was closed again.
	l, err := net.Listen("tcp", free)
	if err != nil {
		t.Fatalf("a socket of a failed Open is still open: %v", err)
	}
	l.Close()
	if _, err := Open([]string{"80", "unix:"}, nil); err == nil || strings.Count(err.Error(), "listen on") != 2 {
		t.Errorf("want both mistakes at once, got %v", err)
	}
}

// hammer connects again and again until stop is called, and counts who answered and how often nobody did.
type hammer struct {
	old, young, failed atomic.Int64
	last               atomic.Value
	stop               func()
}

func newHammer(network, where string) *hammer {
	h, ctx, all := &hammer{}, context.Context(nil), sync.WaitGroup{}
	ctx, cancel := context.WithCancel(context.Background())
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				h.once(network, where)
			}
		})
	}
	h.stop = func() { cancel(); all.Wait() }
	return h
}

func (h *hammer) once(network, where string) {
	c, err := net.Dial(network, where)
	var b [3]byte
	if err == nil {
		_, err = io.ReadFull(c, b[:])
		c.Close()
	}
	switch {
	case err != nil:
		h.last.Store(err)
		h.failed.Add(1)
	case string(b[:]) == "new":
		h.young.Add(1)
	default:
		h.old.Add(1)
	}
}

func ask(t *testing.T, network, where, word string) string {
	t.Helper()
	c, err := net.Dial(network, where)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, word)
	var b [3]byte
	io.ReadFull(c, b[:])
	return string(b[:])
}

func TestHandover(t *testing.T) {
	tcp, path := freeAddr(t), filepath.Join(t.TempDir(), "door.sock")
	addrs := []string{tcp, "unix:" + path, "udp:" + tcp}
	set, err := Open(addrs, nil)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	quit := make(chan struct{})
	for _, a := range addrs[:2] {
		served.Go(func() { answer(set.Listener(a), "old", quit) })
	}
	env := func(role string) []string {
		return append(os.Environ(), envChild+"="+role, "LISTEN_TEST_ADDRS="+strings.Join(addrs, " "))
	}
	th, uh := newHammer("tcp", tcp), newHammer("unix", path)

	for _, c := range []struct {
		role    string
		timeout time.Duration // long where the new process has to have the time to end by itself
		want    string
	}{{"broken", 20 * time.Second, "exit status 7"}, {"hung", 300 * time.Millisecond, "was not ready within"}} {
		_, err := set.Handover(t.Context(), Handover{Env: env(c.role), Timeout: c.timeout})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "goes on serving") {
			t.Errorf("%s: %v, want %q", c.role, err, c.want)
		}
		if who := ask(t, "tcp", tcp, "?"); who != "old" {
			t.Errorf("after a failed handover %q answers", who)
		}
	}
	if _, err := set.Handover(t.Context(), Handover{Path: "/no/such/binary"}); err == nil {
		t.Error("a missing binary took over")
	}

	pid, err := set.Handover(t.Context(), Handover{Env: env("handover"), Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	set.Close() // the old process stops accepting
	served.Wait()
	for range 50 {
		if who := ask(t, "tcp", tcp, "?"); who != "new" {
			t.Fatalf("%q answers after the handover", who)
		}
	}
	th.stop()
	uh.stop()
	for name, h := range map[string]*hammer{"tcp": th, "unix": uh} {
		t.Logf("%s: %d by the old, %d by the new process", name, h.old.Load(), h.young.Load())
		if h.failed.Load() > 0 || h.old.Load() == 0 || h.young.Load() == 0 {
			t.Errorf("%s: %d connections failed, the last with %v", name, h.failed.Load(), h.last.Load())
		}
	}
	ask(t, "unix", path, "q")
	p, err := os.FindProcess(pid)
	if err == nil {
		p.Wait()
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new process left its unix socket behind: %v", err)
	}
}

func TestSystemdActivation(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	addrs := []string{tcp.Addr().String(), "unix:" + path}
	// The shell stands for systemd: it knows the process's own number.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"=systemd", envListenFDs+"=2", envListenNames+"=web:sock",
		"LISTEN_TEST_ADDRS="+strings.Join(addrs, " "))
	cmd.Stderr = os.Stderr
	for _, l := range []filer{tcp.(*net.TCPListener), unix.(*net.UnixListener)} {
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	tcp.Close()
	unix.(*net.UnixListener).SetUnlinkOnClose(false)
	unix.Close()
	var out strings.Builder
	ready, w := io.Pipe()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	for !strings.Contains(out.String(), "ready") {
		n, err := ready.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(buf[:n])
	}
	if !strings.Contains(out.String(), "[web "+addrs[0]+" sock "+path+"]") {
		t.Errorf("the child inherited %q", out.String())
	}
	if who := ask(t, "tcp", addrs[0], "?"); who != "new" {
		t.Errorf("%q answers", who)
	}
	if who := ask(t, "unix", path, "q"); who != "new" {
		t.Errorf("%q answers on the unix socket", who)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the child removed a socket that is systemd's: %v", err)
	}
}

func TestEnvironmentForSomebodyElse(t *testing.T) {
	t.Setenv(envListenPID, "1")
	t.Setenv(envListenFDs, "1")
	in, err := FromEnvironment()
	if in != nil || err != nil {
		t.Errorf("took %v, %v from another process", in, err)
	}
	if err := in.Ready(); err != nil {
		t.Error(err)
	}
	if in.Names() != nil || in.Close() != nil {
		t.Error("nothing inherited is not nothing")
	}
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify("READY=1"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	for _, name := range []string{path, "@stormdoor-test-" + filepath.Base(t.TempDir()) + strings.ReplaceAll(path, "/", "-")} {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", name)
		for state, want := range map[string]string{
			"READY=1\nSTATUS=2 sites": "READY=1\nSTATUS=2 sites",
			"RELOADING=1":             "RELOADING=1\nMONOTONIC_USEC=",
		} {
			if err := Notify(state); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 1000)
			n, err := c.Read(b)
			if err != nil || !strings.HasPrefix(string(b[:n]), want) {
				t.Errorf("got %q, %v, want %q", b[:n], err, want)
			}
		}
		c.Close()
	}
	if err := Notify("READY=1"); err == nil {
		t.Error("a dead service manager is no error")
	}
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "")
	if d := WatchdogInterval(); d != 15*time.Second {
		t.Errorf("watchdog every %v", d)
	}
	t.Setenv("WATCHDOG_PID", "1")
	if d := WatchdogInterval(); d != 0 {
		t.Errorf("another process's watchdog: %v", d)
	}
}
