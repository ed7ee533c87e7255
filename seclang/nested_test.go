package seclang

import (
	"encoding/base64"
	"strings"
	"testing"
)

const watched = `SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS "@contains needle(" "id:1,phase:2,log,pass,t:none"
SecRule ARGS_NAMES "@contains needle(" "id:2,phase:2,log,pass,t:none"
SecRule &ARGS "@gt 1" "id:3,phase:2,log,pass"
`

// looked lists the rules of watched that matched, with the first value of each.
func looked(t *testing.T, nested bool, target, contentType, body, credentials string) map[int]Value {
	t.Helper()
	r, err := Compile(nil, Options{Directives: watched, Nested: nested})
	if err != nil {
		t.Fatal(err)
	}
	tx := r.New(Start{})
	defer tx.Close()
	tx.RequestLine("POST", target, "HTTP/1.1")
	if contentType != "" {
		tx.RequestHeader("Content-Type", contentType)
	}
	if credentials != "" {
		tx.RequestHeader("Authorization", credentials)
	}
	tx.RequestHeadersEnd()
	tx.RequestBody([]byte(body))
	tx.RequestEnd()
	found := map[int]Value{}
	for _, m := range tx.Matches() {
		found[m.Rule.ID] = m.Values[0]
		if len(m.Values) > 1 {
			t.Errorf("%s: rule %d matched %d values", target, m.Rule.ID, len(m.Values))
		}
	}
	return found
}

func TestNestedValues(t *testing.T) {
	encoded := base64.RawURLEncoding.EncodeToString([]byte("a needle(1) in it"))
	for _, c := range []struct{ name, target, contentType, body, credentials, key string }{
		{name: "query", target: "/?q=" + encoded, key: "q"},
		{name: "padded", target: "/?q=" + base64.StdEncoding.EncodeToString([]byte("a needle(1) in it")), key: "q"},
		{name: "twice escaped", target: "/?q=needle%2528", key: "q"},
		{name: "form", target: "/", contentType: "application/x-www-form-urlencoded", body: "f=" + encoded, key: "f"},
		{name: "path", target: "/x%20needle%28", key: pathKey},
		{name: "in the path", target: "/a/" + encoded, key: pathKey},
		{name: "credentials", target: "/", credentials: "Basic " + encoded, key: "Authorization"},
		{name: "sent as it is", target: "/?q=needle(%2525", key: "q"},
	} {
		found := looked(t, true, c.target, c.contentType, c.body, c.credentials)
		if v, ok := found[1]; !ok || v.Variable != "ARGS" || v.Key != c.key {
			t.Errorf("%s: found %v", c.name, found)
		}
		if len(found) != 1 {
			t.Errorf("%s: names or counts have changed: %v", c.name, found)
		}
		if found := looked(t, false, c.target, c.contentType, c.body, c.credentials); len(found) > 0 && c.name != "sent as it is" {
			t.Errorf("%s: without the option: %v", c.name, found)
		}
	}
}

func TestWhatIsNoNestedText(t *testing.T) {
	var tx Transaction
	for _, s := range []string{"", "aWQ=", "SGVsbG8gd29ybGQ!", "onlywords", base64.StdEncoding.EncodeToString([]byte{0, 1, 2, 0xff, 0xfe, 9}), base64.StdEncoding.EncodeToString([]byte("OnlyLetters1"))} {
		if text, ok := tx.base64Text(s); ok {
			t.Errorf("%q: %q", s, text)
		}
	}
}

// decodeAsTheLibrary decodes base64 of either alphabet without regard to padding.
func decodeAsTheLibrary(s string) (string, error) {
	s = strings.NewReplacer(" ", "+", "-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawStdEncoding.DecodeString(s)
	return string(b), err
}

func FuzzBase64Text(f *testing.F) {
	f.Add("PHNjcmlwdD4x")
	f.Add("e3s3Kjd9fQ==")
	f.Fuzz(func(t *testing.T, s string) {
		var tx Transaction
		got, ok := tx.base64Text(s)
		want, err := decodeAsTheLibrary(s)
		if ok && (err != nil || got != want) {
			t.Errorf("%q: %q, the library says %q, %v", s, got, want, err)
		}
	})
}

func TestADoubtedMatchHasNoConsequences(t *testing.T) {
	const rules = `SecRuleEngine On
SecRule ARGS "@rx needle" "id:1,phase:1,deny,status:403,log,t:none,severity:CRITICAL,setvar:tx.n=+1"
SecRule HIGHEST_SEVERITY "@lt 5" "id:2,phase:1,pass,log"
`
	r, err := Compile(nil, Options{Directives: rules, Doubt: func(r *Rule, sent string) bool { return r.ID == 1 && strings.HasPrefix(sent, "a ") }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query            string
		refused, doubted bool
	}{{"q=a+needle", false, true}, {"q=a+needle&r=needle", true, false}, {"r=needle", true, false}} {
		tx := r.New(Start{})
		tx.RequestLine("GET", "/?"+c.query, "HTTP/1.1")
		it := tx.RequestHeadersEnd()
		m := tx.Matches()
		if it.Refuses() != c.refused || len(m) == 0 || m[0].Rule.ID != 1 || m[0].Doubted != c.doubted {
			t.Errorf("%s: %+v, %+v", c.query, it, m)
		}
		if n, _ := tx.TX("n"); (n == "") != !c.refused {
			t.Errorf("%s: the score is %q", c.query, n)
		}
		if !c.refused && len(m) != 1 {
			t.Errorf("%s: its severity counts: %+v", c.query, m)
		}
		tx.Close()
	}
}

func TestPublishedDocumentTypes(t *testing.T) {
	for declaration, want := range map[string]bool{
		`<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"`: true,
		`<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN"`:                                                            true,
		`<!DOCTYPE article PUBLIC "-//NLM//DTD JATS v1.2//EN" 'JATS.dtd'`:                                              true,
		`<!DOCTYPE a PUBLIC "-//W3C//DTD A//EN" "http://w3.org.h.example/a.dtd"`:                                       false,
		`<!DOCTYPE a PUBLIC "-//W3C//DTD A//EN" "http://w3.org@h.example/a.dtd"`:                                       false,
		`<!DOCTYPE a PUBLIC "-//W3C//DTD A//EN" "http://h.example?http://www.w3.org/a"`:                                false,
		`<!DOCTYPE a PUBLIC "-//A//DTD A//EN" "../../a.dtd"`:                                                           false,
		`<!DOCTYPE a PUBLIC "-//A//DTD A//EN" "//h.example/a.dtd"`:                                                     false,
		`<!DOCTYPE a PUBLIC "-//A//DTD A//EN" "a.dtd`:                                                                  false,
		`<!DOCTYPE a SYSTEM "a.dtd"`:                                                                                   false,
		`<!DOCTYPE a PUBLIC "-//W3C//DTD A//EN" "ftp://www.w3.org/a.dtd"`:                                              false,
		`<!DOCTYPE`: false,
	} {
		if got := public(declaration); got != want {
			t.Errorf("%s: %v", declaration, got)
		}
	}
}
