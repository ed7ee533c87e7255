package cache

import (
	"time"

	"stormdoor/flow"
)

// Rules are what the operator says about the cache for one route. They are immutable. nil switches the cache off.
type Rules struct {
	// TTL, where it is not 0, is how long answers are fresh whatever they say themselves; what says no-store or private is
	// not stored all the same.
	TTL time.Duration
	// IgnoreQuery are parameters that make no difference, "utm_*" for all that begin so. The origin does not see them.
	IgnoreQuery []string
	// AnyCookies says that cookies make no difference.
	AnyCookies bool
	// StaleIfError is how long an answer may be served stale when no origin can be asked, unless it says otherwise.
	StaleIfError time.Duration
	// Idle is how long a visitor may take nothing of his answer.
	Idle time.Duration
}

func (r *Rules) anyCookies() bool            { return r.AnyCookies }
func (r *Rules) staleIfError() time.Duration { return r.StaleIfError }

func (r *Rules) idle() time.Duration {
	if r.Idle <= 0 {
		return 5 * time.Minute
	}
	return r.Idle
}

// lifetime is the lifetime of an answer under the rules.
func (r *Rules) lifetime(status int, h flow.Header, d directives, now time.Time) (life time.Duration, explicit bool) {
	if r.TTL > 0 && understood(status) {
		return r.TTL, true
	}
	return lifetime(status, h, d, now)
}
