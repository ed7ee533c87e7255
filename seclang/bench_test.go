package seclang_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"stormdoor/seclang"
)

// The exchanges of the benchmarks, beside which oracle_test.go puts Coraza.

func tinyGET() exchange {
	return exchange{
		method: "GET", target: "/", protocol: "HTTP/1.1", status: 200,
		headers: [][2]string{{"Host", "www.example.org"}, {"User-Agent", "curl/8.5.0"}, {"Accept", "*/*"}},
	}
}

func browserGET() exchange {
	return exchange{
		method: "GET", target: "/shop/items/list?category=garden+tools&page=2&sort=price_asc&q=lawn%20mower&ref=newsletter", protocol: "HTTP/1.1", status: 200,
		headers: [][2]string{
			{"Host", "www.example.org"},
			{"Connection", "keep-alive"},
			{"Sec-Ch-Ua", `"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"`},
			{"Sec-Ch-Ua-Mobile", "?0"},
			{"Upgrade-Insecure-Requests", "1"},
			{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"},
			{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"},
			{"Sec-Fetch-Site", "same-origin"},
			{"Sec-Fetch-Mode", "navigate"},
			{"Sec-Fetch-Dest", "document"},
			{"Referer", "https://www.example.org/shop/items?category=garden"},
			{"Accept-Encoding", "gzip, deflate, br"},
			{"Accept-Language", "en-GB,en;q=0.9,de;q=0.8"},
			{"Cookie", "session=7f3c9a52e1b84d06a1c2; theme=dark; _ga=GA1.2.1348930164.1699876543; _gid=GA1.2.77120.1699; cart=3f2a; consent=yes"},
		},
	}
}

// renew gives the arguments, the cookies and the page that a link came from values of their own.
func (x *exchange) renew(n int) {
	x.target = fmt.Sprintf("/shop/items/list?category=garden+tools%d&page=%d&sort=price_asc&q=lawn%%20mower%d&ref=newsletter%d", n, n, n, n)
	for i := range x.headers {
		switch x.headers[i][0] {
		case "Cookie":
			x.headers[i][1] = fmt.Sprintf("session=7f3c9a52e1b84d06a%d; theme=dark%d; _ga=GA1.2.13489%d.1699876543; _gid=GA1.2.77%d.1699; cart=3f%d; consent=yes%d", n, n, n, n, n, n)
		case "Referer":
			x.headers[i][1] = fmt.Sprintf("https://www.example.org/shop/items?category=garden%d", n)
		}
	}
}

func form(fields, size int) exchange {
	x := browserGET()
	x.method, x.target = "POST", "/checkout"
	var b strings.Builder
	for i := range fields {
		if i > 0 {
			b.WriteByte('&')
		}
		fmt.Fprintf(&b, "field%d=%s", i, strings.Repeat("value+", size)[:size])
	}
	return x.with("application/x-www-form-urlencoded", b.String())
}

func (x exchange) with(kind, body string) exchange {
	x.body = body
	x.headers = append(x.headers, [2]string{"Content-Type", kind}, [2]string{"Content-Length", fmt.Sprint(len(body))})
	return x
}

func jsonPOST(size int) exchange {
	x := browserGET()
	x.method, x.target = "POST", "/api/orders"
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < size-20; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"name":"garden chair %d","price":%d.99,"tags":["wood","green"]}`, i, i, i%90)
	}
	b.WriteString(`]}`)
	return x.with("application/json", b.String())
}

func textPOST(size int) exchange {
	x := browserGET()
	x.method, x.target = "POST", "/comments"
	text := strings.Repeat("The quick brown fox jumps over the lazy dog near the river bank. ", size/64+1)[:size]
	return x.with("application/json", `{"text":"`+text+`"}`)
}

var workloads = []struct {
	name string
	make func() exchange
}{
	{"tiny", tinyGET},
	{"browser", browserGET},
	{"browserNew", browserGET}, // each time with values that were never seen
	{"form10", func() exchange { return form(10, 12) }},
	{"form999", func() exchange { return form(999, 4) }},
	{"json4K", func() exchange { return jsonPOST(4 << 10) }},
	{"json64K", func() exchange { return jsonPOST(64 << 10) }},
	{"text64K", func() exchange { return textPOST(64 << 10) }},
}

// paranoid is the set-up of a paranoia level.
func paranoid(level int) string {
	return fmt.Sprintf("SecAction \"id:900000,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=%d\"\n", level)
}

func BenchmarkTransaction(b *testing.B) {
	for level := 1; level <= 2; level++ {
		rules := compileRules(b, crs("On", "SecResponseBodyAccess Off\n"+paranoid(level)))
		for _, w := range workloads {
			b.Run(fmt.Sprintf("pl%d/%s", level, w.name), func(b *testing.B) {
				x := w.make()
				judge(rules, &x).Close()
				b.ReportAllocs()
				defer cpu(b)()
				for n := 0; b.Loop(); n++ {
					if w.name == "browserNew" {
						x.renew(n)
					}
					judge(rules, &x).Close()
				}
			})
		}
	}
}

// BenchmarkFirst is the first transaction of a rule set, with everything that is made when it is first needed; and the same one when the
// rule set knows it, but the processor's caches hold something else.
func BenchmarkFirst(b *testing.B) {
	for _, w := range workloads {
		b.Run(w.name, func(b *testing.B) {
			var first, cold int64
			other := make([]byte, 64<<20)
			for b.Loop() {
				rules, x := compileRules(b, crs("On", "")), w.make()
				once := func() int64 {
					before := spent(b)
					judge(rules, &x).Close()
					return spent(b) - before
				}
				first += once()
				for range 20 {
					once()
				}
				for i := range other {
					other[i]++
				}
				cold += once()
			}
			b.ReportMetric(float64(first)/float64(b.N), "first-cpu-ns/op")
			b.ReportMetric(float64(cold)/float64(b.N), "caches-cold-cpu-ns/op")
		})
	}
}

// BenchmarkMemory is the heap that rule sets take, the first and each further one, at most while they go through the suite's requests: automata forget
// when their memory is full.
func BenchmarkMemory(b *testing.B) {
	stages, err := suite()
	if err != nil {
		b.Fatal(err)
	}
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	most := func(rules *seclang.Ruleset) (most float64) {
		const every = 200
		for range 2 {
			for i := range stages {
				judge(rules, &stages[i].exchange).Close()
				if i%every == 0 {
					most = max(most, heap())
				}
			}
		}
		return most
	}
	for b.Loop() {
		begin := heap()
		first := compileRules(b, crs("On", ""))
		b.ReportMetric(heap()-begin, "first-MiB")
		used := most(first)
		b.ReportMetric(used-begin, "used-MiB")
		second, err := seclang.Compile(coreruleset.FS, seclang.Options{Beside: first, Directives: crs("DetectionOnly",
			"SecRule ARGS:page \"!@rx ^[0-9]{1,4}$\" \"id:1,phase:2,t:none,deny,log,msg:'page'\"")})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(most(second)-used, "further-MiB")
		runtime.KeepAlive(first)
		runtime.KeepAlive(second)
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		compileRules(b, crs("On", ""))
	}
}

// soup is a text of pieces of attacks in random order: what is worst for automata.
func soup(r *rand.Rand, size int) string {
	pieces := strings.Fields(`select union or ' " -- /* */ <script onerror= javascript: $( ${jndi: ../ %00 \\x &# cat /etc/ passwd ; | && eval( system(
		php:// {{ }} = 1=1 sleep( 0x char( \ < > a e import os. exec`)
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(pieces[r.IntN(len(pieces))])
		if r.IntN(3) == 0 {
			b.WriteByte(byte(' ' + r.IntN(95)))
		}
	}
	return strings.ReplaceAll(b.String()[:size], "&", "+")
}

// BenchmarkHostile is requests of 64 KiB that are made to be slow, each time other ones, and each of them again when its states are known:
// what lies between the two is the explosion of states.
func BenchmarkHostile(b *testing.B) {
	rules := compileRules(b, crs("DetectionOnly", "SecResponseBodyAccess Off\n"))
	for _, w := range []struct {
		name         string
		fields, size int
	}{{"one64K", 1, 64 << 10}, {"many64", 1000, 64}, {"many1K", 64, 1 << 10}} {
		b.Run(w.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			var first, again int64
			for b.Loop() {
				var pairs []string
				for i := range w.fields {
					pairs = append(pairs, fmt.Sprintf("a%d=%s", i, soup(r, w.size)))
				}
				x := browserGET()
				x.method, x.target = "POST", "/"
				x = x.with("application/x-www-form-urlencoded", strings.Join(pairs, "&"))
				for round := range 3 {
					before := spent(b)
					judge(rules, &x).Close()
					switch took := spent(b) - before; round {
					case 0:
						first += took
					case 2:
						again += took
					}
				}
			}
			b.ReportMetric(float64(first)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(again)/float64(b.N), "again-cpu-ns/op")
		})
	}
}

// cpu reports the CPU time of the process for each operation: on a busy machine it tells more than the clock.
func cpu(b *testing.B) func() {
	before := spent(b)
	return func() { b.ReportMetric(float64(spent(b)-before)/float64(b.N), "cpu-ns/op") }
}

func spent(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
