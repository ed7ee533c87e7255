package listen

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// Bounds of the memory that connections may hold where the policy says nothing, in bytes.
const (
	memoryShare   = 4         // the part of what the process may use
	memoryLeast   = 64 << 20  // and not less than this
	memoryUnknown = 512 << 20 // where nobody can say what the process may use
)

// ConnectionMemory is what the connections of a door may hold together, in bytes, where nobody has said it: a quarter of
// what the machine has or the process's control group may use. The garbage collector needs as much again at the worst
// moment, and the kernel holds for each connection what is on its way.
func ConnectionMemory() int64 {
	limit := memoryLimit(os.DirFS("/"))
	if limit == 0 {
		return memoryUnknown
	}
	return max(limit/memoryShare, memoryLeast)
}

// memoryLimit reads what the process may use from the files of the system at root; 0 when they do not say.
func memoryLimit(root fs.FS) int64 {
	limit := totalMemory(readText(root, "proc/meminfo"))
	for line := range strings.Lines(readText(root, "proc/self/cgroup")) {
		_, where, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, ok := strings.Cut(where, ":")
		switch {
		case !ok:
		case controllers == "": // version 2
			limit = groupLimit(root, "sys/fs/cgroup", group, "memory.max", limit)
		case controllers == "memory": // version 1
			limit = groupLimit(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes", limit)
		}
	}
	return limit
}

// groupLimit is the least of limit and what the group and all those around it may use. In a container the group's path may
// not be visible; then the top of what is visible is the container's own.
func groupLimit(root fs.FS, top, group, file string, limit int64) int64 {
	for dir := path.Join(top, path.Clean("/"+group)); ; dir = path.Dir(dir) {
		text := strings.TrimSpace(readText(root, path.Join(dir, file)))
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
		if len(dir) <= len(top) {
			return limit
		}
	}
}

// totalMemory finds the machine's memory in the text of /proc/meminfo, 0 when it is not there.
func totalMemory(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64) // 0 for what is no number
			return kib << 10
		}
	}
	return 0
}

func readText(root fs.FS, name string) string {
	text, _ := fs.ReadFile(root, name) // a file that cannot be read says nothing
	return string(text)
}
