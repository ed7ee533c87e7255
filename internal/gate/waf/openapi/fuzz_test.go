package openapi

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const small = head + `
paths:
  /a:
    post:
      operationId: a
      parameters: [{name: n, in: query, schema: {type: integer, minimum: -5, exclusiveMaximum: 100}}, {name: l, in: query, schema: {type: array, maxItems: 2, items: {enum: [x, y]}}}]
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/S'}}}}
components:
  schemas:
    S:
      type: object
      additionalProperties: false
      required: [count]
      properties:
        count: {type: integer, maximum: 9}
        word: {type: string, minLength: 2}
        more: {type: array, items: {$ref: '#/components/schemas/S'}}
`

// FuzzJudge holds the verdict on a query and a JSON body to what the standard library and a page of obvious code say.
func FuzzJudge(f *testing.F) {
	d := load(f, small)
	for _, s := range [][2]string{
		{"n=5&l=x&l=y", `{"count":3,"word":"ab","more":[{"count":1e0}]}`}, {"n=5%2e0", `{"count":3,"count":4}`}, {"n=99.0&n=", `{"count":"3"}`},
		{"n=+5", `{"\u0063ount":-0,"word":"\ud83d\ude00\n"}`}, {"%6e=100", `{"more":[{"more":[]}]}`}, {"n=1e400", "[1, 2]"}, {"l=z", ` {"count" : 9.5} `},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		if body == "" || len(query)+len(body) > 4096 {
			return
		}
		facts, b := ask("POST /a\nContent-Type: application/json\n\n" + strings.ReplaceAll(body, "\n\n", "\n"))
		facts.Query, b.Bytes = query, []byte(body)
		facts.Length = int64(len(body))
		got := d.Judge(facts, b, Options{}).Violation.Kind
		if want, sure := obvious(query, body); sure && got != want {
			t.Errorf("%q with %q: %v, the twin says %v", query, body, got, want)
		}
	})
}

// longExponent is one that no number needs: Judge takes three digits at most.
var longExponent = regexp.MustCompile(`\d{4}|%3\d`)

var plainNumber = regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$`)

// obvious is the twin. It is not sure about queries that net/url reads in another way, and about numbers of more than a few digits.
func obvious(query, body string) (Kind, bool) {
	q, err := url.ParseQuery(query)
	if err != nil || strings.Contains(query, ";") || len(query) > 90 || longExponent.MatchString(query) {
		return 0, false
	}
	if n, ok := q["n"]; ok {
		x, err := strconv.ParseFloat(n[0], 64)
		if len(n) > 1 || err != nil || !plainNumber.MatchString(n[0]) || x != math.Trunc(x) || x < -5 || x >= 100 {
			return WrongParameter, true
		}
	}
	for i, l := range q["l"] {
		if i > 1 || l != "x" && l != "y" {
			return WrongParameter, true
		}
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	var v any
	if !json.Valid([]byte(body)) || strings.ToValidUTF8(body, "") != body || dec.Decode(&v) != nil {
		return WrongBody, true
	}
	if strings.Count(body, ":") > 12 || regexp.MustCompile(`\d{15}`).MatchString(body) || bytes.Count([]byte(body), []byte("[")) > 50 {
		return 0, false
	}
	if twice(json.NewDecoder(strings.NewReader(body))) || !obviousBody(v) {
		return WrongBody, true
	}
	return Conforms, true
}

func obviousBody(v any) bool {
	o, ok := v.(map[string]any)
	if !ok || o["count"] == nil {
		return false
	}
	for name, v := range o {
		switch name {
		case "count":
			n, ok := v.(json.Number)
			x, err := strconv.ParseFloat(string(n), 64)
			if !ok || err != nil || x != math.Trunc(x) || x > 9 {
				return false
			}
		case "word":
			if s, ok := v.(string); !ok || len([]rune(s)) < 2 {
				return false
			}
		case "more":
			list, ok := v.([]any)
			for _, each := range list {
				ok = ok && obviousBody(each)
			}
			if !ok {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// twice reports whether an object of the next value has a name twice.
func twice(dec *json.Decoder) bool {
	tk, err := dec.Token()
	if err != nil {
		return false
	}
	switch tk {
	case json.Delim('{'):
		seen := map[any]bool{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil || seen[name] {
				return err == nil
			}
			seen[name] = true
			if twice(dec) {
				return true
			}
		}
		_, _ = dec.Token()
	case json.Delim('['):
		for dec.More() {
			if twice(dec) {
				return true
			}
		}
		_, _ = dec.Token()
	}
	return false
}
