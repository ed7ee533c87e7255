// Package policy is the operator's language. It answers "what does the operator want?": strict YAML in, plain immutable
// data out, every mistake at once with its file, line and column. It opens no connection and starts nothing.
//
// The doc comments and the tags of the exported types and fields are the source of the reference manual and of the JSON
// Schema, and the tags are what Parse and WithDefaults go by: "default" is filled in for a zero value, "min" and "max"
// bound a value, "enum" lists the values, "example" shows one, "empty" says what an empty list means where that is
// allowed. A field whose yaml tag has no "omitempty" is required.
package policy

//go:generate go run ./gen

import (
	"net/netip"
	"time"
)

// Policy is everything that an operator says about a door. The zero value of every field is useful: a policy with one
// site and one origin gets the full defence.
type Policy struct {
	// Listen says where the door takes connections.
	Listen Listen `yaml:"listen,omitempty"`
	// Sites are what the door protects. A host belongs to one site only.
	Sites []Site `yaml:"sites" example:"[{hosts: [shop.example], origins: ['http://127.0.0.1:3000']}]"`
	// Trust names the proxies in front of the door whose word about the client's address is believed.
	Trust Trust `yaml:"trust,omitempty"`
	// Geo names databases that tell the country and the network of an address.
	Geo Geo `yaml:"geo,omitempty"`
	// Lists are sets of addresses, networks and countries that are always allowed or always refused. Allow wins.
	Lists []List `yaml:"lists,omitempty" empty:"none"`
	// Limits bound what one client may use. When none is given, the default limit of the manual is in force, which acts
	// only while an origin is in trouble.
	Limits []Limit `yaml:"limits,omitempty" empty:"no limit at all, not even the default one"`
	// LimitTable sizes the table that counts for limits.
	LimitTable LimitTable `yaml:"limit_table,omitempty"`
	// Cache bounds what the door stores of origins' answers.
	Cache Cache `yaml:"cache,omitempty"`
	// WAF inspects requests by SecLang rules, such as the OWASP Core Rule Set.
	WAF WAF `yaml:"waf,omitempty"`
	// Rules are conditions over the facts of a request, asked in their order.
	Rules []Rule `yaml:"rules,omitempty" empty:"none"`
	// OnError says what happens to a request that a stage could not judge.
	OnError OnError `yaml:"on_error,omitempty" enum:"admit,refuse" default:"admit"`
	// Refusals says what a refused visitor reads.
	Refusals Refusals `yaml:"refusals,omitempty"`
	// ACME says how certificates are obtained for sites whose tls says "acme: true".
	ACME ACME `yaml:"acme,omitempty"`
	// Log says what is written about requests and about the door itself.
	Log Log `yaml:"log,omitempty"`
	// Admin is where metrics, health and explanations are served.
	Admin Admin `yaml:"admin,omitempty"`
	// Data is the folder for certificates and what else outlives a restart. Default: $STATE_DIRECTORY, or
	// $XDG_DATA_HOME/stormdoor, or ~/.local/share/stormdoor.
	Data string `yaml:"data,omitempty" example:"/var/lib/stormdoor"`
	// Watch makes the door look at its files and apply a change by itself. Without it, SIGHUP does.
	Watch bool `yaml:"watch,omitempty" default:"false"`
	// Grace is how long a shutdown or a handover waits for requests under way. Default 30s.
	Grace Duration `yaml:"grace,omitempty" default:"30s" min:"100ms" max:"1h"`

	written *written // where it was read from, nil when it was made in Go; not a part of what it says
}

// Listen says where the door takes connections. An address is "host:port", ":port" or "unix:/path". Port 0 takes a free
// one.
type Listen struct {
	// HTTP lists the addresses for clear text. Default: ":80", or ":8080" when the door may not bind low ports.
	HTTP []string `yaml:"http,omitempty" example:"[':80']" empty:"no clear text"`
	// HTTPS lists the addresses for TLS. Default, when a site has tls: ":443", or ":8443" when
	// the door may not bind low ports.
	HTTPS []string `yaml:"https,omitempty" example:"[':443']" empty:"no TLS"`
	// HTTP3 serves HTTP/3 on the same ports as HTTPS and says so by Alt-Svc. It needs TLS and an address that is no
	// unix socket.
	HTTP3 bool `yaml:"http3,omitempty" default:"false"`
	// MaxConnections bounds the open connections of the door. Default 50000.
	MaxConnections int `yaml:"max_connections,omitempty" default:"50000" min:"1" max:"10000000"`
	// MaxConnectionsPerClient bounds the open connections of one /32 or /64. Default 1024.
	MaxConnectionsPerClient int `yaml:"max_connections_per_client,omitempty" default:"1024" min:"1" max:"10000000"`
	// Memory bounds what the open connections of the door may hold together. From 85 % of it on, connections that wait for
	// their visitors may wait less long; from 95 % on, new ones are refused and the heaviest that wait are reset. Default: a
	// quarter of what the machine has or the process's control group may use, and not less than 64 MiB.
	Memory Bytes `yaml:"memory,omitempty" example:"1GiB" min:"16777216"`
}

// Site is one protected web service.
type Site struct {
	// Name is the site's name in logs and metrics. Default: its first host.
	Name string `yaml:"name,omitempty" example:"shop"`
	// Hosts are the names that the site answers to: exact ("shop.example"), wildcard for one label and deeper
	// ("*.shop.example"), or "*" for every host that no other site claims.
	Hosts []string `yaml:"hosts" example:"[shop.example, '*.shop.example']"`
	// Origins are the servers behind the site. They may be left out where every route has its own.
	Origins []Origin `yaml:"origins,omitempty" example:"['http://127.0.0.1:3000']"`
	// Balance says how an origin is chosen.
	Balance Balance `yaml:"balance,omitempty" enum:"least_connections,round_robin,client_hash" default:"least_connections"`
	// Health checks the origins actively. Without it only real requests tell.
	Health *Health `yaml:"health,omitempty"`
	// Timeouts bound how long the door waits.
	Timeouts Timeouts `yaml:"timeouts,omitempty"`
	// TLS says where the site's certificate comes from. Without it the site is served in clear text only.
	TLS *TLS `yaml:"tls,omitempty"`
	// MaxBody bounds a request's body. Default: no bound, because bodies are streamed.
	MaxBody Bytes `yaml:"max_body,omitempty" example:"10MB" min:"1"`
	// Cache says how the site's answers are stored.
	Cache CacheRules `yaml:"cache,omitempty"`
	// WAF is what the web application firewall does for this site: off, count or block. Default: waf.mode.
	WAF WAFMode `yaml:"waf,omitempty" enum:"off,count,block"`
	// Leaks is what is done about leaks in the answers of this site. Default: waf.leaks.
	Leaks WAFMode `yaml:"leaks,omitempty" enum:"off,count,block"`
	// OpenAPI is the description of the site's API: requests that it does not allow are counted or refused. In YAML it may be
	// just the file. Default: none.
	OpenAPI *OpenAPI `yaml:"openapi,omitempty"`
	// Protobuf is a file with the types of the messages that the site's remote calls take (gRPC, gRPC-Web, Connect): a set of descriptors, as
	// protoc --include_imports --descriptor_set_out writes it. By it the firewall finds the texts in messages. Default: none.
	Protobuf string `yaml:"protobuf,omitempty" example:"/etc/stormdoor/api.binpb"`
	// PreserveHost passes the visitor's Host field to the origin. Default true.
	PreserveHost *bool `yaml:"preserve_host,omitempty" default:"true"`
	// Admission says who goes to the origins first when they cannot serve everybody. It needs no setting.
	Admission Admission `yaml:"admission,omitempty"`
	// Routes refine the site for some paths. The most specific one that matches counts.
	Routes []Route `yaml:"routes,omitempty" empty:"none"`
}

// Route is a part of a site, by path.
type Route struct {
	// Name is the route's name in logs and metrics. Default: its path.
	Name string `yaml:"name,omitempty" example:"login"`
	// Path is an exact path ("/login") or a prefix ("/api/*"); it is matched against the clean path: percent-decoded, with
	// dot segments resolved.
	Path string `yaml:"path" example:"/login"`
	// Methods restricts the route to some methods. Default: all.
	Methods []string `yaml:"methods,omitempty" example:"[POST]"`
	// Origins serve the route instead of the site's.
	Origins []Origin `yaml:"origins,omitempty" example:"['http://127.0.0.1:3001']"`
	// Timeouts override the site's, field by field.
	Timeouts Timeouts `yaml:"timeouts,omitempty"`
	// MaxBody overrides the site's bound on a request's body.
	MaxBody Bytes `yaml:"max_body,omitempty" example:"1GiB" min:"1"`
	// Cache overrides the site's, field by field.
	Cache CacheRules `yaml:"cache,omitempty"`
	// WAF is what the web application firewall does on this route. Default: as on the site.
	WAF WAFMode `yaml:"waf,omitempty" enum:"off,count,block"`
	// Leaks is what is done about leaks in the answers of this route. Default: as on the site.
	Leaks WAFMode `yaml:"leaks,omitempty" enum:"off,count,block"`
	// OpenAPI is what is done on this route with requests that the site's OpenAPI document does not allow: off, count or
	// block. Default: as on the site.
	OpenAPI WAFMode `yaml:"openapi,omitempty" enum:"off,count,block"`
}

// CacheRules say how answers are stored. Without them an answer is stored when it says itself that shared caches may: see
// the manual on the cache.
type CacheRules struct {
	// Off lets every request go to the origin, and stores nothing. Default false.
	Off *bool `yaml:"off,omitempty" default:"false"`
	// TTL is how long answers are fresh, whatever they say themselves. What says no-store or private, or sets a cookie, is
	// not stored all the same. Default: what the answer says; an answer that says nothing is not stored.
	TTL Duration `yaml:"ttl,omitempty" example:"5m" min:"1s" max:"365d"`
	// IgnoreQuery are parameters of the query that make no difference: the cache does not look at them, and the origin
	// does not see them. A "*" at the end stands for the rest of the name.
	IgnoreQuery []string `yaml:"ignore_query,omitempty" example:"['utm_*', fbclid]" empty:"none"`
	// IgnoreCookies serves stored answers to visitors with cookies even if the answers do not say that they are for
	// everybody. Set it where no page depends on a cookie. Default false.
	IgnoreCookies *bool `yaml:"ignore_cookies,omitempty" default:"false"`
	// StaleIfError is how long an answer may still be served when it is too old and no origin can be asked, or the door
	// would have to refuse. An answer may say otherwise itself. Default 1d.
	StaleIfError Duration `yaml:"stale_if_error,omitempty" default:"1d" min:"1s" max:"365d"`
}

// Admission bounds what is in flight to the origins of a site, and orders who waits. The bound is learned from the
// origins' answers and acts only when it is reached.
type Admission struct {
	// Off lets every request through to the origins at once, however many they are.
	Off bool `yaml:"off,omitempty" default:"false"`
	// MaxInFlight bounds the requests in flight to the site's origins, instead of the learned bound.
	MaxInFlight int `yaml:"max_in_flight,omitempty" example:"64" min:"1" max:"100000"`
	// VouchedHeader is a field of the origin's answers that says that the request came from somebody who is signed in.
	// Whoever sends the same credential or session cookie again goes before visitors who are not known.
	VouchedHeader string `yaml:"vouched_header,omitempty" example:"x-signed-in"`
	// VouchedCookie is a cookie that the origin sets for nobody but those who have signed in; "*" at the end of the name
	// stands for any end. A visitor who brings a value that the origin has set goes before those who are not known.
	VouchedCookie string `yaml:"vouched_cookie,omitempty" example:"wordpress_logged_in_*"`
	// VisitCookie lets the door set a cookie for visitors in good standing, by which they stay known from another address and
	// after a restart. It tells a day and one of 4,096 numbers, not who it is; it is set over TLS only, with pages that
	// nobody may store, and taken out of requests before anybody sees it.
	VisitCookie bool `yaml:"visit_cookie,omitempty" default:"false"`
}

// Origin is one server behind a site. In YAML it may be just its URL.
type Origin struct {
	// URL is http://host:port, https://host:port, h2c://host:port (HTTP/2 in clear text), h2://host:port (HTTP/2 over
	// TLS), unix:/path or unix+h2c:/path. It has no path.
	URL string `yaml:"url" example:"http://127.0.0.1:3000"`
	// Weight is the share of this origin beside its siblings. Default 1.
	Weight int `yaml:"weight,omitempty" default:"1" min:"1" max:"65535"`
	// CA is a PEM file with the authorities that may vouch for the origin. Default: the system's.
	CA string `yaml:"ca,omitempty" example:"/etc/stormdoor/origin-ca.pem"`
	// Certificate is a PEM file that the door shows to the origin (mTLS). It needs a key.
	Certificate string `yaml:"certificate,omitempty" example:"/etc/stormdoor/door.pem"`
	// Key is the PEM file with the private key of the certificate.
	Key string `yaml:"key,omitempty" example:"/etc/stormdoor/door.key"`
	// ServerName is the name that the origin's certificate must carry. Default: the URL's host.
	ServerName string `yaml:"server_name,omitempty" example:"shop.internal"`
}

// Balance is a way to choose an origin.
type Balance string

// The ways to choose an origin. The zero value is LeastConnections.
const (
	LeastConnections Balance = "least_connections" // the fewest requests in flight for its weight
	RoundRobin       Balance = "round_robin"       // in turn, by weight
	ClientHash       Balance = "client_hash"       // the same client to the same origin while it is healthy
)

// Health is an active check of origins.
type Health struct {
	// Path is asked for by GET. Default /.
	Path string `yaml:"path,omitempty" default:"/" example:"/healthz"`
	// Host is the Host field of the check. Default: the site's first exact host, or the origin's own name where the
	// site has none.
	Host string `yaml:"host,omitempty" example:"shop.example"`
	// Every is the time between two checks. Default 5s.
	Every Duration `yaml:"every,omitempty" default:"5s" min:"100ms" max:"1h"`
	// Timeout is how long an answer may take. Default 2s.
	Timeout Duration `yaml:"timeout,omitempty" default:"2s" min:"1ms" max:"1h"`
	// Status is the range of good answers, or one status. Default 200-399.
	Status string `yaml:"status,omitempty" default:"200-399"`
}

// Timeouts bound how long the door waits. Zero means the default.
type Timeouts struct {
	// Connect bounds the connection to an origin, TLS included. Default 3s.
	Connect Duration `yaml:"connect,omitempty" default:"3s" min:"1ms" max:"10m"`
	// Response bounds the wait for the head of an origin's answer, from the end of the request. Default 60s.
	Response Duration `yaml:"response,omitempty" default:"60s" min:"1ms" max:"1d"`
	// Idle closes a stream (answer body, WebSocket) on which nothing has moved either way. Default 5m.
	Idle Duration `yaml:"idle,omitempty" default:"5m" min:"100ms" max:"30d"`
	// Head bounds the time for a client to send a request's head. Default 10s. It counts for the whole door: the
	// largest of all sites is in force.
	Head Duration `yaml:"head,omitempty" default:"10s" min:"100ms" max:"10m"`
	// KeepAlive closes a client's connection that has been idle for this long. Default 75s, the largest of all sites.
	KeepAlive Duration `yaml:"keep_alive,omitempty" default:"75s" min:"100ms" max:"1h"`
	// MinRate is the slowest body, in bytes per second over 10 s, that a client may send or read before the door
	// gives it up. Default 240. WebSocket and event streams are exempt.
	MinRate Bytes `yaml:"min_rate,omitempty" default:"240" min:"1" max:"1GiB"`
}

// TLS says where a site's certificate comes from: files, ACME, or a self-signed one for trying out.
type TLS struct {
	// Certificate is a PEM file with the site's certificate and its chain. It needs a key.
	Certificate string `yaml:"certificate,omitempty" example:"/etc/stormdoor/shop.pem"`
	// Key is the PEM file with the private key of the certificate.
	Key string `yaml:"key,omitempty" example:"/etc/stormdoor/shop.key"`
	// ACME obtains and renews the certificate by itself (HTTP-01 or TLS-ALPN-01).
	ACME bool `yaml:"acme,omitempty" default:"false"`
	// SelfSigned makes a certificate that no browser trusts, for trying out.
	SelfSigned bool `yaml:"self_signed,omitempty" default:"false"`
	// Redirect answers clear text with a redirect to HTTPS. Default true.
	Redirect *bool `yaml:"redirect,omitempty" default:"true"`
	// HSTS is the max-age of Strict-Transport-Security. Default: the field is not sent.
	HSTS Duration `yaml:"hsts,omitempty" example:"180d" min:"1s" max:"3650d"`
}

// Trust names the proxies in front of the door.
type Trust struct {
	// Proxies are the addresses whose forwarding headers are believed. Whoever is believed can claim any address, so a
	// prefix wider than /8 (IPv4) or /16 (IPv6) is refused.
	Proxies []Prefix `yaml:"proxies,omitempty" example:"[10.0.0.0/8, '2001:db8::/32']" empty:"nobody"`
	// Header is the forwarding header that they write: "x-forwarded-for" (default), "forwarded", or the name of a
	// header that holds one address, such as "cf-connecting-ip".
	Header string `yaml:"header,omitempty" default:"x-forwarded-for" example:"cf-connecting-ip"`
	// ProxyProtocol are the addresses that begin each connection with a PROXY header, version 1 or 2.
	ProxyProtocol []Prefix `yaml:"proxy_protocol,omitempty" example:"[10.0.0.5]" empty:"nobody"`
}

// Geo names MMDB files. The operator brings them; without them countries and networks are not known.
type Geo struct {
	// Country is a database with country.iso_code.
	Country string `yaml:"country,omitempty" example:"/var/lib/geo/country.mmdb"`
	// Network is a database with autonomous_system_number.
	Network string `yaml:"network,omitempty" example:"/var/lib/geo/asn.mmdb"`
}

// ListAction is what a list does with whom it names.
type ListAction string

// What a list does.
const (
	ListAllows  ListAction = "allow"
	ListRefuses ListAction = "refuse"
)

// List is a set of clients.
type List struct {
	// Name is the list's name in verdicts.
	Name string `yaml:"name" example:"office"`
	// Action is "allow" or "refuse".
	Action ListAction `yaml:"action" enum:"allow,refuse" example:"allow"`
	// Addresses are addresses and prefixes.
	Addresses []Prefix `yaml:"addresses,omitempty" example:"[192.0.2.7, 198.51.100.0/24, '2001:db8::/32']"`
	// File holds one address or prefix a line, "#" begins a comment. It is read again at each reload.
	File string `yaml:"file,omitempty" example:"/etc/stormdoor/office.txt"`
	// Networks are autonomous system numbers; they need geo.network.
	Networks []uint32 `yaml:"networks,omitempty" example:"[64500, 64501]" min:"1" max:"4294967295"`
	// Countries are ISO 3166-1 alpha-2 codes; they need geo.country.
	Countries []string `yaml:"countries,omitempty" example:"[CH, DE]"`
	// DryRun only notes what the list would have refused.
	DryRun bool `yaml:"dry_run,omitempty" default:"false"`
}

// Cache bounds what the door stores of origins' answers. What is in memory begins empty.
type Cache struct {
	// Memory bounds everything that is stored. Default 128MiB.
	Memory Bytes `yaml:"memory,omitempty" default:"128MiB" min:"1MiB" max:"1TiB"`
	// MaxObject bounds one answer; larger ones pass through. Default 8MiB, and never more than a quarter of the memory.
	MaxObject Bytes `yaml:"max_object,omitempty" default:"8MiB" min:"1KiB" max:"1GiB"`
	// Disk is where answers go that were asked for again and that memory has no room for. Without a path: nowhere.
	Disk CacheDisk `yaml:"disk,omitempty"`
}

// CacheDisk is the part of the cache that lies on disk. It outlives a restart, and takes an eighth of the cache's memory for
// its index.
type CacheDisk struct {
	// Path is a folder for nothing else, by its full path. It is made when it is not there, and must belong to the door's user,
	// with nobody else writing into it. A door that runs cannot change it.
	Path string `yaml:"path,omitempty" example:"/var/lib/stormdoor/cache"`
	// Size bounds what lies there. A door that runs cannot change it. Default 1GiB.
	Size Bytes `yaml:"size,omitempty" default:"1GiB" min:"64MiB" max:"16TiB"`
}

// RuleAction is what a rule does.
type RuleAction string

// What a rule does.
const (
	RuleAllows  RuleAction = "allow"
	RuleRefuses RuleAction = "refuse"
	RuleHangsUp RuleAction = "hangup"
)

// Rule is a condition over the facts of a request.
type Rule struct {
	// Name is the rule's name in verdicts.
	Name string `yaml:"name" example:"no-wordpress"`
	// When is a CEL expression over the facts that yields a bool; the manual lists the variables.
	When string `yaml:"when" example:"path.startsWith('/wp-')"`
	// Then is what happens when it is true: allow, refuse or hangup.
	Then RuleAction `yaml:"then" enum:"allow,refuse,hangup" example:"refuse"`
	// Status is the status of a refusal. Default 403.
	Status int `yaml:"status,omitempty" default:"403" min:"400" max:"599"`
	// DryRun only notes what the rule would have done.
	DryRun bool `yaml:"dry_run,omitempty" default:"false"`
}

// OnError says what happens to a request that a stage could not judge.
type OnError string

// What happens after a failure to judge. The zero value is OnErrorAdmit: a module's failure is not the request's.
const (
	OnErrorAdmit  OnError = "admit"
	OnErrorRefuse OnError = "refuse"
)

// Refusals says what a refused visitor reads.
type Refusals struct {
	// Contact is how a visitor reaches the operator: a mail address or a URL.
	Contact string `yaml:"contact,omitempty" example:"help@shop.example"`
	// StatusURL is a page that tells how the service is doing.
	StatusURL string `yaml:"status_url,omitempty" example:"https://status.shop.example"`
	// Page is an HTML template file instead of the built-in page.
	Page string `yaml:"page,omitempty" example:"/etc/stormdoor/refused.html"`
	// Problem is a JSON template file instead of RFC 9457's problem details.
	Problem string `yaml:"problem,omitempty" example:"/etc/stormdoor/refused.json"`
}

// ACME says how certificates are obtained.
type ACME struct {
	// Directory is the ACME server's directory. Default: Let's Encrypt.
	Directory string `yaml:"directory,omitempty" example:"https://acme.internal/directory"`
	// Email is told to the ACME server for expiry notices.
	Email string `yaml:"email,omitempty" example:"ops@shop.example"`
	// CA is a PEM file with the authorities that may vouch for the ACME server itself.
	CA string `yaml:"ca,omitempty" example:"/etc/stormdoor/acme-ca.pem"`
	// Agree says that you agree to the ACME server's terms of service. Certificates are obtained only with it.
	Agree bool `yaml:"agree,omitempty" default:"false"`
}

// LogFormat is how logs are written.
type LogFormat string

// How logs are written. The zero value is LogAuto.
const (
	LogAuto    LogFormat = "auto" // console on a terminal, JSON otherwise
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

// Log says what is written about requests and about the door itself.
type Log struct {
	// Format is auto (default), json or console.
	Format LogFormat `yaml:"format,omitempty" enum:"auto,json,console" default:"auto"`
	// Level is debug, info (default), warn or error.
	Level string `yaml:"level,omitempty" enum:"debug,info,warn,error" default:"info"`
	// File takes the log instead of standard error. It is reopened at SIGHUP.
	File string `yaml:"file,omitempty" example:"/var/log/stormdoor/door.log"`
	// Access is the share of requests that passed and are logged, 0 to 1. Default 0: refusals and failures only.
	Access float64 `yaml:"access,omitempty" default:"0" min:"0" max:"1" example:"0.01"`
	// FirstRefusals is how many refusals of one cause are logged per minute before they are only counted. Default 20.
	FirstRefusals int `yaml:"first_refusals,omitempty" default:"20" min:"1" max:"100000"`
	// MaxRate bounds the log in bytes per second, of which requests leave a quarter to what the door says of itself; what is over is
	// counted and said once. Default 1MiB.
	MaxRate Bytes `yaml:"max_rate,omitempty" default:"1MiB" min:"1KiB" max:"1GiB"`
}

// Console reports whether the log is written for a person, given whether its stream is a terminal.
func (l Log) Console(terminal bool) bool {
	return l.Format == LogConsole || (l.Format == LogAuto || l.Format == "") && l.File == "" && terminal
}

// Admin is where metrics, health and explanations are served.
type Admin struct {
	// Listen is a loopback address or "unix:/path". Default 127.0.0.1:2112; "off" serves none.
	Listen string `yaml:"listen,omitempty" default:"127.0.0.1:2112" example:"unix:/run/stormdoor/admin.sock"`
}

// Prefix is an address or a prefix in CIDR notation. An address alone stands for itself only.
type Prefix struct{ netip.Prefix }

// Duration is a length of time such as "500ms", "30s", "5m", "1h30m" or "30d".
type Duration time.Duration

// Bytes is a size such as 512, "64KiB", "10MB" or "1GiB".
type Bytes int64

// Amount is how much of what a limit counts: a number, a size or a length of time, to fit the charge. Its unit is one
// request, one byte or one millisecond.
type Amount int64

// Rate is an amount over a time.
type Rate struct {
	Amount Amount
	Per    time.Duration
}
