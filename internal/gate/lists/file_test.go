package lists

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFile(t *testing.T) {
	path := write(t, "\ufeff# a list\r\n192.0.2.1\r\n\n 198.51.100.0/24 # scanners\n2001:db8::/32\n::ffff:203.0.113.1\n192.0.2.1\n")
	for _, action := range []policy.ListAction{policy.ListRefuses, policy.ListAllows} {
		s := stage(t, policy.List{Name: "f", Action: action, File: path})
		for addr, named := range map[string]bool{
			"192.0.2.1": true, "192.0.2.2": false, "198.51.100.200": true, "2001:db8:1::": true, "203.0.113.1": true, "203.0.113.2": false,
		} {
			if got := decide(t, s, from(addr)).Action != flow.Continue; got != named {
				t.Errorf("%s list, %s: named %v", action, addr, got)
			}
		}
	}
}

// TestBadFiles is number 5 of the museum: each data file empty, doubled, truncated. A mistake means that the caller keeps
// the old lists.
func TestBadFiles(t *testing.T) {
	good := "192.0.2.1\n198.51.100.0/24\n"
	for name, c := range map[string]struct{ content, want string }{
		"empty":             {"", "names nobody: was it cut off? If it is meant to be empty, write the line \"# empty\" into it"},
		"comments only":     {"# blocklist of today\n\n", "names nobody"},
		"cut in a row":      {good + "203.0.1", ":3: \"203.0.1\": the last line has no end, so the file may be cut off"},
		"cut in a comment":  {good + "# se", "the last line has no end"},
		"words":             {good + "example.com\n", ":3: \"example.com\": this is no address"},
		"html":              {"<html><body>404 Not Found</body></html>\n", ":1: \"<html><body>404 Not Found</body></html>\": this is no"},
		"bad prefix":        {good + "10.0.0.0/33\n", ":3: \"10.0.0.0/33\": this is no prefix"},
		"bits behind":       {good + "192.0.2.77/24\n", ":3: \"192.0.2.77/24\": it has bits behind its length: write 192.0.2.0/24 for the network or 192.0.2.77"},
		"zone":              {"fe80::1%eth0\n", "an address with a zone"},
		"two in a line":     {"192.0.2.1 192.0.2.2\n", "this is no address"},
		"long line":         {good + strings.Repeat("1", 5000) + "\n", ":3: a line of more than 1024 bytes"},
		"binary":            {"\x1f\x8b\x08\x00\x00\n\x00\x01\n", `:1: "\x1f\x8b\b\x00\x00": this is no address`},
		"only set aside":    {"10.0.0.0/8\n127.0.0.1\n", "all 2 rows go against the never-block floor, the first is 10.0.0.0/8: it names private addresses"},
		"half of the world": {octets(1, 9) + octets(11, 126) + octets(173, 191) + octets(193, 240), "names 75 % of all IPv4 addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, c.content)
			_, err := New([]policy.List{{Name: "f", Action: policy.ListRefuses, File: path}}, Options{})
			if err == nil || !strings.Contains(err.Error(), `list "f": `+path) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is\n%v\nwant one with %q", err, c.want)
			}
		})
	}
}

// octets lists the /8 of the first octets from a to b.
func octets(a, b int) string {
	var s strings.Builder
	for i := a; i <= b; i++ {
		fmt.Fprintf(&s, "%d.0.0.0/8\n", i)
	}
	return s.String()
}

func TestManyMistakesAreCounted(t *testing.T) {
	_, err := New([]policy.List{{Name: "f", Action: policy.ListAllows, File: write(t, strings.Repeat("x\n", 1000))}}, Options{})
	if err == nil || strings.Count(err.Error(), "\n") > 25 || !strings.Contains(err.Error(), "and 980 more") {
		t.Errorf("1,000 mistakes: %v", err)
	}
}

func TestEmptyOnPurpose(t *testing.T) {
	s := stage(t, policy.List{Name: "f", Action: policy.ListRefuses, File: write(t, "# nobody today\n# empty\n")})
	if v := decide(t, s, from("192.0.2.1")); v != (flow.Verdict{}) {
		t.Errorf("%+v", v)
	}
}

func TestDoubledFile(t *testing.T) {
	good := "192.0.2.1\n198.51.100.0/24\n100.0.0.0/8\n"
	s := stage(t, policy.List{Name: "f", Action: policy.ListRefuses, File: write(t, strings.Repeat(good, 100))})
	if decide(t, s, from("192.0.2.1")).Action != flow.Refuse {
		t.Error("a list given a hundred times over does not count")
	}
}

func TestNotARegularFile(t *testing.T) {
	for _, path := range []string{t.TempDir(), "/dev/zero"} {
		if _, err := New([]policy.List{{Name: "f", Action: policy.ListAllows, File: path}}, Options{}); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestHugeFile(t *testing.T) {
	path := write(t, "")
	if err := os.Truncate(path, maxSize+1); err != nil { // sparse
		t.Skip("no sparse files here:", err)
	}
	if _, err := New([]policy.List{{Name: "f", Action: policy.ListAllows, File: path}}, Options{}); err == nil || !strings.Contains(err.Error(), "is it the right file?") {
		t.Errorf("a file over the size: %v", err)
	}
}

func TestTooManyRows(t *testing.T) {
	f := file{list: "f", path: "x", set: &clients{}, number: 1, aside: &Aside{}, rows: maxRows - 1}
	err := f.scan(strings.NewReader("192.0.2.1\n192.0.2.2\n"))
	if err == nil || !strings.Contains(err.Error(), "x:2: more than 4000000 rows") {
		t.Errorf("%v", err)
	}
}

// TestNeverBlockFloor is number 20 of the museum, and 18: rows that must never be refused are put aside one by one.
func TestNeverBlockFloor(t *testing.T) {
	path := write(t, `0.0.0.0/0
0.0.0.0/1
2000::/3
127.0.0.1
192.168.7.0/24
10.0.0.0/8
172.20.1.1
100.100.1.1
169.254.169.254
::1
fd00::/32
fe80::/64
203.0.113.0/24 # the proxy's
198.51.0.0/16
100.0.0.0/9
192.0.2.1
2001:db8:1::/48
`)
	s, err := New([]policy.List{{Name: "reputation", Action: policy.ListRefuses, File: path}}, Options{Trusted: prefixes("203.0.113.8", "2001:db8:2::1"), Own: prefixes("198.51.100.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	why := map[int]string{
		1: "wider than an IPv4 /8", 2: "wider than an IPv4 /8", 3: "wider than an IPv6 /19", 4: "loopback", 5: "private", 6: "private", 7: "private", 8: "carriers",
		9: "link-local", 10: "loopback", 11: "private", 12: "link-local", 13: "touches 203.0.113.8/32, a declared proxy", 14: "an own address", 15: "carriers",
	}
	aside := s.Aside()
	if aside.Count != len(why) || len(aside.Rows) != len(why) {
		t.Errorf("%d rows put aside, want %d", aside.Count, len(why))
	}
	for _, r := range aside.Rows {
		if why[r.Line] == "" || !strings.Contains(r.Why, why[r.Line]) || r.List != "reputation" || r.File != path {
			t.Errorf("%v, want the reason %q", r, why[r.Line])
		}
	}
	for addr, action := range map[string]flow.Action{
		"192.0.2.1": flow.Refuse, "2001:db8:1::5": flow.Refuse, "66.249.66.1": flow.Continue, "10.1.1.1": flow.Continue,
		"203.0.113.8": flow.Continue, "198.51.100.3": flow.Continue, "2a00::1": flow.Continue, "127.0.0.1": flow.Continue,
	} {
		if v := decide(t, s, from(addr)); v.Action != action {
			t.Errorf("%s: %v, want %v", addr, v.Action, action)
		}
	}
	if got := aside.Rows[12].String(); !strings.Contains(got, `list "reputation": `+path+":13: 203.0.113.0/24 is put aside: it touches") {
		t.Errorf("as a log line: %s", got)
	}
}

func TestAsideIsBounded(t *testing.T) {
	s := stage(t, policy.List{Name: "f", Action: policy.ListRefuses, File: write(t, strings.Repeat("10.0.0.1\n", 500)+"192.0.2.1\n")})
	if a := s.Aside(); a.Count != 500 || len(a.Rows) != 100 {
		t.Errorf("%d put aside, %d kept", a.Count, len(a.Rows))
	}
}

func TestAllowFileMustNotOpenTheDoor(t *testing.T) {
	_, err := New([]policy.List{{Name: "f", Action: policy.ListAllows, File: write(t, "10.0.0.0/8\n127.0.0.1\n0.0.0.0/0\n")}}, Options{})
	if err == nil || !strings.Contains(err.Error(), ":3: 0.0.0.0/0: it is wider than an IPv4 /8") || strings.Contains(err.Error(), ":1:") {
		t.Errorf("%v", err)
	}
}

func TestFiles(t *testing.T) {
	a, b := write(t, "192.0.2.1\n"), write(t, "192.0.2.2\n")
	ls := []policy.List{{Name: "1", Action: policy.ListAllows, File: b}, {Name: "2", Action: policy.ListAllows, File: a}, {Name: "3", Action: policy.ListRefuses, File: b}}
	if got, want := stage(t, ls...).Files(), []string{b, a}; !slices.Equal(got, want) || !slices.Equal(Files(ls), want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{"", "# empty\n", "192.0.2.1\n", "::/0\n0.0.0.0/0\n", "192.0.2.0/24 # x\r\n", "::ffff:1.2.3.4/96\n", "1.2.3.4", "\xef\xbb\xbf::1\n"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, content string, refuses bool) {
		x := file{list: "f", path: "x", set: &clients{}, number: 1, aside: &Aside{}}
		if refuses {
			x.floor = newFloor(Options{Trusted: prefixes("203.0.113.8")})
		}
		if err := x.scan(strings.NewReader(content)); err != nil {
			return
		}
		for _, a := range []string{"203.0.113.8", "127.0.0.1", "10.9.8.7", "fd00::1", "::1"} {
			if refuses && x.set.find(netip.MustParseAddr(a), &flow.Facts{}) != 0 {
				t.Errorf("%q refuses %s", content, a)
			}
		}
		if x.set.any && strings.TrimSpace(content) == "" {
			t.Error("nothing names somebody")
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	for _, rows := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			s := stage(b, list("a", policy.ListAllows, "192.0.2.0/24"), policy.List{Name: "r", Action: policy.ListRefuses, Networks: []uint32{1}, Countries: []string{"AQ"}})
			for range rows {
				s.refuse.add(netip.PrefixFrom(address(r), 24+r.IntN(9)).Masked(), 2)
			}
			facts := flow.Facts{Country: "NL", Network: 64500}
			clients := make([]netip.Addr, 1<<16)
			for i := range clients {
				clients[i] = address(r)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				facts.Client = clients[i&0xffff]
				_, _ = s.Decide(b.Context(), &facts)
			}
		})
	}
}

func address(r *rand.Rand) netip.Addr {
	x := r.Uint32()
	return netip.AddrFrom4([4]byte{byte(x), byte(x >> 8), byte(x >> 16), byte(x >> 24)})
}
