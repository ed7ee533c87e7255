package policy

// LimitKey is what a limit counts by: "client", "credential", "host", "path", "ja4", or "header:NAME".
type LimitKey string

// What a limit counts by. A header is "header:NAME".
const (
	ByClient     LimitKey = "client" // the address (/32, /64), wider when the table is full
	ByCredential LimitKey = "credential"
	ByHost       LimitKey = "host"
	ByPath       LimitKey = "path"
	ByJA4        LimitKey = "ja4"
)

// Charge is what a limit counts.
type Charge string

// What a limit counts. The zero value is ChargeRequests.
const (
	ChargeRequests   Charge = "requests"
	ChargeBytes      Charge = "bytes"       // bodies, both ways
	ChargeOriginTime Charge = "origin_time" // milliseconds that the origin worked
	ChargeInspection Charge = "inspection"  // milliseconds of the firewall: a million units of its work each
)

// Over is what happens to what is over a limit.
type Over string

// What happens to what is over a limit. The zero value is OverRefuse.
const (
	OverRefuse   Over = "refuse"   // 429 with Retry-After
	OverThrottle Over = "throttle" // held back until the rate allows it, at most max_wait, then refused
	OverQueue    Over = "queue"    // waits in a queue of max_queue, at most max_wait, then refused
)

// While says when a limit acts.
type While string

// When a limit acts. The zero value is Always.
const (
	Always While = "always"
	Hot    While = "hot" // only while the site's origin is in trouble; it counts all the time
)

// Limit bounds what one key may use.
type Limit struct {
	// Name is the limit's name in verdicts and in RateLimit-Policy.
	Name string `yaml:"name" example:"per-client"`
	// Sites restricts the limit to some sites, by name. Default: all.
	Sites []string `yaml:"sites,omitempty" example:"[shop]"`
	// Routes restricts the limit to some routes, by name. Default: all.
	Routes []string `yaml:"routes,omitempty" example:"[login]"`
	// Paths restricts the limit to paths: exact, or a prefix with "*" at the end. Default: all.
	Paths []string `yaml:"paths,omitempty" example:"[/login, '/api/*']"`
	// Methods restricts the limit to some methods. Default: all.
	Methods []string `yaml:"methods,omitempty" example:"[POST]"`
	// By is what the limit counts by: client, credential, host, path, ja4 or header:NAME. A request without the thing (no credential, no such header)
	// is not counted.
	By LimitKey `yaml:"by,omitempty" default:"client"`
	// Charge is what is counted: requests (default), bytes, origin_time or inspection.
	Charge Charge `yaml:"charge,omitempty" enum:"requests,bytes,origin_time,inspection" default:"requests"`
	// Rate is how much a key may use over time: "100/s", "600/m", "10000/h"; for bytes "10MB/s", for origin time
	// "500ms/s".
	Rate Rate `yaml:"rate" example:"100/s"`
	// Burst is how much a key may use at once, in the unit of the rate. Default: ten seconds' worth, at least 1.
	Burst Amount `yaml:"burst,omitempty" example:"200"`
	// Over is what happens to the rest: refuse (default), throttle or queue.
	Over Over `yaml:"over,omitempty" enum:"refuse,throttle,queue" default:"refuse"`
	// MaxWait bounds how long throttle and queue hold a request back. Default 5s.
	MaxWait Duration `yaml:"max_wait,omitempty" default:"5s" min:"1ms" max:"10m"`
	// MaxQueue bounds how many requests of one limit wait at once. Default 1000.
	MaxQueue int `yaml:"max_queue,omitempty" default:"1000" min:"1" max:"1000000"`
	// While says when the limit acts: always (default) or hot.
	While While `yaml:"while,omitempty" enum:"always,hot" default:"always"`
	// DryRun only notes what the limit would have done.
	DryRun bool `yaml:"dry_run,omitempty" default:"false"`
}

// LimitTable sizes the table that counts for limits. Its memory is fixed and does not depend on how many clients come.
type LimitTable struct {
	// Memory is the size of the table. Default 64MiB.
	Memory Bytes `yaml:"memory,omitempty" default:"64MiB" min:"1MiB" max:"64GiB"`
}
