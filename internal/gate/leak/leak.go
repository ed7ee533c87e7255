// Package leak answers "does an origin's answer tell what nobody outside is to read?", by the beginning of answers that are
// text: keys and passwords, the insides of programs, lists of files, errors in full length.
package leak

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/policy"
)

// Name is the stage's name in verdicts.
const Name = "leak"

// Prefix is how much of an answer is looked at, in bytes, sent and unpacked.
const Prefix = 16 << 10

// maxHeld bounds the beginnings of answers that are held at once, in bytes. Answers beyond it pass unseen: answers are what
// a storm asks for, and a leak is none of the storm's.
const maxHeld = 32 << 20

// Stage knows what is to be done about leaks, by site and route. It is safe for concurrent use.
type Stage struct {
	modes map[place]policy.WAFMode // only where it is not off
	*counts
}

// counts outlive a stage: the next one goes on with them.
type counts struct {
	held  atomic.Int64   // bytes
	found []atomic.Int64 // by check
}

// place is a site, or a route of it.
type place struct{ site, route string }

// New compiles what a policy with its defaults says. before is the stage that is in force until now, nil for none.
func New(p *policy.Policy, before *Stage) *Stage {
	s := &Stage{modes: map[place]policy.WAFMode{}}
	if before != nil {
		s.counts = before.counts
	} else {
		s.counts = &counts{found: make([]atomic.Int64, len(checks))}
	}
	add := func(at place, m policy.WAFMode) { s.modes[at] = m }
	for i := range p.Sites {
		site := &p.Sites[i]
		add(place{site.Name, ""}, site.Leaks)
		for j := range site.Routes {
			add(place{site.Name, site.Routes[j].Name}, site.Routes[j].Leaks)
		}
	}
	return s
}

// Mode is what is done about leaks in the answer to a request: nothing, if it is off.
func (s *Stage) Mode(f *flow.Facts) policy.WAFMode {
	m, ok := s.modes[place{f.Site, f.Route}]
	if !ok {
		m = s.modes[place{f.Site, ""}]
	}
	if m == "" {
		return policy.WAFOff
	}
	return m
}

// Found calls f for each check that has found something, with how often.
func (s *Stage) Found(f func(check string, times int64)) {
	for i := range s.found {
		if n := s.found[i].Load(); n > 0 {
			f(checks[i].name, n)
		}
	}
}

// look returns the check that finds something in the beginning of an answer, nil for none.
func (s *Stage) look(a *answer) *check {
	for i := range checks {
		if checks[i].found(a) {
			s.found[i].Add(1)
			return &checks[i]
		}
	}
	return nil
}

// readable reports whether an answer is looked at: text without an encoding but gzip, and bytes of no type, as files beside a
// program are sent. Streams are not: of events, of gRPC.
func readable(status int, h flow.Header) bool {
	if status < 200 || status == 204 || status == 304 {
		return false
	}
	switch e := strings.ToLower(h.Get("Content-Encoding")); e {
	case "", "identity", "gzip", "x-gzip":
	default:
		return false
	}
	switch m := mediaType(h); {
	case m == "text/event-stream", strings.HasPrefix(m, "text/css"), strings.Contains(m, "javascript"):
		return false
	case m == "", m == "application/octet-stream", strings.HasPrefix(m, "text/"):
		return true
	default:
		for _, end := range []string{"json", "xml", "yaml", "sql", "x-sh", "x-httpd-php", "x-php", "x-pem-file", "pkcs8", "x-x509-ca-cert"} {
			if m == "application/"+end || strings.HasPrefix(m, "application/") && (end == "json" || end == "xml") && strings.HasSuffix(m, "+"+end) {
				return true
			}
		}
	}
	return false
}

func mediaType(h flow.Header) string {
	m, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(m))
}

// unpacked is what a beginning of an answer says, up to Prefix bytes. What does not unpack is looked at as it is.
func unpacked(b []byte, packed bool) string {
	if packed {
		if r, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			text := make([]byte, Prefix)
			n, _ := io.ReadFull(r, text) // the end of the beginning is an error, of which nobody needs to know
			return string(text[:n])
		}
	}
	return string(b)
}
