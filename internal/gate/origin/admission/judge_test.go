package admission

import (
	"testing"

	"stormdoor/flow"
)

// TestNeighboursAreToldApart by each of what they send with every request, and by nothing that differs from a page to its assets.
func TestNeighboursAreToldApart(t *testing.T) {
	m := NewMemory(start)
	client := func(change func(f *flow.Facts)) Key {
		f := facts("198.51.100.1", "Mozilla/5.0", 0, "Accept-Language", "de", "Sec-CH-UA-Platform", `"Linux"`, "Accept", "text/html")
		change(f)
		return m.ClaimOf(f, flow.Verdict{}, "").Client
	}
	base := client(func(*flow.Facts) {})
	for name, c := range map[string]struct {
		other  bool
		change func(f *flow.Facts)
	}{
		"a credential":      {true, func(f *flow.Facts) { f.Credential = 7 }},
		"a TLS fingerprint": {true, func(f *flow.Facts) { f.JA4 = "t13d1516h2" }},
		"another browser":   {true, func(f *flow.Facts) { f.Header.Set("user-agent", "curl") }},
		"another language":  {true, func(f *flow.Facts) { f.Header.Set("accept-language", "en") }},
		"another system":    {true, func(f *flow.Facts) { f.Header.Set("sec-ch-ua-platform", `"Windows"`) }},
		"another wish":      {true, func(f *flow.Facts) { f.Header.Add("sec-gpc", "1") }},
		"what it asks for":  {false, func(f *flow.Facts) { f.Header.Set("accept", "image/*") }},
		"why it asks":       {false, func(f *flow.Facts) { f.Header.Add("sec-fetch-mode", "no-cors") }},
		"another order": {false, func(f *flow.Facts) {
			f.Header.Del("user-agent")
			f.Header.Add("user-agent", "Mozilla/5.0")
		}},
	} {
		if got := client(c.change) != base; got != c.other {
			t.Errorf("%s makes another client: %v", name, got)
		}
	}
}
