//go:build e2e

package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// optional finds a program that is large, and skips the test where it is not installed: make clients installs it.
func optional(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: make clients installs it", name)
	}
	return path
}

// play runs a client in a folder of its own, which must succeed, and returns what it said.
func play(t testing.TB, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, lastLines(string(out), 30))
	}
	return string(out)
}

func folder(dir string) http.HandlerFunc { return http.FileServer(http.Dir(dir)).ServeHTTP }

// TestAptInstallsThroughTheDoor fetches an index and a package of a repository that the test has made.
func TestAptInstallsThroughTheDoor(t *testing.T) {
	deb, apt, scan := optional(t, "dpkg-deb"), optional(t, "apt-get"), optional(t, "dpkg-scanpackages")
	repo, tree, root := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755); err != nil {
		t.Fatal(err)
	}
	control := "Package: behind-the-door\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a package\n"
	for name, text := range map[string]string{"DEBIAN/control": control, "content": strings.Repeat("0123456789", 200_000)} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	play(t, repo, nil, deb, "-b", tree, "behind-the-door_1.0_all.deb")
	index, _, status := command(t, "sh", "-c", "cd "+repo+" && "+scan+" . 2>/dev/null")
	if status != 0 || os.WriteFile(filepath.Join(repo, "Packages"), []byte(index), 0o644) != nil {
		t.Fatalf("the index: %d", status)
	}
	d := startDoor(t, site(goOrigin(t, folder(repo))))
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(root, "etc/sources.list")
	if err := os.WriteFile(list, []byte("deb [trusted=yes] "+d.url+" ./\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	options := []string{"-o", "Dir::State=" + root + "/state", "-o", "Dir::Cache=" + root + "/cache", "-o", "Dir::Etc::SourceList=" + list,
		"-o", "Dir::Etc::SourceParts=/dev/null", "-o", "Dir::State::status=/dev/null", "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none", "-o", "Acquire::http::Proxy=DIRECT"}
	for _, line := range [][]string{{"update"}, {"download", "behind-the-door"}} {
		play(t, root, nil, apt, append(options, line...)...)
	}
	if info, err := os.Stat(filepath.Join(root, "behind-the-door_1.0_all.deb")); err != nil || info.Size() == 0 {
		t.Errorf("the package: %v, %v", info, err)
	}
}

// TestNpmInstallsThroughTheDoor fetches a document and a tarball from a registry that the test plays.
func TestNpmInstallsThroughTheDoor(t *testing.T) {
	npm := optional(t, "npm")
	var ball bytes.Buffer
	zw := gzip.NewWriter(&ball)
	tw := tar.NewWriter(zw)
	for name, text := range map[string]string{"package/package.json": `{"name":"behind-the-door","version":"1.0.0"}`, "package/index.js": "module.exports = 42\n"} {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tw, text)
	}
	tw.Close()
	zw.Close()
	sum := sha512.Sum512(ball.Bytes())
	var front string
	d := startDoor(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".tgz") {
			w.Write(ball.Bytes())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"name": "behind-the-door", "dist-tags": map[string]string{"latest": "1.0.0"},
			"versions": map[string]any{"1.0.0": map[string]any{"name": "behind-the-door", "version": "1.0.0", "dist": map[string]string{
				"tarball": front + "/behind-the-door/-/behind-the-door-1.0.0.tgz", "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}}}})
	})))
	front = d.url
	dir := t.TempDir()
	play(t, dir, []string{"HOME=" + dir, "npm_config_cache=" + dir + "/cache"}, npm, "install", "--registry", d.url, "--no-audit", "--no-fund", "--no-update-notifier", "behind-the-door")
	if got, err := os.ReadFile(filepath.Join(dir, "node_modules/behind-the-door/index.js")); err != nil || string(got) != "module.exports = 42\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestGoFetchesModulesThroughTheDoor lets the door stand before a module proxy made of files.
func TestGoFetchesModulesThroughTheDoor(t *testing.T) {
	gobin := optional(t, "go")
	proxy := t.TempDir()
	at := filepath.Join(proxy, "example.org/behind/@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	const mod = "module example.org/behind\n\ngo 1.20\n"
	zipped := zipModule(t, "example.org/behind@v1.0.0/", map[string]string{"go.mod": mod, "door.go": "package behind\n\nconst Answer = 42\n"})
	for name, text := range map[string]string{"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`, "v1.0.0.mod": mod, "v1.0.0.zip": zipped} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := startDoor(t, site(goOrigin(t, folder(proxy))))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module visitor\n\ngo 1.20\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"GOPROXY=" + d.url, "GONOSUMDB=*", "GOSUMDB=off", "GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE=" + dir + "/mod", "GOTOOLCHAIN=local", "GOWORK=off"}
	play(t, dir, env, gobin, "get", "example.org/behind@latest")
	if _, err := os.Stat(filepath.Join(dir, "mod/example.org/behind@v1.0.0/door.go")); err != nil {
		t.Error(err)
	}
}

// TestChromiumLoadsAPage opens a page with sixty files beside it, over HTTP/2 and TLS.
func TestChromiumLoadsAPage(t *testing.T) {
	chromium := optional(t, "chromium")
	const count = 60
	origin := goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprintf(w, "loaded(); // %s", strings.Repeat("x", 20_000))
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>page</title><p id=n>0</p><script>function loaded(){n.textContent=+n.textContent+1}</script>")
		for i := range count {
			fmt.Fprintf(w, "<script src=/%d.js></script>", i)
		}
	})
	_, fronts := startFronts(t, site(origin))
	dir := t.TempDir()
	out := play(t, dir, []string{"HOME=" + dir}, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--user-data-dir="+dir+"/profile",
		"--host-resolver-rules=MAP * 127.0.0.1", "--no-proxy-server", "--virtual-time-budget=20000", "--dump-dom", fronts[3].url+"/")
	if want := `<p id="n">` + strconv.Itoa(count) + "</p>"; !strings.Contains(out, want) {
		t.Errorf("the page does not show %s:\n%s", want, lastLines(out, 5))
	}
}

// TestAGigabyteAtAMegabyteASecond moves a large body both ways at a steady, slow rate: no timeout is in its way. It is
// short unless STORMDOOR_LONG is set.
func TestAGigabyteAtAMegabyteASecond(t *testing.T) {
	size, rate := 20, "10M"
	if os.Getenv("STORMDOOR_LONG") != "" {
		size, rate = 1000, "1M"
	}
	d, fronts := startFronts(t, site(goOrigin(t, endless(size, new(atomic.Int64))))+"    routes: [{path: /up, origins: ['"+goOrigin(t, digest)+"']}]\n")
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, make([]byte, size*mega), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	ask := func(f front, want string, path string, args ...string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(size)*3*time.Second+patience)
		defer cancel()
		args = append([]string{"-sS4k", f.version, "--limit-rate", rate, f.url + path}, args...)
		if out, err := exec.CommandContext(ctx, program(t, "curl"), args...).CombinedOutput(); err != nil || !strings.HasPrefix(string(out), want) {
			done <- fmt.Sprintf("%s%s: %.200s %v, want %s", f.name, path, out, err, want)
			return
		}
		done <- ""
	}
	n := 0
	for _, f := range []front{fronts[0], fronts[3]} {
		go ask(f, "200 "+strconv.Itoa(size*mega), "/", "-o", "/dev/null", "-w", "%{http_code} %{size_download}")
		go ask(f, strconv.Itoa(size*mega)+" ", "/up", "-T", file, "-H", "Expect:")
		n += 2
	}
	for range n {
		if wrong := <-done; wrong != "" {
			t.Error(wrong)
		}
	}
	if m := d.peakMemory(); m > allowance {
		t.Errorf("the door took %d MB of memory", m>>20)
	}
}

// zipModule is a module's zip file (https://go.dev/ref/mod#zip-files).
func zipModule(t testing.TB, prefix string, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
