package policy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
)

// Load reads the policy in file. Files that the policy names are not opened. An error that is an *Errors holds every
// mistake; any other error means that the file could not be read.
func Load(file string) (*Policy, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return Parse(file, data)
}

// Parse reads a policy from YAML; name stands for it in messages. The result is what was written, with hosts, header
// names and countries in their one spelling, and without defaults: see WithDefaults. The error is an *Errors that holds
// every mistake.
func Parse(name string, data []byte) (*Policy, error) { return parse(name, data, false) }

// ParseEmbedded reads a policy as Parse does, for a door inside another program, whose handler stands behind every site:
// sites need no origins.
func ParseEmbedded(name string, data []byte) (*Policy, error) { return parse(name, data, true) }

func parse(name string, data []byte, embedded bool) (*Policy, error) {
	if msg, hint := badEncoding(data); msg != "" {
		r := newReport(name, nil)
		r.add(pos{}, "", msg, hint)
		return nil, r.err()
	}
	src := newSource(data)
	r := newReport(name, src)
	if !src.checkText(r) {
		return nil, r.err()
	}
	root := readTree(src, r)
	if root == nil {
		return nil, r.err()
	}
	p, d := new(Policy), decoder{report: r, marks: map[string]*node{}}
	d.value(root, reflect.ValueOf(p).Elem(), fieldTag{required: true}, "")
	c := checker{policy: p, report: r, marks: d.marks, embedded: embedded}
	if !r.broken[""] {
		c.all()
	}
	p.written = &written{name, src, d.marks}
	if len(r.problems) > 0 {
		return nil, r.errors(p)
	}
	return p, nil
}

// Validate checks a policy that was put together in Go as Parse checks a file, but does not ask for origins. Zero values
// mean defaults and are fine. The error is an *Errors without places in a file.
func (p *Policy) Validate() error {
	r := newReport("", nil)
	q := p.clone()
	c := checker{policy: q, report: r, marks: map[string]*node{}, embedded: true}
	c.all()
	return r.err()
}

// Default returns the policy of a door that protects one origin, which answers for every host, and listens on
// 127.0.0.1:8080 in clear text. The defaults are not filled in: see WithDefaults.
func Default(origin string) (*Policy, error) {
	p := &Policy{
		Listen: Listen{HTTP: []string{"127.0.0.1:8080"}},
		Sites:  []Site{{Hosts: []string{"*"}, Origins: []Origin{{URL: origin}}}},
	}
	if err := p.Validate(); err != nil {
		var all *Errors
		if errors.As(err, &all) {
			return nil, fmt.Errorf("origin %s: %s", origin, all.Problems[0].sentence())
		}
		return nil, err
	}
	return p, nil
}

// sentence is what is wrong and what to do, without the place.
func (p Problem) sentence() string {
	if p.Hint == "" {
		return p.Msg
	}
	return p.Msg + "; " + p.Hint
}
