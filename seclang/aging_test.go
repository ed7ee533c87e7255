package seclang_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// varied is a request with texts of many kinds, as those to programs for developers, shops and forums are.
func varied(r *rand.Rand) exchange {
	kinds := []string{
		"The %s of %s isn't (yet) in the %s; see https://%s.example.org/%s?id=%d#top, please! ",
		"func %s(%s *%s) error { return fmt.Errorf(\"%s: %%w\", %s[%d]) }\n",
		"<p class=\"%s\">%s <b>%s</b> &amp; %s <a href=\"/%s/%d\">more</a></p>",
		"SELECT %s, count(%s) FROM %s WHERE %s = '%s' GROUP BY %d; ",
		"%s: {%s: [%s, \"%s\"], $%s: %d}, ",
		"sudo %s --%s=%s | grep -v %s > /var/%s/%d.log; ",
		"at org.%s.%s.(%s.java) [%s] line %d: ",
		"%s=%s&%s[%s]=%s;%d,",
	}
	word := func() string {
		b := make([]byte, 2+r.IntN(8))
		for i := range b {
			b[i] = "etaoinshrdlucmfwypvbgkjqxz"[min(r.IntN(26), r.IntN(26))]
		}
		return string(b)
	}
	var fields []string
	for i := range 8 {
		var text strings.Builder
		kind := kinds[r.IntN(len(kinds))]
		for text.Len() < 300+r.IntN(1200) {
			fmt.Fprintf(&text, kind, word(), word(), word(), word(), word(), r.IntN(1_000_000))
		}
		fields = append(fields, fmt.Sprintf("%q:%q", fmt.Sprint("f", i), text.String()))
	}
	x := browserGET()
	x.method, x.target = "POST", "/api"
	return x.with("application/json", "{"+strings.Join(fields, ",")+"}")
}

// However many kinds of texts a rule set has seen, and whatever was sent to fill its memory, what is built anew for further requests stays a
// part of what they cost: nobody pays for what others have sent.
func TestARuleSetDoesNotAge(t *testing.T) {
	rules := compileRules(t, crs("DetectionOnly", "SecResponseBodyAccess Off\n"))
	r := rand.New(rand.NewPCG(3, 4))
	spend := func(requests int) (built, work int64) {
		for range requests {
			x := varied(r)
			tx := judge(rules, &x)
			built, work = built+tx.Cost().Cold, work+tx.Cost().Work
			tx.Close()
		}
		return built, work
	}
	spend(150)
	for range 8 {
		x := browserGET()
		x.method, x.target = "POST", "/"
		x = x.with("application/x-www-form-urlencoded", "a="+soup(r, 64<<10))
		judge(rules, &x).Close()
	}
	spend(50)
	if built, work := spend(100); built > work/5 {
		t.Errorf("building states took %d beside work of %d", built, work)
	}
}
