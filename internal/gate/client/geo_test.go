package client

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"stormdoor/policy"
)

// database builds an MMDB file.
func database(t testing.TB, kind string, version int, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, IPVersion: version, IncludeReservedNetworks: true, BuildEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	for p, rec := range records {
		_, n, err := net.ParseCIDR(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(n, rec); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func country(code string) mmdbtype.Map {
	return mmdbtype.Map{
		"continent": mmdbtype.Map{"code": mmdbtype.String("EU"), "names": mmdbtype.Map{"en": mmdbtype.String("Europe")}},
		"country":   mmdbtype.Map{"geoname_id": mmdbtype.Uint32(1), "iso_code": mmdbtype.String(code)},
	}
}

func network(n uint32) mmdbtype.Map {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(n), "autonomous_system_organization": mmdbtype.String("Example")}
}

func countryDB(t testing.TB) []byte {
	return database(t, "Test-Country", 6, map[string]mmdbtype.DataType{
		"192.0.2.0/24": country("DE"), "198.51.100.0/25": country("fr"), "2001:db8::/33": country("ZZ"),
		"203.0.113.0/24": country("TOOLONG"), "100.64.0.0/10": mmdbtype.Map{"x": mmdbtype.String("y")},
	})
}

func networkDB(t testing.TB) []byte {
	return database(t, "Test-ASN", 4, map[string]mmdbtype.DataType{"192.0.2.0/24": network(64496), "198.51.100.0/24": network(4200000000)})
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestGeo(t *testing.T) {
	countries, networks := write(t, countryDB(t)), write(t, networkDB(t))
	r, err := New(trusting("", "10.0.0.1"), policy.Geo{Country: countries, Network: networks}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The files may go, or be cut short, while they are in use.
	if err := os.Truncate(countries, 10); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(networks); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		client, country string
		network         uint32
	}{
		{"192.0.2.9", "DE", 64496},
		{"198.51.100.1", "FR", 4200000000},
		{"198.51.100.200", "", 4200000000},
		{"2001:db8::1", "ZZ", 0},
		{"2001:db8:8000::1", "", 0},
		{"203.0.113.1", "", 0},
		{"100.64.0.1", "", 0},
		{"10.0.0.1", "", 0},
	} {
		direct := fill(t, r, c.client, header())
		proxied := fill(t, r, "10.0.0.1", header("X-Forwarded-For", c.client))
		if direct.Country != c.country || direct.Network != c.network || proxied.Country != c.country || proxied.Network != c.network {
			t.Errorf("%s: %q %d, behind a proxy %q %d; want %q %d", c.client, direct.Country, direct.Network, proxied.Country, proxied.Network, c.country, c.network)
		}
	}
	a := netip.MustParseAddr("192.0.2.9")
	if n := testing.AllocsPerRun(100, func() { unpackCountry(r.country.lookup(a)); r.network.lookup(a) }); n != 0 {
		t.Errorf("a look-up allocates %v times", n)
	}
	if n := r.GeoFailures(); n != 0 {
		t.Errorf("%d failures", n)
	}
}

func TestGeoRefusesBadFiles(t *testing.T) {
	good := countryDB(t)
	noCode := database(t, "Test-Country", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.Uint32(7)}}})
	textual := database(t, "Test-Text", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": mmdbtype.String("DE")})
	cases := []struct {
		name, file string
		network    bool
		want       []string
	}{
		{"missing", filepath.Join(t.TempDir(), "none.mmdb"), false, []string{"none.mmdb", "correct the path"}},
		{"folder", t.TempDir(), false, []string{"not a regular file", "name the MMDB file itself"}},
		{"empty", write(t, nil), false, []string{"is empty", "download"}},
		{"garbage", write(t, bytes.Repeat([]byte("garbage "), 1000)), false, []string{"cannot be read as an MMDB file", "download it again"}},
		{"marker only", write(t, []byte("\xAB\xCD\xEFMaxMind.com")), false, []string{"download it again"}},
		{"half", write(t, good[:len(good)/2]), false, []string{"cannot be read as an MMDB file"}},
		{"without its beginning", write(t, good[len(good)/2:]), false, []string{"download it again"}},
		{"networks for countries", write(t, networkDB(t)), false, []string{`"Test-ASN"`, "country.iso_code", "give a country or city database"}},
		{"countries for networks", write(t, good), true, []string{`"Test-Country"`, "autonomous_system_number", "give an ASN database"}},
		{"a field of another type", write(t, noCode), false, []string{`"Test-Country"`, "country.iso_code", "of another type"}},
		{"records of another type", write(t, textual), false, []string{`"Test-Text"`, "of another type"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			geo, option := policy.Geo{Country: c.file}, "geo.country: "
			if c.network {
				geo, option = policy.Geo{Network: c.file}, "geo.network: "
			}
			_, err := New(policy.Trust{}, geo, Options{})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range append(c.want, option, c.file) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestGeoRefusesHugeFiles(t *testing.T) {
	file := write(t, []byte("x"))
	if err := os.Truncate(file, maxDatabase+1); err != nil { // sparse: takes no space
		t.Skip(err)
	}
	if _, err := openGeo(file, countryField()); err == nil || !strings.Contains(err.Error(), "use a smaller edition") {
		t.Errorf("got %v", err)
	}
}

// A file twice in itself is what an interrupted update may leave. Its last part is a whole database.
func TestGeoDoubled(t *testing.T) {
	good := countryDB(t)
	g, err := newGeo(append(bytes.Clone(good), good...), countryField())
	if err != nil {
		t.Skip("refused, which is as good: ", err)
	}
	if got := unpackCountry(g.lookup(netip.MustParseAddr("192.0.2.1"))); got != "DE" {
		t.Errorf("country %q", got)
	}
}

// Damage anywhere gives an error at load, or answers; never a panic, and never a panic later.
func checkDamaged(t *testing.T, data []byte) {
	for _, f := range []field{countryField(), networkField()} {
		g, err := newGeo(data, f)
		if err != nil {
			continue
		}
		for _, a := range []string{"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "ffff::"} {
			unpackCountry(g.lookup(netip.MustParseAddr(a)))
		}
	}
}

func TestGeoDamaged(t *testing.T) {
	for _, good := range [][]byte{countryDB(t), networkDB(t)} {
		for i := range good {
			if i < len(good)-400 && i%7 > 0 {
				continue // every byte of the metadata, every seventh before it
			}
			for _, flip := range []byte{0xff, 0x20} {
				bad := bytes.Clone(good)
				bad[i] ^= flip
				checkDamaged(t, bad)
			}
			checkDamaged(t, good[:i])
		}
	}
}

func FuzzGeo(f *testing.F) {
	f.Add(countryDB(f))
	f.Add(networkDB(f))
	f.Fuzz(checkDamaged)
}

func TestLookupSurvivesAPanic(t *testing.T) {
	g := &geo{} // no database: the look-up panics
	if v := g.lookup(netip.MustParseAddr("192.0.2.1")); v != 0 || g.failures() != 1 {
		t.Errorf("value %d, %d failures", v, g.failures())
	}
}

func BenchmarkLookup(b *testing.B) {
	records := map[string]mmdbtype.DataType{}
	for i := range 1 << 14 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 6), byte(i << 2), 0, 0}), 16)
		records[p.String()] = network(uint32(1 + i))
	}
	data := database(b, "Test-ASN", 6, records)
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := newGeo(data, networkField()); err != nil {
				b.Fatal(err)
			}
		}
	})
	g, err := newGeo(data, networkField())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("lookup", func(b *testing.B) {
		b.ReportAllocs()
		i := uint32(0)
		for b.Loop() {
			i += 2654435761
			g.lookup(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}))
		}
	})
}
