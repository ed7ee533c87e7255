package client

import (
	"math/rand/v2"
	"strings"
	"testing"
)

const phpInfo = "/apps/graphapi/vendor/microsoft/microsoft-graph/tests/GetPhpInfo.php"

func TestClean(t *testing.T) {
	for _, c := range []struct{ raw, clean, script string }{
		{"", "", ""},
		{"*", "*", "*"},
		{"/", "/", "/"},
		{"a", "/a", "/a"},
		{"/a/b", "/a/b", "/a/b"},
		{"/a/b/", "/a/b/", "/a/b/"},
		{"//a//b", "/a/b", "/a/b"},
		{"/./a", "/a", "/a"},
		{"/a/../b", "/b", "/b"},
		{"/a//../b", "/b", "/b"},
		{"/a/./", "/a/", "/a/"},
		{"/a/.", "/a/", "/a/"},
		{"/a/..", "/", "/"},
		{"/a/b/..", "/a/", "/a/"},
		{"/..", "/", "/"},
		{"/../../x", "/x", "/x"},
		{"/a/...", "/a/...", "/a/..."},
		{"/a/..b/.c", "/a/..b/.c", "/a/..b/.c"},
		{"/.well-known/x", "/.well-known/x", "/.well-known/x"},
		{"/a/..;/b", "/a/..;/b", "/a/..;/b"},
		{"/a;x=1/b", "/a;x=1/b", "/a;x=1/b"},
		{`\a\..\b`, "/b", "/b"},
		{"/a%2Fb%5cc", "/a/b/c", "/a/b/c"},
		{"/%2e%2E/%2e/a", "/a", "/a"},
		{"/a%2f..%2fb", "/b", "/b"},
		{"/%", "/%", "/%"},
		{"/%4", "/%4", "/%4"},
		{"/%zz%4", "/%zz%4", "/%zz%4"},
		{"/%%41", "/%A", "/%A"},
		{"/%2541", "/%41", "/%41"},
		{"/a%00b%0d%7f", "/a\x00b\r\x7f", "/a\x00b\r\x7f"},
		{"/caf%C3%A9", "/café", "/café"},
		{"/a%3Fb", "/a?b", "/a?b"},
		{"/a+b", "/a+b", "/a+b"},

		{"/x.php", "/x.php", "/x.php"},
		{"/x.php/y.css", "/x.php/y.css", "/x.php"},
		{"/x.PHP/y", "/x.PHP/y", "/x.PHP"},
		{"/x.php;v=1/y", "/x.php;v=1/y", "/x.php"},
		{"/x.php%00.jpg", "/x.php\x00.jpg", "/x.php"},
		{"/x.jsp;jsessionid=1", "/x.jsp;jsessionid=1", "/x.jsp"},
		{"/.php/y", "/.php/y", "/.php"},
		{"/x.phpx/y", "/x.phpx/y", "/x.phpx/y"},
		{"/a/php/y", "/a/php/y", "/a/php/y"},
		{"/cgi-bin/t.cgi/a/b.php", "/cgi-bin/t.cgi/a/b.php", "/cgi-bin/t.cgi"},
		{"/index.php", "/index.php", "/index.php"},
		{"/index.php/", "/index.php/", "/index.php"},
		{"/index.php/news", "/index.php/news", "/news"},
		{"/index.php/index.php/news", "/index.php/index.php/news", "/news"},
		{"/shop/index.php/news", "/shop/index.php/news", "/shop/index.php"},
		{"/shop/index.php", "/shop/index.php", "/shop/index.php"},
		{"/myindex.php/x.php", "/myindex.php/x.php", "/myindex.php"},
		{"/s/index.php;a/x.php", "/s/index.php;a/x.php", "/s/index.php"},

		{phpInfo, phpInfo, phpInfo},
		{phpInfo + "/x.css", phpInfo + "/x.css", phpInfo},
		{"/index.php" + phpInfo + "/.css", "/index.php" + phpInfo + "/.css", phpInfo},
		{"/owncloud" + phpInfo, "/owncloud" + phpInfo, "/owncloud" + phpInfo},
		{"/owncloud/index.php" + phpInfo + "/x.css", "/owncloud/index.php" + phpInfo + "/x.css", "/owncloud" + phpInfo},
		{"/owncloud/Index.PHP/index.php" + phpInfo, "/owncloud/Index.PHP/index.php" + phpInfo, "/owncloud" + phpInfo},
		{"//owncloud/./x/../index%2ephp/" + phpInfo + "%2fx.css", "/owncloud/index.php" + phpInfo + "/x.css", "/owncloud" + phpInfo},
	} {
		got := Clean(c.raw)
		if got.Raw != c.raw || got.Clean != c.clean || got.Script != c.script {
			t.Errorf("Clean(%q) = %+q, want clean %q, script %q", c.raw, got, c.clean, c.script)
		}
	}
}

// slowClean is the clean view by the letter, in one pass after another.
func slowClean(raw string) string {
	if raw == "" || raw == "*" {
		return raw
	}
	var decoded strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] == '%' && i+2 < len(raw) && isHex(raw[i+1]) && isHex(raw[i+2]) {
			decoded.WriteByte(hexValue(raw[i+1])*16 + hexValue(raw[i+2]))
			i += 2
			continue
		}
		decoded.WriteByte(raw[i])
	}
	p := "/" + strings.ReplaceAll(decoded.String(), `\`, "/")
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	var out []string
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s != "." && s != "..":
			out = append(out, s)
			continue
		case s == ".." && len(out) > 0:
			out = out[:len(out)-1]
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
func hexValue(c byte) byte {
	return byte(strings.IndexByte("0123456789abcdef", strings.ToLower(string(c))[0]))
}

func checkClean(t *testing.T, raw string) {
	t.Helper()
	got := Clean(raw)
	if want := slowClean(raw); got.Clean != want {
		t.Fatalf("Clean(%q).Clean = %q, want %q", raw, got.Clean, want)
	}
	// A clean path is clean: nothing is left to do but escapes that came escaped twice.
	if again := Clean(strings.ReplaceAll(got.Clean, "%", "%25")).Clean; again != got.Clean {
		t.Fatalf("Clean(%q).Clean = %q, and that cleaned again = %q", raw, got.Clean, again)
	}
	if len(got.Script) > len(got.Clean) {
		t.Fatalf("Clean(%q).Script = %q is longer than %q", raw, got.Script, got.Clean)
	}
}

func TestCleanAgainstSlowTwin(t *testing.T) {
	parts := []string{"/", "/", "//", ".", "..", "a", "%2e", "%2F", "%5C", `\`, "%", "%25", "4", "1", ";x", "index.php", "b.php", "\x00", "%00", "c.css", "*"}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		var b strings.Builder
		if rnd.IntN(8) > 0 {
			b.WriteByte('/')
		}
		for range rnd.IntN(12) {
			b.WriteString(parts[rnd.IntN(len(parts))])
		}
		checkClean(t, b.String())
	}
	checkClean(t, strings.Repeat("/a/../%2e", 300))
	checkClean(t, "/"+strings.Repeat("%", 300))
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/a/../b", "//%2e%2e/x", `\..\%5c`, "/owncloud/index.php/apps/a.php/x.css", "*", "%", "/index.php/"} {
		f.Add(s)
	}
	f.Fuzz(checkClean)
}

func TestCleanAllocatesNothingWhenClean(t *testing.T) {
	for _, p := range []string{"/", "/a/b/c", "/assets/app.3f2.js", "/.well-known/acme", "/index.php/a", "/x.php/y.css"} {
		if n := testing.AllocsPerRun(100, func() { Clean(p) }); n != 0 {
			t.Errorf("Clean(%q) allocates %v times", p, n)
		}
	}
}

// The cost of the script view must grow with the path's length only, whatever is in it.
func TestScriptIsLinear(t *testing.T) {
	p := "/a" + strings.Repeat("/index.php", 100_000) + "/b.php/c"
	if got := Clean(p).Script; got != "/a/b.php" {
		t.Fatalf("Script = %.40q…", got)
	}
}

func BenchmarkClean(b *testing.B) {
	for name, p := range map[string]string{
		"clean": "/products/shoes/blue-runner/view", "dotted": "/assets/js/app.8f3c2d.min.js",
		"escaped": "/caf%C3%A9/a%20b", "exploit": "//owncloud/index.php" + phpInfo + "/x.css",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Clean(p)
			}
		})
	}
}
