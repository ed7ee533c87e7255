package listen

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portOwner names the process that holds where, "nginx (process 812)", as far as /proc tells; "" when it does not.
func portOwner(network, where string) string {
	_, p, err := net.SplitHostPort(where)
	if err != nil {
		return ""
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return ""
	}
	for _, table := range []string{network, network + "6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		if inode := listeningInode(string(text), network, uint16(port)); inode != "" {
			if who := socketOwner("/proc", inode); who != "" {
				return who
			}
		}
	}
	return ""
}

// listeningInode finds the socket bound to port in a table such as /proc/net/tcp (proc(5)).
func listeningInode(table, network string, port uint16) string {
	state := "0A" // TCP_LISTEN
	if network == "udp" {
		state = "07" // what an unconnected UDP socket shows
	}
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == state && strings.HasSuffix(f[1], suffix) {
			return f[9]
		}
	}
	return ""
}

// socketOwner finds the process that has the socket open.
func socketOwner(proc, inode string) string {
	want := "socket:[" + inode + "]"
	files, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, f := range files {
		if to, err := os.Readlink(f); err != nil || to != want {
			continue
		}
		dir := filepath.Dir(filepath.Dir(f))
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			return ""
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(dir))
	}
	return ""
}
