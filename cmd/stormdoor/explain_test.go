package main

import (
	"strings"
	"testing"
)

// TestExplainAsksTheDoorOfThePolicy: whoever names the policy need not name its admin listener too.
func TestExplainAsksTheDoorOfThePolicy(t *testing.T) {
	const sites = "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1']}]\n"
	for admin, want := range map[string]string{
		"admin: {listen: '127.0.0.1:9'}\n":          "no running door answers at 127.0.0.1:9",
		"admin: {listen: 'unix:/nowhere/a.sock'}\n": "no running door answers at unix:/nowhere/a.sock",
		"admin: {listen: 'off'}\n":                  "says admin.listen: off",
		"admin: {listen: 5}\n":                      "admin.listen",
	} {
		file := writeFile(t, "stormdoor.yaml", sites+admin)
		status, _, errs := command(t, t.Context(), "explain", "czb2ypvqxa6h8b2t", "-c", file)
		if status != 1 || !strings.Contains(errs, want) {
			t.Errorf("%s: status %d, %q, want %q", admin, status, errs, want)
		}
	}
	if _, _, errs := command(t, t.Context(), "explain", "czb2ypvqxa6h8b2t", "--admin", "127.0.0.1:10"); !strings.Contains(errs, "127.0.0.1:10") {
		t.Errorf("--admin: %q", errs)
	}
}

// What is neither a URL nor a reference is told what both look like.
func TestExplainSaysWhatItTakes(t *testing.T) {
	for _, asked := range []string{"czb2ypvqxa6h8b2", "czb2ypvqxa6h8b2u", "shop.example/cart"} {
		status, _, errs := command(t, t.Context(), "explain", asked)
		if status != 1 || !strings.Contains(errs, "https://shop.example/cart") || !strings.Contains(errs, "16 characters of a reference") {
			t.Errorf("%s: status %d, %q", asked, status, errs)
		}
	}
}
