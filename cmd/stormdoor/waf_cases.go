package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
)

// wafCase is a request with what is expected of the firewall.
type wafCase struct {
	ID   string `json:"id"`
	Want string `json:"want"` // block, pass, or "" where only rules are expected
	// Raw holds the bytes of the request over the wire, a rune each (Latin-1).
	Raw string `json:"raw"`
	// Rules must match, NotRules must not.
	Rules    []int `json:"rules"`
	NotRules []int `json:"not_rules"`
	// Stages are several requests, in the form in which the Core Rule Set's tests are published as lines.
	Stages []struct {
		Raw            string
		Expect, Forbid []int
	} `json:"stages"`
	// Level is the paranoia level from which on the expectation holds; 0 for every level.
	Level int `json:"pl"`

	file string
	line int
}

// bytes are those of the request.
func (c *wafCase) bytes() []byte {
	raw := make([]byte, 0, len(c.Raw))
	for _, r := range c.Raw {
		raw = append(raw, byte(r))
	}
	return raw
}

// at is where the case stands.
func (c *wafCase) at() string { return fmt.Sprintf("%s:%d", c.file, c.line) }

// readCases reads a file of cases: JSON lines, plain or gzip, or a test of the Core Rule Set in YAML.
func readCases(file string) (cases []wafCase, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable("requests", file, err)
	}
	defer f.Close()
	var r io.Reader = f
	name := file
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		name = strings.TrimSuffix(name, ".gz")
	}
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		return readYAMLCases(file, r)
	}
	return readJSONCases(file, r)
}

// maxCase bounds one line, in bytes.
const maxCase = 16 << 20

func readJSONCases(file string, r io.Reader) (cases []wafCase, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxCase)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		c := wafCase{file: file, line: n}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, fmt.Errorf("%s:%d: %w; a line is like {\"id\": \"one\", \"want\": \"block\", \"raw\": \"GET /?q=… HTTP/1.1\\r\\nHost: shop.example\\r\\n\\r\\n\"}", file, n, err)
		}
		more, err := c.split()
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		cases = append(cases, more...)
	}
	if err := lines.Err(); err != nil {
		return nil, unreadable("requests", file, fmt.Errorf("%s:%d: %w", file, n+1, err))
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("%s holds no request", file)
	}
	return cases, nil
}

// split makes a case of each stage, and checks that something is asked and expected.
func (c wafCase) split() (out []wafCase, err error) {
	switch {
	case c.Want != "" && c.Want != "block" && c.Want != "pass":
		return nil, fmt.Errorf("want is %q: write block or pass", c.Want)
	case len(c.Stages) == 0 && c.Raw == "":
		return nil, errors.New("there is no request in it: raw holds one, as it comes over the wire")
	case len(c.Stages) == 0 && c.Want == "" && len(c.Rules)+len(c.NotRules) == 0:
		return nil, errors.New("nothing is expected: write want (block or pass), rules or not_rules")
	case len(c.Stages) == 0:
		return []wafCase{c}, nil
	}
	for _, s := range c.Stages {
		one := c
		one.Stages, one.Raw, one.Rules, one.NotRules = nil, s.Raw, s.Expect, s.Forbid
		out = append(out, one)
	}
	return out, nil
}

// crsTest is a file of the regression tests of the Core Rule Set, as far as it is about requests.
type crsTest struct {
	RuleID int `yaml:"rule_id"`
	Tests  []struct {
		ID     int `yaml:"test_id"`
		Stages []struct {
			Input struct {
				Method, URI, Version, Data string
				Headers                    yaml.MapSlice
				Encoded                    string `yaml:"encoded_request"`
				Autocomplete               *bool  `yaml:"autocomplete_headers"`
			}
			Output struct {
				Log struct {
					Expect []int `yaml:"expect_ids"`
					Forbid []int `yaml:"no_expect_ids"`
				}
			}
		}
	}
}

func readYAMLCases(file string, r io.Reader) (cases []wafCase, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCase))
	if err != nil {
		return nil, unreadable("requests", file, fmt.Errorf("%s: %w", file, err))
	}
	var t crsTest
	if err := yaml.Unmarshal(text, &t); err != nil {
		why := strings.Map(printable, yaml.FormatError(err, false, false)) // without the source, which may hold anything
		return nil, fmt.Errorf("%s is no test of the Core Rule Set: %s", file, why)
	}
	for _, test := range t.Tests {
		for i := range test.Stages {
			s := &test.Stages[i]
			c := wafCase{ID: fmt.Sprintf("%d-%d", t.RuleID, test.ID), Rules: s.Output.Log.Expect, NotRules: s.Output.Log.Forbid, file: file, line: 1}
			raw, err := base64.StdEncoding.DecodeString(s.Input.Encoded)
			if err != nil {
				return nil, fmt.Errorf("%s: test %s: encoded_request: %w", file, c.ID, err)
			}
			if len(raw) == 0 {
				raw = rawOf(s.Input.Method, s.Input.URI, s.Input.Version, s.Input.Data, s.Input.Headers, s.Input.Autocomplete == nil || *s.Input.Autocomplete)
			}
			var b strings.Builder
			for _, x := range raw {
				b.WriteRune(rune(x))
			}
			c.Raw = b.String()
			if len(c.Rules)+len(c.NotRules) > 0 {
				cases = append(cases, c)
			}
		}
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("%s: no test in it expects a rule or its absence", file)
	}
	return cases, nil
}

// rawOf writes a request as the runner of the Core Rule Set's tests does.
func rawOf(method, uri, version, data string, headers yaml.MapSlice, complete bool) []byte {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", or(method, "GET"), or(uri, "/"), or(version, "HTTP/1.1"))
	sort.SliceStable(headers, func(i, j int) bool { return fmt.Sprint(headers[i].Key) < fmt.Sprint(headers[j].Key) })
	named := map[string]bool{}
	for _, h := range headers {
		named[strings.ToLower(fmt.Sprint(h.Key))] = true
		fmt.Fprintf(&b, "%v: %v\r\n", h.Key, h.Value)
	}
	if complete && data != "" && !named["content-length"] && !named["transfer-encoding"] {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(data))
	}
	if complete && data != "" && !named["content-type"] {
		b.WriteString("Content-Type: application/x-www-form-urlencoded\r\n")
	}
	b.WriteString("\r\n" + data)
	return b.Bytes()
}
