//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// countries is a database that knows one network.
func countries(t testing.TB) []byte {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-Country", RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	_, network, err := net.ParseCIDR("81.2.69.0/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("CH")}}); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

// addresses is a list of n rows.
func addresses(n int) string {
	var b strings.Builder
	for a := netip.MustParseAddr("45.0.0.1"); n > 0; n, a = n-1, a.Next() {
		fmt.Fprintln(&b, a)
	}
	return b.String()
}

// TestADamagedFileKeepsTheOldOneInForce: whatever becomes of a file that the policy names, a reload says so, with the place
// in the policy, and nobody who is being served notices.
func TestADamagedFileKeepsTheOldOneInForce(t *testing.T) {
	dir := t.TempDir()
	list, geo := filepath.Join(dir, "list.txt"), filepath.Join(dir, "country.mmdb")
	cert, key := files(t, certificate(t, "shop.example", time.Now().Add(time.Hour), nil))
	otherCert, otherKey := files(t, certificate(t, "other.example", time.Now().Add(time.Hour), nil))
	oldCert, oldKey := files(t, certificate(t, "shop.example", time.Now().Add(-time.Hour), nil))
	good := map[string]string{list: addresses(2000), geo: string(countries(t)), cert: text(t, cert), key: text(t, key)}
	restore := func() {
		for file, data := range good {
			if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	restore()
	https := freeAddr(t)
	policy := fmt.Sprintf(`sites:
  - hosts: ['127.0.0.1']
    origins: ['%[1]s']
  - hosts: [shop.example]
    origins: ['%[1]s']
    tls: {certificate: %[2]s, key: %[3]s}
lists:
  - {name: bad, action: refuse, file: %[4]s}
geo: {country: %[5]s}
`, goOrigin(t, hello), cert, key, list, geo)
	clear := freeAddr(t)
	d := startDoor(t, policy+"\nlisten: {http: ['"+clear+"'], https: ['"+https+"']}\n")
	d.addr, d.url = clear, "http://"+clear
	base := d.holds(t)
	v := visit(t, d.url, false)
	v.more(t, 100)
	for _, c := range []struct{ name, file, data, line string }{
		{"list empty", list, "", ":8:"},
		{"list cut off in a row", list, good[list][:len(good[list])-4], ":8:"},
		{"list of something else", list, "<html><title>404</title></html>\n", ":8:"},
		{"database empty", geo, "", ":9:"},
		{"database cut off", geo, good[geo][:len(good[geo])/2], ":9:"},
		{"database of zeros", geo, strings.Repeat("\x00", 100_000), ":9:"},
		{"certificate empty", cert, "", ":6:"},
		{"certificate cut off", cert, good[cert][:len(good[cert])/2], ":6:"},
		{"certificate for another name", cert, text(t, otherCert), ":6:"},
		{"certificate expired", cert, text(t, oldCert), ":6:"},
		{"key of another certificate", key, text(t, otherKey), ":6:"},
	} {
		if c.name == "certificate expired" {
			put(t, filepath.Dir(key), filepath.Base(key), text(t, oldKey))
		}
		if err := os.WriteFile(c.file, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		d.refusesReload(t, c.name, c.file, d.file+c.line)
		restore()
	}
	for _, c := range []struct{ name, file, line string }{{"list huge", list, ":8:"}, {"database huge", geo, ":9:"}} {
		if err := os.Truncate(c.file, 1<<40); err != nil {
			t.Fatal(err)
		}
		d.refusesReload(t, c.name, c.file, d.file+c.line)
		if err := os.Remove(c.file); err != nil {
			t.Fatal(err)
		}
		d.refusesReload(t, c.name+", then gone", c.file, d.file+c.line)
		restore()
	}
	v.more(t, 100)
	v.unharmed(t)
	d.givesBack(t, base)
	if n := d.peakMemory(); n > allowance {
		t.Errorf("the door took %d MB of memory", n>>20)
	}
	d.signal(syscall.SIGHUP)
	d.logged("the policy is in force", "SIGHUP")
}

// refusesReload reloads the policy and requires that it is not applied, and that the log says all the words.
func (d *door) refusesReload(t *testing.T, what string, words ...string) {
	t.Helper()
	said := func() (lines []string) {
		for l := range strings.Lines(d.output()) {
			if strings.Contains(l, "the policy was not applied") {
				lines = append(lines, l)
			}
		}
		return lines
	}
	before := len(said())
	d.signal(syscall.SIGHUP)
	await(t, what+": a line of the log", func() bool { return len(said()) > before })
	for _, w := range words {
		if line := said()[before]; !strings.Contains(line, w) {
			t.Errorf("%s: the log does not say %q: %s", what, w, line)
		}
	}
}

// text reads a file.
func text(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
