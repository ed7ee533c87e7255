package listen

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// envChild makes the test binary play the new process of a handover, or one that systemd started.
const envChild = "LISTEN_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(envChild); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m,
		// certmagic starts the first once for the process; the second ends by itself some seconds after its lock is gone.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		// The ACME server of the tests cannot be stopped.
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
	)
}

// child serves each connection with "role pid\n" on every inherited socket, until it is asked "quit".
func child(role string) int {
	in, err := FromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	switch role {
	case "broken":
		return 7
	case "hung":
		select {}
	case "systemd":
		fmt.Println(in.Names())
	}
	set, err := Open(strings.Fields(os.Getenv("LISTEN_TEST_ADDRS")), in)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	defer set.Close()
	if len(in.Names()) > 0 || os.Getenv(envHandover) != "" || os.Getenv(envListenFDs) != "" {
		return 5
	}
	quit := make(chan struct{})
	for _, a := range set.Addrs() {
		if l := set.Listener(a); l != nil {
			go answer(l, "new", quit)
		}
	}
	if err := in.Ready(); err != nil {
		return 6
	}
	if role == "systemd" {
		fmt.Println("ready")
	}
	<-quit
	return 0
}

// answer says who to each connection; one that sends "q" ends the process.
func answer(l net.Listener, who string, quit chan struct{}) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprint(c, who)
			var b [1]byte
			if n, _ := c.Read(b[:]); n == 1 && b[0] == 'q' {
				close(quit)
			}
		}()
	}
}
