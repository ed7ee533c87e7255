package listen

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notify tells the service manager how the door is doing, by the protocol of sd_notify(3): "READY=1", "RELOADING=1",
// "STOPPING=1", "STATUS=…", "MAINPID=…", "WATCHDOG=1", one a line. "RELOADING=1" gets the MONOTONIC_USEC that it
// needs. Without a service manager that listens it does nothing.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:]
	}
	if strings.Contains(state, "RELOADING=1") && !strings.Contains(state, "MONOTONIC_USEC=") {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return fmt.Errorf("notify the service manager: %w", err)
		}
		state += "\nMONOTONIC_USEC=" + strconv.FormatInt(ts.Nano()/1000, 10)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}

// WatchdogInterval is how often the service manager wants to hear "WATCHDOG=1": half of what it waits (see
// sd_watchdog_enabled(3)). It is 0 when it does not watch this process.
func WatchdogInterval() time.Duration {
	if pid := os.Getenv(envWatchdogPID); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 {
		return 0
	}
	return time.Duration(us) * time.Microsecond / 2
}
