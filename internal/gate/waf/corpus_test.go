package waf

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// sample is a line of a corpus of testdata: a value of a class, and where in a request it stands.
type sample struct{ class, place, value string }

func samples(t testing.TB, file string) (all []sample) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, "\t", 3)
		if len(parts) != 3 {
			t.Fatalf("%s: %q: want class, place and value", file, line)
		}
		all = append(all, sample{parts[0], parts[1], parts[2]})
	}
	return all
}

// request is the request that brings the sample. Percent escapes in values stand for bytes, once.
func (s sample) request(t testing.TB) (*flow.Facts, string) {
	t.Helper()
	plain := s.value
	if u, err := url.PathUnescape(plain); err == nil {
		plain = u
	}
	switch s.place {
	case "path":
		return facts("GET", s.value, ""), ""
	case "query":
		return facts("GET", "/search", "q="+url.QueryEscape(plain)), ""
	case "query-raw":
		return facts("GET", "/search", s.value), ""
	case "base64":
		return facts("GET", "/search", "q="+base64.RawURLEncoding.EncodeToString([]byte(plain))), ""
	case "header":
		return facts("GET", "/", "", "X-Note", s.value), ""
	case "header-authorization":
		return facts("GET", "/", "", "Authorization", s.value), ""
	case "header-name":
		return facts("GET", "/", "", s.value, "1"), ""
	case "form":
		return body("application/x-www-form-urlencoded", "text="+url.QueryEscape(plain))
	case "form-raw":
		return body("application/x-www-form-urlencoded", s.value)
	case "json":
		text, err := json.Marshal(map[string]string{"text": plain})
		if err != nil {
			t.Fatal(err)
		}
		return body("application/json", string(text))
	case "json-raw":
		return body("application/json", s.value)
	case "file": // its name, a bar, and its content
		name, content, _ := strings.Cut(plain, "|")
		return body("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\""+name+"\"\r\nContent-Type: application/octet-stream\r\n\r\n"+content+"\r\n--b--\r\n")
	case "xml":
		return body("application/xml", s.value)
	}
	t.Fatalf("there is no place %q", s.place)
	return nil, ""
}

// clients are the requests of clients.txt.
func clients(t testing.TB) (all []recorded) {
	t.Helper()
	text, err := os.ReadFile("testdata/clients.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		parts = append(parts, "", "")
		var raw strings.Builder
		raw.WriteString(parts[1] + " HTTP/1.1\r\nHost: shop.example\r\n")
		for field := range strings.SplitSeq(parts[2], " | ") {
			if field != "" {
				raw.WriteString(field + "\r\n")
			}
		}
		for name, value := range map[string]string{"User-Agent": "client/1.0", "Accept": "*/*"} {
			if !strings.Contains(parts[2], name+":") {
				raw.WriteString(name + ": " + value + "\r\n")
			}
		}
		body := strings.ReplaceAll(parts[3], "␤", "\r\n")
		if body != "" || strings.HasPrefix(parts[1], "POST ") {
			fmt.Fprintf(&raw, "Content-Length: %d\r\n", len(body))
		}
		raw.WriteString("\r\n" + body)
		wide := make([]rune, 0, raw.Len())
		for _, b := range []byte(raw.String()) {
			wide = append(wide, rune(b))
		}
		all = append(all, recorded{ID: parts[0] + " " + parts[1], Want: "pass", Raw: string(wide)})
	}
	return all
}

func TestClientsAreNotRefused(t *testing.T) {
	for _, r := range clients(t) {
		f, body, ok := r.request()
		if !ok {
			t.Fatalf("%s is no request", r.ID)
		}
		if v := whole(one(), f, body); (v.Action != flow.Continue) != slices.Contains(refusedClients, r.ID) {
			t.Errorf("%s: %s", r.ID, described(v))
		}
	}
}

// refusedClients are refused all the same: what they send is what an attack would be.
var refusedClients = []string{
	"webhooks POST /hooks/mail",         // the header of a mail, in a field
	"search POST /indexes/doors/search", // a condition, as SQL has them
}

func body(mediaType, text string) (*flow.Facts, string) {
	f := facts("POST", "/comment", "", "Content-Type", mediaType, "Content-Length", "1")
	f.Length = int64(len(text))
	return f, text
}

func TestCorpora(t *testing.T) {
	for file, refused := range map[string]bool{"attacks.txt": true, "harmless.txt": false, "texts.txt": false} {
		for _, s := range samples(t, file) {
			f, text := s.request(t)
			if v := whole(one(), f, text); (v.Action == flow.Refuse) != refused {
				t.Errorf("%s: %s %s %q: %s", file, s.class, s.place, s.value, described(v))
			}
		}
	}
}

func TestWithoutOwnRulesTheCoreRuleSetIsAlone(t *testing.T) {
	no := false
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.OwnRules = &no })
	if v := decide(t, s, facts("GET", "/actuator/heapdump", "")); v.Action == flow.Refuse {
		t.Errorf("a rule of the door's own matched: %s", described(v))
	}
	if v := decide(t, one(), facts("GET", "/actuator/heapdump", "")); v.Action != flow.Refuse {
		t.Errorf("with them: %s", described(v))
	}
}

// What the door's own rules cost beside the Core Rule Set alone.
func BenchmarkBrowserGet(b *testing.B) {
	no := false
	for _, c := range []struct {
		name  string
		stage *Stage
	}{
		{"own", stage(b, policy.WAFBlocks, nil)},
		{"core", stage(b, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.OwnRules, p.WAF.Prose = &no, &no })},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := facts("GET", "/product/7", "page=2&sort=price&q=red+shoes&utm_source=mail&ref=a1b2", "Accept-Language", "de,en;q=0.8", "Referer", "https://shop.example/list?page=1",
				"Cookie", "sid=5f2c9a7d1e; theme=dark; cart=3; lang=de; seen=1; ab=b")
			f.Client = netip.MustParseAddr("127.0.0.1") // of whom no request is remembered
			b.ReportAllocs()
			for b.Loop() {
				if v := decide(b, c.stage, f); v.Action == flow.Refuse {
					b.Fatal(described(v))
				}
			}
		})
	}
}
