package seclang

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"

	"stormdoor/seclang/internal/match"
)

// sample is an exchange that a rule set goes through when it is compiled.
type sample struct {
	line    [3]string
	headers [][2]string
	body    string
}

// numbered returns a form and a JSON document of so many fields with numbers and tokens in names and values, the same each time.
func numbered(fields int) []sample {
	r := rand.New(rand.NewPCG(2026, 11))
	var form, document, cookies strings.Builder
	for i := range fields {
		n, token := r.IntN(1000), strconv.FormatUint(r.Uint64(), 36)
		fmt.Fprintf(&form, "&field%d=%d&item[%d]=name+%d&%s=%x", n, r.IntN(10000), i, n, token, r.Uint64())
		fmt.Fprintf(&document, `,{"id":%d,"name":"item %d","price":%d.%02d,"token":"%s"}`, r.IntN(1000), n, n, r.IntN(100), token)
		fmt.Fprintf(&cookies, "; _id%d=%x", i%10, r.Uint64())
	}
	return []sample{
		{
			line: [3]string{"POST", "/", "HTTP/1.1"}, body: form.String()[1:],
			headers: [][2]string{
				{"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Length", "1000"}, {"Cookie", cookies.String()[2:]},
			},
		},
		{
			line: [3]string{"POST", "/", "HTTP/1.1"}, body: `{"items":[` + document.String()[1:] + "]}",
			headers: [][2]string{{"Content-Type", "application/json"}, {"Content-Length", "1000"}},
		},
	}
}

// ordinary are exchanges of every day. A rule set goes through them when it is compiled, so that the first visitor does
// not pay for what every visitor needs.
var ordinary = []sample{
	{
		line: [3]string{"GET", "/index.html?lang=en&page=2&sort=price_asc&q=blue+garden%20chair&ref=newsletter-2026", "HTTP/1.1"},
		headers: [][2]string{
			{"Host", "www.example.org"}, {"Connection", "keep-alive"},
			{"Sec-Ch-Ua", `"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"`}, {"Sec-Ch-Ua-Mobile", "?0"},
			{"Sec-Ch-Ua-Platform", `"Windows"`}, {"Upgrade-Insecure-Requests", "1"},
			{"User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"},
			{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"},
			{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-User", "?1"}, {"Sec-Fetch-Dest", "document"},
			{"Referer", "https://www.example.org/catalogue/page?category=garden"}, {"Accept-Encoding", "gzip, deflate, br, zstd"},
			{"Accept-Language", "en-GB,en;q=0.9,de;q=0.8"}, {"Priority", "u=0, i"},
			{"Cookie", "session=9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d; theme=dark; _ga=GA1.2.1348930164.1699876543; cart=3f2a%7C2; consent=yes"},
		},
	},
	{
		line: [3]string{"GET", "/assets/app-4f9d2c.min.js?v=1.2.3", "HTTP/2.0"},
		headers: [][2]string{
			{"Host", "static.example.org"},
			{"User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"},
			{"Accept", "*/*"}, {"Accept-Language", "de-DE,de;q=0.9"}, {"If-None-Match", `W/"5f3c-18c2"`},
			{"If-Modified-Since", "Wed, 21 Oct 2026 07:28:00 GMT"}, {"Cache-Control", "max-age=0"},
		},
	},
	{
		line:    [3]string{"GET", "/", "HTTP/1.1"},
		headers: [][2]string{{"Host", "example.org"}, {"User-Agent", "curl/8.10.1"}, {"Accept", "*/*"}},
	},
	{
		line: [3]string{"POST", "/account/login", "HTTP/2.0"},
		headers: [][2]string{
			{"Host", "www.example.org"}, {"Content-Length", "120"}, {"Origin", "https://www.example.org"},
			{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"},
			{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
			{"Content-Type", "application/x-www-form-urlencoded"}, {"Cookie", "sid=Zm9vYmFyMTIz.abc-_"},
		},
		body: "username=jane.doe%40example.org&password=Correct-Horse+7&remember=on&csrf_token=a3f9c1d2e4b5&comment=Thanks%2C+see+you+on+Monday%21",
	},
	{
		line: [3]string{"POST", "/forms/2026/contact-us.php?step=3&return=%2Fshop%2Fcart", "HTTP/1.1"},
		headers: [][2]string{
			{"Host", "127.0.0.1:8080"}, {"Content-Length", "700"}, {"User-Agent", "python-requests/2.32.3"}, {"Accept-Encoding", "gzip, deflate"},
			{"Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"}, {"Cookie", "PHPSESSID=r2t5uvjq435r4q7ib3vtdjq120; lang=de_DE; token=eyJhbGciOiJIUzI1NiJ9.e30.Et9HFtf9R3GEMA0IICOfFMVXY7kkTX1wr4qCyIXf58U"},
		},
		body: "name=J%C3%BCrgen+O%27Neill-Schmidt&email=j.schmidt%2Bshop%40mail.example.co.uk&phone=%2B49+%2830%29+1234-567&zip=10115&city=M%C3%BCnchen" +
			"&street=Am+Markt+12a%2C+2.+OG&date=2026-11-25&time=09%3A30%3A00&at=2026-11-25T12%3A30%3A00.000Z&amount=1%2C234.50+EUR&vat=DE123456789" +
			"&id=550e8400-e29b-41d4-a716-446655440000&hash=d41d8cd98f00b204e9800998ecf8427e&ids%5B%5D=1&ids%5B%5D=22&lat=52.5200&lng=13.4050" +
			"&url=https%3A%2F%2Fwww.example.org%2Fa%2Fb.html%3Fx%3D1%26y%3D2%23top&file=Report_2026+%28final%29.pdf&color=%23ff8800&locale=pt-BR" +
			"&subject=Question+about+order+%23A-1042&title=The+Lord+of+the+Rings%3A+Part+I&size=XL&ok=true&empty=&n=-17&f=3.14e-5" +
			"&text=Hello%2C%0D%0A%0D%0AI+can%27t+find+the+%22blue%22+chair+any+more+-+is+it+sold+out%3F+Please+tell+me+if+you+get+one+again+%28or+when%29.+Thanks+%26+best+regards%2C%0D%0AJane",
	},
	{
		line: [3]string{"POST", "/api/v1/orders/42", "HTTP/1.1"},
		headers: [][2]string{
			{"Host", "api.example.org"}, {"Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP"}, {"Content-Length", "300"},
			{"User-Agent", "okhttp/4.12.0"}, {"Accept", "application/json"}, {"Content-Type", "application/json; charset=utf-8"},
			{"X-Requested-With", "XMLHttpRequest"}, {"X-Request-Id", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"},
		},
		body: `{"id":42,"items":[{"sku":"AB-1234","name":"Garden chair, blue","price":19.99,"tags":["wood","new"]},` +
			`{"id":1,"name":"table 17","price":5.99,"count":10,"tags":["green","old"]},{"id":200,"value":null,"user":{"first_name":"Max","lastName":"Li"}}],"email":"jane@example.org",` +
			`"note":"Please leave it at the door. The bell doesn't work!","at":"2026-11-25T12:30:00Z","gift":true,"url":"https://example.org/a?b=c"}`,
	},
}

// numberedFields is how many fields the numbered exchanges have: they take a tenth of the time to compile, and 1.2 MiB.
const numberedFields = 60

// warm goes through the ordinary exchanges, so that automata know them both quickly and steadily.
func (r *Ruleset) warm() {
	client, server := netip.MustParseAddrPort("192.0.2.1:50000"), netip.MustParseAddrPort("192.0.2.2:443")
	for _, x := range append(numbered(numberedFields), ordinary...) {
		t := r.New(Start{ID: "warm", Mode: Detect})
		t.budget.States, t.budget.Both = match.Unlimited, true
		t.Connection(client, server)
		t.RequestLine(x.line[0], x.line[1], x.line[2])
		for _, h := range x.headers {
			t.RequestHeader(h[0], h[1])
		}
		t.RequestHeadersEnd()
		t.RequestBody([]byte(x.body))
		t.RequestEnd()
		t.ResponseHeader("Content-Type", "text/html")
		t.ResponseHeadersEnd(200, "HTTP/1.1")
		t.ResponseBody([]byte("<!doctype html><html><head><title>Example</title></head><body><p>It works: 42 chairs.</p></body></html>"))
		t.ResponseEnd()
		t.Finish()
		t.Close()
	}
	for i := range r.shared.sets {
		r.shared.sets[i].set.Keep()
	}
	r.lessons.Store(lessons)
}
