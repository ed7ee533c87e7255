package openapi

import "testing"

func BenchmarkJudge(b *testing.B) {
	d := orders(b)
	json := "\nContent-Type: application/json\n\n"
	for _, c := range [][2]string{
		{"none", "GET /api/orders/latest"},
		{"five parameters", "GET /api/orders?limit=10&page=3&sort=-created&since=2026-11-26&q=blue+shirts"},
		{"body", "POST /api/orders" + json + `{"items":[{"article":"AB1234","count":2},{"article":"CD5678","count":1}],"note":"by the door, please"}`},
	} {
		f, body := ask(c[1])
		b.Run(c[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d.Judge(f, body, Options{}).Violation.Kind != Conforms {
					b.Fatal("it does not conform")
				}
			}
		})
	}
}
