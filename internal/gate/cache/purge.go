package cache

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Purge says what is to be forgotten. Every field that is given narrows it; the zero value is everything.
type Purge struct {
	// Host is the host of addresses, in lower case and without a port. Both schemes and every port are meant.
	Host string
	// Target is a path with its query, as it stands in a URL; with Prefix everything that begins so.
	Target string
	Prefix bool
	// Tag is one of the answer's Cache-Tag or Surrogate-Key.
	Tag string
}

// ErrUnwritten says that a purge is in force, and that the disk does not know of it: a door that is started now might serve
// again what lies there.
var ErrUnwritten = errors.New("purged until the door is restarted, but not on disk")

// Purge forgets what p names and returns for how many addresses there was something. What is being fetched at that moment is
// not stored either. It waits until the disk knows of it, where there is one; an error is ErrUnwritten.
func (c *Cache) Purge(p Purge) (addresses int, err error) {
	addresses, done := c.purge(p)
	if done == nil {
		return addresses, nil
	}
	timer := time.NewTimer(purgeWait)
	defer timer.Stop()
	select {
	case err = <-done:
	case <-timer.C:
		err = errUnheard
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnwritten, err)
	}
	return addresses, err
}

// purge is Purge without waiting: done takes what becomes of it on disk, nil where there is none.
func (c *Cache) purge(p Purge) (addresses int, done <-chan error) {
	c.stamps.all.Add(1)
	tagged := func(e *entry) bool { return slices.Contains(e.tags, p.Tag) }
	gone := c.store.removeAll(func(key string, variants []*entry) bool {
		return p.names(key) && (p.Tag == "" || slices.ContainsFunc(variants, tagged))
	})
	onDisk, done := c.tier.purge(p)
	gone = append(gone, onDisk...)
	slices.Sort(gone)
	return len(slices.Compact(gone)), done
}

// purgeWait is how long a purge waits at most for the disk to know of it: less than whoever asks for it.
const purgeWait = 4 * time.Second

var errUnheard = fmt.Errorf("it has not taken note within %v, because it is slow, cannot be written, or is still being read; it will as soon as it can", purgeWait)

// names reports whether p names the address of a key.
func (p *Purge) names(key string) bool {
	_, rest, _ := strings.Cut(key, "\x00") // the site
	_, rest, _ = strings.Cut(rest, "\x00") // the scheme
	authority, rest, _ := strings.Cut(rest, "\x00")
	target, _, _ := strings.Cut(rest, "\x00")
	switch {
	case p.Host != "" && p.Host != plainHost(authority):
		return false
	case p.Prefix && !strings.HasPrefix(target, p.Target), !p.Prefix && p.Target != "" && target != p.Target:
		return false
	}
	return true
}

// plainHost is an authority's host in lower case, without port, brackets and a trailing dot.
func plainHost(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		authority = authority[:i]
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(authority, "[]"), "."))
}
