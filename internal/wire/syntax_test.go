package wire

import "testing"

func TestAuthority(t *testing.T) {
	good := []string{"a", "a.b", "a_b:80", "a:", "A.example:65535", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443", "a%2eb", "x+y"}
	bad := []string{"", ":80", "a:65536", "a:808080", "a:8x", "a b", "a/b", "a@b", "a,b@c", "a?b", "a#b", `a\b`, "[::1", "[::1]80", "[1.2.3.4]",
		"[fe80::1%25eth0]", "[::1%eth0]", "a:1:2", "a%2", "a%zz", "a\x00", "a\x7f", "ä", "a\t"}
	for _, s := range good {
		if !validAuthority(s) {
			t.Errorf("validAuthority(%q) = false", s)
		}
	}
	for _, s := range bad {
		if validAuthority(s) {
			t.Errorf("validAuthority(%q) = true", s)
		}
	}
}

func TestContentLength(t *testing.T) {
	good := map[string]int64{"0": 0, "007": 7, "9223372036854775807": 1<<63 - 1}
	for s, want := range good {
		if n, ok := parseContentLength(s); !ok || n != want {
			t.Errorf("parseContentLength(%q) = %d, %v", s, n, ok)
		}
	}
	for _, s := range []string{"", "-1", "+1", " 1", "1 ", "1,1", "0x1", "1.0", "9223372036854775808", "00000000000000000001", "1_0", "１"} {
		if n, ok := parseContentLength(s); ok {
			t.Errorf("parseContentLength(%q) = %d", s, n)
		}
	}
}

func TestHex(t *testing.T) {
	good := map[string]int64{"0": 0, "000": 0, "aF": 175, "7fffffffffffffff": 1<<63 - 1, "000000000000000A": 10}
	for s, want := range good {
		if n, ok := parseHex(s); !ok || n != want {
			t.Errorf("parseHex(%q) = %d, %v", s, n, ok)
		}
	}
	for _, s := range []string{"", "0x1", "-1", "+1", " 1", "1 ", "g", "8000000000000000", "ffffffffffffffff", "00000000000000001", "1_0"} {
		if n, ok := parseHex(s); ok {
			t.Errorf("parseHex(%q) = %d", s, n)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, s := range []string{"/", "*", "/a?b=%zz|\"<>{}", "//a", "/?"} {
		if !validTarget(s) {
			t.Errorf("validTarget(%q) = false", s)
		}
	}
	for _, s := range []string{"", "a", "**", "/a b", "/a#b", "/\x00", "/\x7f", "/é", "http://a/", "/\t"} {
		if validTarget(s) {
			t.Errorf("validTarget(%q) = true", s)
		}
	}
}

func TestFieldSyntax(t *testing.T) {
	for _, s := range []string{"", "a b", "a:", "é", "a\t", "(a)", "a\r"} {
		if validFieldName(s) {
			t.Errorf("validFieldName(%q) = true", s)
		}
	}
	for _, s := range []string{"a\rb", "a\nb", "a\x00", "\x1f", "\x7f", "\v"} {
		if validFieldValue(s) {
			t.Errorf("validFieldValue(%q) = true", s)
		}
	}
	for _, s := range []string{"", "a b", "a\tb", "Düsseldorf", "\xff"} {
		if !validFieldValue(s) {
			t.Errorf("validFieldValue(%q) = false", s)
		}
	}
}

func TestTrailerFields(t *testing.T) {
	for _, s := range []string{"Content-Length", "TRANSFER-ENCODING", "host", "Authorization", "connection", "Set-Cookie", "Trailer"} {
		if validTrailer(s) {
			t.Errorf("validTrailer(%q) = true", s)
		}
	}
	for _, s := range []string{"grpc-status", "Server-Timing", "Digest", "X-Sum"} {
		if !validTrailer(s) {
			t.Errorf("validTrailer(%q) = false", s)
		}
	}
}
