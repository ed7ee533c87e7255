package listen

import (
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	const meminfo = "MemTotal:        8000000 kB\nMemFree:          100 kB\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is known", nil, 0},
		{"a machine", map[string]string{"proc/meminfo": meminfo}, 8000000 << 10},
		{"a unit with a limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/stormdoor.service\n",
			"sys/fs/cgroup/system.slice/stormdoor.service/memory.max": "1000000\n", "sys/fs/cgroup/system.slice/memory.max": "max\n",
		}, 1000000},
		{"a slice with a smaller one", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "2000\n",
		}, 2000},
		{"a container that sees only itself", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../../elsewhere\n", "sys/fs/cgroup/memory.max": "3000\n",
		}, 3000},
		{"version 1", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "4000\n",
		}, 4000},
		{"a limit above the machine", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9223372036854771712\n",
		}, 8000000 << 10},
	} {
		root := fstest.MapFS{}
		for name, text := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryLimit(root); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := ConnectionMemory(); got < memoryLeast {
		t.Errorf("connections may hold %d bytes", got)
	}
}
