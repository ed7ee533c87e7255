package main

import (
	"fmt"
	"time"
)

// row is a peer's line in the table of a storm. capacity is 0 where answers in a second say nothing.
func row(peer string, visitors, strangers counts, rate, capacity, busy float64, most int64) string {
	goodput := "–"
	if capacity > 0 {
		goodput = fmt.Sprintf("%.1f %%", 100*rate/capacity)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %.1f %% | %d | %s |", peer, share(visitors), short(visitors.P50), short(visitors.P99),
		share(strangers), short(strangers.P99), goodput, 100*busy, most, others(visitors, strangers))
}

func share(c counts) string {
	if c.Asked == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %% of %d", 100*float64(c.Served)/float64(c.Asked), c.Asked)
}

func short(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
}

// others tells what the answers were that were no 200 in time, visitors before strangers.
func others(visitors, strangers counts) string {
	one := func(c counts) string {
		return fmt.Sprintf("%d 5xx, %d 4xx, %d late, %d none", c.Refused, c.Banned, c.Late, c.Unanswered)
	}
	return one(visitors) + " / " + one(strangers)
}
