package main

import "stormdoor"

type wafShadowCmd struct {
	Admin string `default:"127.0.0.1:2112" help:"The admin listener of the running door: an address or unix:/path."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help says what is shown.
func (wafShadowCmd) Help() string {
	return `A policy puts a rule set on trial with waf.shadow. It refuses nobody; this is what it would do, by reason, since the policy is in force. Of each reason the last request is shown: "stormdoor waf explain REFERENCE" says more of it.

Example:
  stormdoor waf shadow`
}

// Run asks the running door.
func (c wafShadowCmd) Run(e *environment) error {
	var s stormdoor.Shadow
	if err := askAdmin(e.ctx, c.Admin, "GET", "/waf/shadow", nil, &s); err != nil {
		return err
	}
	return show(e.out, s, c.JSON)
}
