package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"stormdoor"
	"stormdoor/flow"
)

type explainCmd struct {
	Request string   `arg:"" help:"A URL (https://shop.example/cart), or the 16 characters of a reference."`
	Policy  string   `short:"c" placeholder:"FILE" help:"The policy that judges a URL, or by which the door that knows a reference runs. Default: the built-in defaults."`
	Method  string   `short:"X" default:"GET" help:"The method of the request."`
	Header  []string `short:"H" sep:"none" placeholder:"NAME: VALUE" help:"A field of the request; may be repeated."`
	Client  string   `placeholder:"ADDRESS" help:"The address that the request comes from. Default: 192.0.2.1."`
	Admin   string   `placeholder:"ADDRESS" help:"The admin listener of the running door, for a reference: an address or unix:/path. Default: that of the policy, or 127.0.0.1:2112."`
	JSON    bool     `name:"json" help:"Print JSON."`
}

// Help shows both ways to ask.
func (explainCmd) Help() string {
	return `Examples:
  stormdoor explain https://shop.example/cart -c stormdoor.yaml -X POST --client 198.51.100.7
  stormdoor explain czb2ypvqxa6h8b2t    the reference on a visitor's page, from the running door`
}

// Run explains a URL by a policy, without a running door, or asks the running door about a reference.
func (c explainCmd) Run(e *environment) error {
	x, err := c.explain(e.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(x)
	}
	_, err = fmt.Fprint(e.out, x)
	return err
}

func (c explainCmd) explain(ctx context.Context) (x stormdoor.Explanation, err error) {
	if _, ok := flow.ParseRequestID(c.Request); ok {
		at, err := c.admin()
		if err != nil {
			return x, err
		}
		err = askAdmin(ctx, at, "GET", "/explain?id="+url.QueryEscape(c.Request), nil, &x)
		return x, err
	}
	if !strings.Contains(c.Request, "://") {
		return x, fmt.Errorf("%q is neither an absolute URL such as https://shop.example/cart nor the 16 characters of a reference", c.Request)
	}
	q := stormdoor.Question{URL: c.Request, Method: c.Method}
	if q.Header, err = fieldsOf(c.Header); err != nil {
		return x, err
	}
	if c.Client != "" {
		if q.Client, err = netip.ParseAddr(c.Client); err != nil {
			return x, fmt.Errorf("--client %q is not an address such as 203.0.113.7", c.Client)
		}
	}
	p, err := policyOrDefault(c.Policy, "http://127.0.0.1:1")
	if err != nil {
		return x, err
	}
	d, err := stormdoor.New(p, stormdoor.Options{})
	if err != nil {
		return x, err
	}
	defer d.Close()
	return d.Explain(ctx, q)
}

// admin is the admin listener to ask.
func (c explainCmd) admin() (string, error) {
	if c.Admin != "" {
		return c.Admin, nil
	}
	p, err := policyOrDefault(c.Policy, "http://127.0.0.1:1")
	if err != nil {
		return "", err
	}
	at := p.WithDefaults().Admin.Listen
	if at == "off" {
		return "", fmt.Errorf("a reference is known to the running door only, and %s says admin.listen: off", c.Policy)
	}
	return at, nil
}
