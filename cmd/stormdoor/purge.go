package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"stormdoor"
)

type purgeCmd struct {
	URL    string `arg:"" optional:"" help:"One address: https://shop.example/page?n=2."`
	Prefix string `placeholder:"URL" xor:"what" help:"Every address that begins so."`
	Tag    string `placeholder:"TAG" xor:"what" help:"Every answer that names this in Cache-Tag or Surrogate-Key."`
	All    bool   `xor:"what" help:"Everything."`
	Admin  string `default:"127.0.0.1:2112" help:"The admin listener of the running door: an address or unix:/path."`
}

// Run asks the running door to forget stored answers.
func (c purgeCmd) Run(e *environment) error {
	if c.URL == "" && c.Prefix == "" && c.Tag == "" && !c.All {
		return errors.New("say what to purge: a URL, --prefix, --tag or --all")
	}
	body, err := json.Marshal(stormdoor.Purge{URL: c.URL, Prefix: c.Prefix, Tag: c.Tag, All: c.All})
	if err != nil {
		return err
	}
	var said struct{ Purged int }
	if err := askAdmin(e.ctx, c.Admin, "POST", "/purge", body, &said); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "purged %d addresses\n", said.Purged)
	return err
}
