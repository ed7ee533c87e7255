package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"stormdoor"
	"stormdoor/flow"
	"stormdoor/policy"
)

type wafCmd struct {
	Explain    wafExplainCmd    `cmd:"" help:"Say which rules match a request, where, and what follows."`
	Test       wafTestCmd       `cmd:"" help:"Judge a file of requests and compare with what is expected."`
	Cost       wafCostCmd       `cmd:"" help:"Measure what the rules cost, over a file of requests or a built-in sample."`
	Exclude    wafExcludeCmd    `cmd:"" help:"Make the narrowest exclusions that explain a refused request."`
	Exclusions wafExclusionsCmd `cmd:"" help:"Show how the exclusions of a policy are doing."`
	Shadow     wafShadowCmd     `cmd:"" help:"Show how the rule set on trial compares with the one in force."`
}

type wafExplainCmd struct {
	Request string   `arg:"" help:"A URL (https://shop.example/search?q=1), or the 16 characters of a reference."`
	Policy  string   `short:"c" placeholder:"FILE" help:"The policy that judges a URL. Default: the Core Rule Set, which blocks."`
	Method  string   `short:"X" placeholder:"METHOD" help:"The method of the request. Default: GET, or POST with a body."`
	Header  []string `short:"H" sep:"none" placeholder:"NAME: VALUE" help:"A field of the request; may be repeated."`
	Data    string   `short:"d" placeholder:"TEXT" help:"A body; a form unless a Content-Type is given."`
	Body    string   `placeholder:"FILE" help:"A file with the body; - is standard input."`
	Client  string   `placeholder:"ADDRESS" help:"The address that the request comes from. Default: 192.0.2.1."`
	Admin   string   `default:"127.0.0.1:2112" help:"The admin listener of the running door, for a reference: an address or unix:/path."`
	JSON    bool     `name:"json" help:"Print JSON."`
}

// Help shows both ways to ask.
func (wafExplainCmd) Help() string {
	return `Examples:
  stormdoor waf explain "https://shop.example/search?q=1' or 1=1" -c stormdoor.yaml
  stormdoor waf explain https://shop.example/comment -d 'text=hello; cat /etc/passwd'
  stormdoor waf explain czb2ypvqxa6h8b2t    the reference on a visitor's page, from the running door`
}

// Run explains a URL by a policy, or asks the running door about a reference.
func (c wafExplainCmd) Run(e *environment) error {
	in, err := c.inspect(e)
	if err != nil {
		return err
	}
	return show(e.out, in, c.JSON)
}

func (c wafExplainCmd) inspect(e *environment) (in stormdoor.Inspection, err error) {
	if _, ok := flow.ParseRequestID(c.Request); ok {
		return c.recent(e)
	}
	q, err := c.question()
	if err != nil {
		return in, err
	}
	d, _, err := wafDoor(c.Policy, 0)
	if err != nil {
		return in, err
	}
	defer d.Close()
	return d.Inspect(e.ctx, q)
}

// recent asks the running door about a reference.
func (c wafExplainCmd) recent(e *environment) (in stormdoor.Inspection, err error) {
	err = askAdmin(e.ctx, c.Admin, "GET", "/waf/explain?id="+url.QueryEscape(c.Request), nil, &in)
	return in, err
}

// browser are the fields that every browser sends: without them rules find fault with that.
var browser = []flow.Field{
	{Name: "User-Agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	{Name: "Accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
}

func (c wafExplainCmd) question() (q stormdoor.Question, err error) {
	// A person types what a browser would encode.
	q = stormdoor.Question{URL: strings.ReplaceAll(c.Request, " ", "%20"), Method: c.Method}
	if q.Header, err = fieldsOf(c.Header); err != nil {
		return q, err
	}
	if c.Client != "" {
		if q.Client, err = netip.ParseAddr(c.Client); err != nil {
			return q, fmt.Errorf("--client %q is not an address such as 203.0.113.7", c.Client)
		}
	}
	switch {
	case c.Data != "" && c.Body != "":
		return q, fmt.Errorf("-d and --body give two bodies: leave one out")
	case c.Body == "-":
		q.Body, err = io.ReadAll(os.Stdin)
	case c.Body != "":
		q.Body, err = os.ReadFile(c.Body)
	default:
		q.Body = []byte(c.Data)
	}
	if err != nil {
		return q, unreadable("--body", c.Body, err)
	}
	defaults := browser
	if len(q.Body) > 0 {
		defaults = append(defaults[:len(defaults):len(defaults)], flow.Field{Name: "Content-Type", Value: "application/x-www-form-urlencoded"})
		if q.Method == "" {
			q.Method = "POST"
		}
	}
	for _, f := range defaults {
		if !has(q.Header, f.Name) {
			q.Header = append(q.Header, f)
		}
	}
	return q, nil
}

func has(fields []flow.Field, name string) bool {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// fieldsOf reads -H.
func fieldsOf(given []string) (out []flow.Field, err error) {
	for _, h := range given {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("-H %q is not of the form \"Name: value\"", h)
		}
		out = append(out, flow.Field{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	return out, nil
}

// wafDoor makes a door whose firewall judges by a policy, "" for the defaults in mode block, and at a paranoia level, 0 for the
// policy's. It returns the level.
func wafDoor(file string, paranoia int) (*stormdoor.Door, int, error) {
	p, err := policyOrDefault(file, "http://127.0.0.1:1")
	if err != nil {
		return nil, 0, err
	}
	if paranoia > 0 {
		p.WAF.Paranoia, p.WAF.Detect = paranoia, 0
	}
	if file == "" {
		p.WAF.Mode = policy.WAFBlocks
		for i := range p.Sites {
			p.Sites[i].WAF = policy.WAFBlocks
		}
	}
	d, err := stormdoor.New(p, stormdoor.Options{})
	if err != nil {
		return nil, 0, err
	}
	return d, max(1, p.WAF.Paranoia, p.WAF.Detect), nil
}

// show prints a report for a person or for a program.
func show(w io.Writer, report fmt.Stringer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(report)
	}
	_, err := io.WriteString(w, report.String())
	return err
}
