package stormdoor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"stormdoor/internal/gate/cache"
)

// Purge says which stored answers are to be forgotten. Exactly one of URL, Prefix, Tag and All is given.
type Purge struct {
	// URL is one address, with its query: https://shop.example/page?n=2. Both schemes are meant.
	URL string `json:"url,omitempty"`
	// Prefix is a URL with which addresses begin.
	Prefix string `json:"prefix,omitempty"`
	// Tag is one of those that answers name in Cache-Tag or Surrogate-Key.
	Tag string `json:"tag,omitempty"`
	// All forgets everything.
	All bool `json:"all,omitempty"`
}

// Purge forgets what the cache has stored, and returns for how many addresses there was something. An error
// beside a number says that they are forgotten, but may be there again after a restart, because the cache's disk took no note.
func (d *Door) Purge(p Purge) (int, error) {
	given := 0
	for _, g := range []bool{p.URL != "", p.Prefix != "", p.Tag != "", p.All} {
		if g {
			given++
		}
	}
	if given != 1 {
		return 0, errors.New("a purge needs one of url, prefix, tag and all")
	}
	what := cache.Purge{Tag: p.Tag, Prefix: p.Prefix != ""}
	if address := p.URL + p.Prefix; address != "" {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return 0, fmt.Errorf("%q is not an absolute URL such as https://shop.example/page", address)
		}
		what.Host, what.Target = strings.ToLower(u.Hostname()), u.RequestURI()
	}
	return d.cache.Purge(what)
}

// purgeHTTP takes a Purge as JSON. A web page cannot send one through a visitor's browser: it would have to ask first,
// because of the type, and Origin or Sec-Fetch-Site would tell on it.
func (d *Door) purgeHTTP(w http.ResponseWriter, r *http.Request) {
	if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(t) != "application/json" || r.Header.Get("Origin") != "" {
		writeJSON(w, http.StatusUnsupportedMediaType, map[string]string{"error": "a purge is sent as application/json, and by no web page"})
		return
	}
	var p Purge
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "the purge cannot be read: " + err.Error()})
		return
	}
	n, err := d.Purge(p)
	if errors.Is(err, cache.ErrUnwritten) {
		d.log.Error("a purge did not reach the cache's disk", "url", p.URL, "prefix", p.Prefix, "tag", p.Tag, "all", p.All, "addresses", n, "error", err)
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"error": err.Error(), "purged": n})
		return
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	d.log.Info("purged the cache", "url", p.URL, "prefix", p.Prefix, "tag", p.Tag, "all", p.All, "addresses", n)
	writeJSON(w, http.StatusOK, map[string]int{"purged": n})
}
