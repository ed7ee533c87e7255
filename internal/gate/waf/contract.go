package waf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// contracts are the OpenAPI documents of the sites. The zero value has none.
type contracts struct {
	of    map[string]*contract // by site
	modes map[place]policy.WAFMode
}

// contract is the document that requests for a site are held to.
type contract struct {
	doc     *openapi.Document
	options openapi.Options
	unknown policy.Unknown
	// counts are the requests by what was wrong with them, for each operation; nil stands for those that the document does not have.
	counts map[*openapi.Operation]*[openapi.Kinds]atomic.Int64
}

// bound is a contract with what is done about a request that breaks it. The zero value is none.
type bound struct {
	*contract
	mode policy.WAFMode
}

// newContracts loads the documents of a policy with its defaults. The error joins *policy.Fault.
func newContracts(p *policy.Policy, bare bool) (contracts, error) {
	out := contracts{of: map[string]*contract{}, modes: map[place]policy.WAFMode{}}
	var errs []error
	loaded := map[string]*openapi.Document{}
	for i := range p.Sites {
		site := &p.Sites[i]
		if site.OpenAPI == nil {
			continue
		}
		doc := loaded[site.OpenAPI.File]
		if doc == nil {
			var err error
			if doc, err = openapi.Load(site.OpenAPI.File); err != nil {
				errs = append(errs, policy.Of(`site "`+site.Name+`"`, policy.Item("sites", i)+".openapi", err))
				continue
			}
			loaded[site.OpenAPI.File] = doc
		}
		c := &contract{doc: doc, unknown: site.OpenAPI.Unknown, counts: map[*openapi.Operation]*[openapi.Kinds]atomic.Int64{nil: {}},
			options: openapi.Options{Strict: site.OpenAPI.UnknownParameters == policy.UnknownRefused, Bare: bare}}
		for _, op := range doc.Operations() {
			c.counts[op] = new([openapi.Kinds]atomic.Int64)
		}
		out.of[site.Name] = c
		out.modes[place{site.Name, ""}] = cmp.Or(site.OpenAPI.Mode, policy.WAFCounts)
		for j := range site.Routes {
			if m := site.Routes[j].OpenAPI; m != "" {
				out.modes[place{site.Name, site.Routes[j].Name}] = m
			}
		}
	}
	return out, errors.Join(errs...)
}

// find is the contract of a request; the zero bound where there is none, or it is off.
func (c *contracts) find(f *flow.Facts) bound {
	of := c.of[f.Site]
	if of == nil {
		return bound{}
	}
	mode, ok := c.modes[place{f.Site, f.Route}]
	if !ok {
		mode = c.modes[place{f.Site, ""}]
	}
	if mode == policy.WAFOff {
		return bound{}
	}
	return bound{of, mode}
}

// wantsBody reports whether the body of a request has to be read to say whether it is as the document says.
func (b bound) wantsBody(f *flow.Facts) bool {
	if b.contract == nil {
		return false
	}
	op := b.doc.Match(f)
	return op != nil && op.WantsBody(f)
}

// judgement is what the document says of a request.
type judgement struct {
	openapi.Result
	verdict flow.Verdict
}

// judge judges a request by the document, and counts nothing.
func (b bound) judge(f *flow.Facts, body openapi.Body) (j judgement) {
	if b.contract == nil {
		return j
	}
	j.Result = b.doc.Judge(f, body, b.options)
	v := &j.Violation
	if v.Kind == openapi.Conforms || v.Kind == openapi.WrongPath && b.unknown != policy.UnknownRefused {
		return j
	}
	j.verdict = flow.Verdict{Action: flow.Refuse, Reason: reasons[v.Kind], Dry: b.mode != policy.WAFBlocks}
	if j.Operation != nil {
		j.verdict.Rule = clip(j.Operation.ID, 0)
	}
	j.verdict.Found = &flow.Findings{Matches: []flow.Finding{{Message: expected + v.Expected, Field: v.Field, Value: clip(v.Value, 0)}}}
	return j
}

// expected begins the message of a finding that is none of a rule's.
const expected = "expected "

var reasons = [openapi.Kinds]flow.Reason{openapi.WrongPath: flow.OpenAPIPath, openapi.WrongMethod: flow.OpenAPIMethod,
	openapi.WrongParameter: flow.OpenAPIParameter, openapi.WrongType: flow.OpenAPIType, openapi.WrongBody: flow.OpenAPIBody}

// early judges a request before its body is read: a verdict that is sure spares reading it, and another one is left for later.
func (b bound) early(f *flow.Facts) flow.Verdict {
	j := b.judge(f, openapi.Body{})
	if !j.verdict.Sure() {
		return flow.Verdict{}
	}
	b.count(&j)
	return j.verdict
}

func (b bound) count(j *judgement) {
	if b.contract != nil {
		b.counts[j.Operation][j.Violation.Kind].Add(1)
	}
}

// judge judges a request by the document of its site, and then by the rules: by a piece of its body where there is one.
func (s *Stage) judge(f *flow.Facts, mode policy.WAFMode, body openapi.Body, piece *seclang.Piece) flow.Verdict {
	c := s.contracts.find(f)
	j := c.judge(f, body)
	c.count(&j)
	if j.verdict.Sure() || mode == policy.WAFOff {
		return j.verdict
	}
	if piece == nil {
		return joined(j.verdict, s.recall(f, mode, body.Bytes))
	}
	v := s.inspectPiece(f, mode, *piece)
	s.countInspection(f)
	s.shadow.offer(f, mode, body.Bytes, v)
	return joined(j.verdict, v)
}

// joined is what follows from what a document says, which is not sure, and from what the rules say.
func joined(said, ruled flow.Verdict) flow.Verdict {
	if said.Found == nil {
		return ruled
	}
	found := *said.Found
	if ruled.Found != nil {
		found = *ruled.Found
		found.Matches = append(said.Found.Matches[:1:1], found.Matches...)
		if len(found.Matches) > flow.MaxFindings {
			found.Matches, found.More = found.Matches[:flow.MaxFindings], found.More+1
		}
	}
	if !ruled.Sure() {
		said.Work = ruled.Work
		ruled = said
	}
	ruled.Found = &found
	return ruled
}

// Wrong tells from a verdict what a client may know of what is wrong with its request; "" for nothing.
func Wrong(v *flow.Verdict) (field, instead string) {
	if v.Found == nil || len(v.Found.Matches) == 0 || !slices.Contains(reasons[:], v.Reason) {
		return "", ""
	}
	m := &v.Found.Matches[0]
	return m.Field, strings.TrimPrefix(m.Message, expected)
}

// Conformity is what the OpenAPI document of a site says of a request.
type Conformity struct {
	Mode policy.WAFMode `json:"mode"`
	// Operation is the one that the request is for, "" for one that the document does not have.
	Operation string `json:"operation,omitempty"`
	// Outcome is "conforms", or what is wrong first: "path", "method", "parameter", "type" or "body".
	Outcome string `json:"outcome"`
	// Field is where, Expected what would have been right, and Value what stands there.
	Field    string `json:"field,omitempty"`
	Expected string `json:"expected,omitempty"`
	Value    string `json:"value,omitempty"`
}

// conformity is what is told of a judgement; nil without a document.
func (b bound) conformity(j *judgement) *Conformity {
	if b.contract == nil {
		return nil
	}
	v := &j.Violation
	out := &Conformity{Mode: b.mode, Outcome: v.Kind.String(), Field: v.Field, Expected: v.Expected, Value: clip(v.Value, 0)}
	if j.Operation != nil {
		out.Operation = j.Operation.ID
	}
	return out
}

// Recall sets what was written down when the request was made: its body is not kept. said are the reasons of its verdicts.
func (c *Conformity) Recall(m flow.Finding, said ...flow.Reason) {
	c.Field, c.Expected, c.Value = m.Field, strings.TrimPrefix(m.Message, expected), m.Value
	for kind, reason := range reasons {
		if reason != "" && slices.Contains(said, reason) {
			c.Outcome = openapi.Kind(kind).String()
		}
	}
}

// blocks reports whether anything may refuse the request.
func (s *Stage) blocks(f *flow.Facts) bool {
	return s.mode(f) == policy.WAFBlocks || s.contracts.find(f).mode == policy.WAFBlocks
}

// Conformity calls f for each operation of each site's document ("" for what the document does not have) with how many requests
// had what wrong with them, since the policy is in force.
func (s *Stage) Conformity(f func(site, operation, outcome string, requests int64)) {
	for site, c := range s.contracts.of {
		for op, kinds := range c.counts {
			name := ""
			if op != nil {
				name = op.ID
			}
			for k := range kinds {
				if n := kinds[k].Load(); n > 0 {
					f(site, name, openapi.Kind(k).String(), n)
				}
			}
		}
	}
}

// Documents are the files that the policy names of which requests are held to what they say.
func (s *Stage) Documents() (files []string) {
	for _, schema := range s.schemas {
		files = append(files, schema.File())
	}
	for _, c := range s.contracts.of {
		files = append(files, c.doc.Files()...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// unchecked says what of the documents is not checked.
func (c *contracts) unchecked() (out []string) {
	for _, each := range c.of {
		out = append(out, each.doc.Notes()...)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if more := len(out) - mostUnchecked; more > 0 {
		out = append(out[:mostUnchecked], fmt.Sprintf("and %d more places of OpenAPI documents that are not checked", more))
	}
	return out
}

// mostUnchecked bounds how many places are told that are not checked.
const mostUnchecked = 30
