package listen

import (
	"crypto/tls"
	"slices"
	"testing"
)

// chrome is the example of JA4's own documentation.
func chrome() *tls.ClientHelloInfo {
	h := &tls.ClientHelloInfo{
		CipherSuites: []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		Extensions: []uint16{0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
			0xff01, 0x000b, 0x000a, 0x0015},
		SupportedVersions: []uint16{0x0304, 0x0303},
		SupportedProtos:   []string{"h2", "http/1.1"},
	}
	for _, s := range []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601} {
		h.SignatureSchemes = append(h.SignatureSchemes, tls.SignatureScheme(s))
	}
	return h
}

func TestJA4(t *testing.T) {
	const published = "t13d1516h2_8daaf6152771_e5627efa2ab1"
	for _, tc := range []struct {
		name   string
		change func(*tls.ClientHelloInfo)
		want   string
	}{
		{"published example", func(*tls.ClientHelloInfo) {}, published},
		{"order does not matter", func(h *tls.ClientHelloInfo) {
			slices.Reverse(h.CipherSuites)
			slices.Reverse(h.Extensions)
		}, published},
		{"GREASE does not count", func(h *tls.ClientHelloInfo) {
			h.CipherSuites = append([]uint16{0x0a0a}, h.CipherSuites...)
			h.Extensions = append([]uint16{0x2a2a}, append(h.Extensions, 0xfafa)...)
			h.SupportedVersions = append([]uint16{0x8a8a}, h.SupportedVersions...)
			h.SignatureSchemes = append([]tls.SignatureScheme{0x1a1a}, h.SignatureSchemes...)
		}, published},
		{"no server name", func(h *tls.ClientHelloInfo) {
			h.Extensions = slices.DeleteFunc(h.Extensions, func(e uint16) bool { return e == 0 })
		}, "t13i1515h2_8daaf6152771_e5627efa2ab1"},
		{"other ALPN", func(h *tls.ClientHelloInfo) { h.SupportedProtos = []string{"http/1.1"} }, "t13d1516h1_8daaf6152771_e5627efa2ab1"},
		{"ALPN of one letter", func(h *tls.ClientHelloInfo) { h.SupportedProtos = []string{"x"} }, "t13d1516xx_8daaf6152771_e5627efa2ab1"},
		{"ALPN not in letters", func(h *tls.ClientHelloInfo) { h.SupportedProtos = []string{"\xab\x00\xcd"} }, "t13d1516ad_8daaf6152771_e5627efa2ab1"},
		{"no ALPN", func(h *tls.ClientHelloInfo) { h.SupportedProtos = nil }, "t13d151600_8daaf6152771_e5627efa2ab1"},
		{"QUIC", func(h *tls.ClientHelloInfo) { h.Extensions[15] = 57 }, "q13d1516h2_8daaf6152771_"},
		{"nothing at all", func(h *tls.ClientHelloInfo) { *h = tls.ClientHelloInfo{} }, "t00i000000_000000000000_000000000000"},
		{"TLS 1.0 with ciphers only", func(h *tls.ClientHelloInfo) {
			*h = tls.ClientHelloInfo{CipherSuites: h.CipherSuites, SupportedVersions: []uint16{0x0301}}
		}, "t10i150000_8daaf6152771_000000000000"},
		{"more than 99", func(h *tls.ClientHelloInfo) {
			for i := range uint16(200) {
				h.CipherSuites = append(h.CipherSuites, 0x5600+i)
			}
		}, "t13d9916h2_"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := chrome()
			tc.change(h)
			got := JA4(h)
			if got[:len(tc.want)] != tc.want || len(got) != len(published) {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func BenchmarkJA4(b *testing.B) {
	h := chrome()
	b.ReportAllocs()
	for b.Loop() {
		JA4(h)
	}
}
