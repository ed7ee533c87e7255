package listen

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"slices"
)

const (
	extServerName = 0
	extALPN       = 16
	ja4Hash       = 12 // hex digits
)

// ja4None stands for the hash of an empty list.
const ja4None = "000000000000"

// JA4 is the fingerprint of a ClientHello by FoxIO's published JA4 (BSD-3-Clause; technical_details/JA4.md): what the
// TLS library of a client offers, whatever the order of ciphers and extensions. GREASE values (RFC 8701) do not count.
// A hello that came over QUIC begins with "q".
func JA4(hello *tls.ClientHelloInfo) string {
	transport := byte('t')
	if slices.Contains(hello.Extensions, 57) { // quic_transport_parameters, RFC 9001
		transport = 'q'
	}
	var room [96]uint16
	ciphers := withoutGREASE(room[:0], hello.CipherSuites)
	var room2 [64]uint16
	extensions := withoutGREASE(room2[:0], hello.Extensions)

	out := make([]byte, 0, 36)
	out = append(out, transport)
	out = append(out, ja4Version(hello.SupportedVersions)...)
	sni := byte('i')
	if slices.Contains(extensions, extServerName) {
		sni = 'd'
	}
	out = append(out, sni)
	out = appendCount(out, len(ciphers))
	out = appendCount(out, len(extensions))
	out = appendALPN(out, hello.SupportedProtos)

	slices.Sort(ciphers)
	text := appendHex(make([]byte, 0, 512), ciphers)
	out = appendHash(append(out, '_'), text, len(ciphers) == 0)

	extensions = slices.DeleteFunc(extensions, func(e uint16) bool { return e == extServerName || e == extALPN })
	slices.Sort(extensions)
	text = appendHex(text[:0], extensions)
	before := byte('_')
	for _, s := range hello.SignatureSchemes {
		if !isGREASE(uint16(s)) {
			text = appendHex(append(text, before), []uint16{uint16(s)})
			before = ','
		}
	}
	out = appendHash(append(out, '_'), text, len(extensions) == 0)
	return string(out)
}

// isGREASE reports whether v is a reserved value that clients send to keep servers tolerant (RFC 8701).
func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func withoutGREASE(to, from []uint16) []uint16 {
	for _, v := range from {
		if !isGREASE(v) {
			to = append(to, v)
		}
	}
	return to
}

// ja4Version names the highest version on offer.
func ja4Version(versions []uint16) string {
	highest := uint16(0)
	for _, v := range versions {
		if !isGREASE(v) {
			highest = max(highest, v)
		}
	}
	switch highest {
	case tls.VersionTLS13:
		return "13"
	case tls.VersionTLS12:
		return "12"
	case tls.VersionTLS11:
		return "11"
	case tls.VersionTLS10:
		return "10"
	case 0x0300:
		return "s3"
	}
	return "00"
}

func appendCount(to []byte, n int) []byte {
	n = min(n, 99)
	return append(to, byte('0'+n/10), byte('0'+n%10))
}

// appendALPN adds the first and last character of the first protocol, or of its hex form where one is neither letter
// nor digit.
func appendALPN(to []byte, protos []string) []byte {
	if len(protos) == 0 || protos[0] == "" {
		return append(to, "00"...)
	}
	first, last := protos[0][0], protos[0][len(protos[0])-1]
	if isAlphanumeric(first) && isAlphanumeric(last) {
		return append(to, first, last)
	}
	const digits = "0123456789abcdef"
	return append(to, digits[first>>4], digits[last&15])
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func appendHex(to []byte, values []uint16) []byte {
	for i, v := range values {
		if i > 0 {
			to = append(to, ',')
		}
		to = hex.AppendEncode(to, []byte{byte(v >> 8), byte(v)})
	}
	return to
}

func appendHash(to, text []byte, none bool) []byte {
	if none {
		return append(to, ja4None...)
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(to, sum[:ja4Hash/2])
}
