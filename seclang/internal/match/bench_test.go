package match

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Values as a request holds them, none of which an attack.
var shortValues = strings.Fields(`42 blue L en-GB true 2026-11-25T10:00:00Z anna@example.org ` +
	`9f8b1c2e-77aa-4d0e-9c1a-0123456789ab /products/shoes/running?size=42&colour=blue shop-session-1732530000 ` +
	`text/html,application/xhtml+xml;q=0.9 O'Neill dXNlcjoxMjM0NTY3ODkw https://shop.example.com/cart`)

const prose = `Stormdoor stands before a web service and keeps it open. Dear customer service, I ordered two pairs of shoes
(size 42) on 3 May and have only received one; could you please tell me when the second pair, order no. 2023-11-04711,
will arrive? Thank you very much & kind regards, Anna-Maria O'Neill, 12 High Street, London. The weather was fine, so we
selected a table outside; from there, where the harbour is in sight, one can update friends on the order of the day.
`

// soup returns n bytes of the attacks' own words and signs in random order: the input that makes most states.
func soup(r *rand.Rand, words []string, n int) []byte {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		switch r.IntN(4) {
		case 0:
			b.WriteByte(" '\"();,=/\\<>&|`$%#-+*\n"[r.IntN(22)])
		case 1:
			b.WriteByte(' ')
		}
	}
	return []byte(b.String()[:n])
}

// attackWords returns the words and signs of the payloads.
func attackWords(tb testing.TB) []string {
	word := regexp.MustCompile(`[A-Za-z_]+|[0-9]+|[^A-Za-z0-9_\s]{1,2}`)
	seen := map[string]bool{}
	var out []string
	for _, p := range crsPayloads(tb) {
		for _, w := range word.FindAllString(p, -1) {
			if !seen[w] && len(w) < 20 {
				seen[w] = true
				out = append(out, w)
			}
		}
	}
	return out
}

// byLevel runs the benchmark for the argument patterns of two paranoia levels.
func byLevel(b *testing.B, run func(b *testing.B, patterns []Pattern, m *Matcher)) {
	for _, level := range []string{"1", "2"} {
		b.Run("PL"+level, func(b *testing.B) {
			patterns := crsPatterns(b, argsAt(level))
			run(b, patterns, mustCompile(b, patterns, Options{}).Subset(all(len(patterns))))
		})
	}
}

// scanAll measures scans of the values, which are warm.
func scanAll(b *testing.B, m *Matcher, values [][]byte) {
	bytes := 0
	for _, v := range values {
		bytes += len(v)
	}
	hits := make(Bits, len(m.text.asked))
	m.Warm(values)
	b.ReportAllocs()
	for b.Loop() {
		for _, v := range values {
			hits.Clear()
			m.Match(v, m.Patterns(), &Budget{Work: Unlimited, States: 0}, hits)
		}
	}
	perScan := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(perScan/float64(bytes), "ns/byte")
	b.ReportMetric(perScan/float64(len(values)), "ns/value")
	b.ReportMetric(float64(m.text.quick.rows), "states")
}

func BenchmarkShortValues(b *testing.B) {
	byLevel(b, func(b *testing.B, _ []Pattern, m *Matcher) { scanAll(b, m, bytesOf(shortValues)) })
}

func bytesOf(values []string) [][]byte {
	var out [][]byte
	for _, v := range values {
		out = append(out, []byte(v))
	}
	return out
}

func BenchmarkProse64K(b *testing.B) {
	byLevel(b, func(b *testing.B, _ []Pattern, m *Matcher) {
		scanAll(b, m, bytesOf([]string{strings.Repeat(prose, 64<<10/len(prose))}))
	})
}

// BenchmarkRules64K scans the Core Rule Set's own files, as somebody who asks for help with them sends them.
func BenchmarkRules64K(b *testing.B) {
	text := []byte(strings.Join(crsFiles(b), "")[:64<<10])
	byLevel(b, func(b *testing.B, _ []Pattern, m *Matcher) { scanAll(b, m, [][]byte{text}) })
}

func BenchmarkCyrillic4K(b *testing.B) {
	byLevel(b, func(b *testing.B, _ []Pattern, m *Matcher) {
		scanAll(b, m, bytesOf([]string{strings.Repeat("Мы заказали две пары обуви, размер 42. ", 4<<10/70)}))
	})
}

// BenchmarkSoup scans values of which no two are alike, each with a new request's budget.
func BenchmarkSoup(b *testing.B) {
	words := attackWords(b)
	for _, size := range []int{256, 4 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			byLevel(b, func(b *testing.B, _ []Pattern, m *Matcher) { scanSoup(b, m, words, size) })
		})
	}
}

func scanSoup(b *testing.B, m *Matcher, words []string, size int) {
	r := rand.New(rand.NewPCG(1, 1))
	hits := make(Bits, len(m.text.asked))
	work := 0
	b.ReportAllocs()
	for b.Loop() {
		hits.Clear()
		budget := Budget{Work: Unlimited, States: FreshStates}
		m.Match(soup(r, words, size), m.Patterns(), &budget, hits)
		work += Unlimited - budget.Work
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/byte")
	b.ReportMetric(float64(work)/float64(b.N)/float64(size), "work/byte")
}

// BenchmarkFirst scans with a matcher that knows no states.
func BenchmarkFirst(b *testing.B) {
	patterns := crsPatterns(b, argsAt("1"))
	values := bytesOf(shortValues)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		set := mustCompile(b, patterns, Options{})
		m, hits := set.Subset(all(len(patterns))), set.Hits()
		b.StartTimer()
		for _, v := range values {
			m.Match(v, m.Patterns(), &Budget{Work: Unlimited, States: Unlimited}, hits)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	patterns := crsPatterns(b, func(crsRule) bool { return true })
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, patterns, Options{})
	}
}

func BenchmarkSubset(b *testing.B) {
	patterns := crsPatterns(b, argsAt("1"))
	set := mustCompile(b, patterns, Options{})
	b.ReportAllocs()
	for b.Loop() {
		clear(set.matchers)
		set.Subset(all(len(patterns)))
	}
}

// BenchmarkStdlib is the short values, one expression after the other.
func BenchmarkStdlib(b *testing.B) {
	byLevel(b, func(b *testing.B, patterns []Pattern, _ *Matcher) {
		tw := newTwin(b, patterns)
		b.ReportAllocs()
		for b.Loop() {
			for _, v := range shortValues {
				for i := range patterns {
					tw.matches(i, v)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(shortValues)), "ns/value")
	})
}
