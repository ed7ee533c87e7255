package policy

import (
	"slices"
	"strings"
)

// nearest returns the word that was most likely meant by s, "" when none is near: the smallest edit distance up to a
// third of the length, else a word that begins with s or with which s begins.
func nearest(s string, words []string) string {
	if len(s) > 64 {
		return ""
	}
	s = strings.ToLower(s)
	best, least := "", max(1, (len(s)+1)/3)+1
	for _, w := range words {
		if d := distance(s, strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	if best != "" || len(s) < 3 {
		return best
	}
	for _, w := range words {
		if strings.HasPrefix(w, s) || len(w) > 3 && strings.HasPrefix(s, w) {
			return w
		}
	}
	return ""
}

// others are words that other products have for a value of an enumeration, by what they mean here. One that stands for
// several means the one that the enumeration has.
var others = []struct {
	value string
	words []string
}{
	{"client", []string{"address", "ip", "addr", "remote_addr", "source", "visitor"}},
	{"credential", []string{"token", "api_key", "user", "session", "cookie"}},
	{"host", []string{"domain", "site", "vhost"}},
	{"path", []string{"url", "uri", "route"}},
	{"ja4", []string{"fingerprint", "ja3", "tls"}},
	{"requests", []string{"hits", "calls", "count"}},
	{"bytes", []string{"size", "bandwidth", "traffic", "volume"}},
	{"origin_time", []string{"time", "latency", "cost", "milliseconds"}},
	{"inspection", []string{"waf", "firewall"}},
	{"allow", []string{"permit", "accept", "pass", "admit", "whitelist"}},
	{"admit", []string{"allow", "permit", "accept", "pass", "open", "continue"}},
	{"block", []string{"on", "enforce", "refuse", "deny", "reject", "prevention"}},
	{"count", []string{"detect", "detection", "monitor", "log", "report", "dry_run"}},
	{"off", []string{"none", "no", "disabled", "false"}},
	{"refuse", []string{"block", "deny", "reject", "drop", "ban", "closed", "blacklist"}},
	{"hangup", []string{"close", "reset", "disconnect"}},
	{"throttle", []string{"delay", "slow", "shape"}},
	{"queue", []string{"wait", "hold"}},
	{"hot", []string{"overload", "busy", "trouble", "pressure"}},
	{"least_connections", []string{"leastconn", "least_request"}},
	{"client_hash", []string{"ip_hash", "hash", "sticky", "source", "consistent_hash"}},
	{"console", []string{"text", "plain", "logfmt", "human"}},
	{"json", []string{"structured"}},
	{"debug", []string{"trace", "verbose"}},
	{"info", []string{"notice"}},
	{"error", []string{"critical", "fatal"}},
	{"prefix", []string{"truncate", "partial", "process_partial", "cut"}},
}

// nearestValue is nearest for the values of an enumeration, each of which may go by another name elsewhere.
func nearestValue(s string, values []string) string {
	if n := nearest(s, values); n != "" {
		return n
	}
	means, words := map[string]string{}, []string(nil)
	for _, o := range others {
		if !slices.Contains(values, o.value) {
			continue
		}
		for _, w := range o.words {
			means[w] = o.value
			words = append(words, w)
		}
	}
	return means[nearest(s, words)]
}

// distance is the number of insertions, deletions, replacements and swaps of neighbours between a and b (optimal string
// alignment).
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}

// didYouMean is the hint for a word that is none of words: the nearest of them, or all when they are few.
func didYouMean(s string, words []string, what string) string {
	if n := nearest(s, words); n != "" {
		return "did you mean " + quote(n) + "?"
	}
	if len(words) == 0 || len(words) > 30 {
		return ""
	}
	return what + " " + list(words, "and")
}
