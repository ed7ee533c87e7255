package flow

// Reason says why a verdict was given or why a request ended as it did. Reasons are the same in logs, metrics,
// headers, console and manual. A reason is never reused for something else.
type Reason string

// The reasons. Each is documented in Reasons, which a test holds to this list.
const (
	ListAllow        Reason = "list.allow"
	ListRefuse       Reason = "list.refuse"
	LimitRate        Reason = "limit.rate"
	LimitBytes       Reason = "limit.bytes"
	LimitOriginTime  Reason = "limit.origin-time"
	LimitInspection  Reason = "limit.inspection"
	LimitQueueFull   Reason = "limit.queue-full"
	RuleMatch        Reason = "rule.match"
	WAFScore         Reason = "waf.score"
	WAFRule          Reason = "waf.rule"
	WAFBody          Reason = "waf.body"
	WAFFull          Reason = "waf.full"
	WAFCost          Reason = "waf.cost"
	OpenAPIPath      Reason = "openapi.path"
	OpenAPIMethod    Reason = "openapi.method"
	OpenAPIParameter Reason = "openapi.parameter"
	OpenAPIType      Reason = "openapi.type"
	OpenAPIBody      Reason = "openapi.body"
	LeakFound        Reason = "leak.found"
	StageFailed      Reason = "stage.failed"
	SiteUnknown      Reason = "site.unknown"
	RequestMalformed Reason = "request.malformed"
	RequestLoop      Reason = "request.loop"
	RequestTooLarge  Reason = "request.too-large"
	RequestUpgrade   Reason = "request.upgrade"
	ClientGone       Reason = "client.gone"
	ClientSlow       Reason = "client.slow"
	OriginDown       Reason = "origin.down"
	OriginTimeout    Reason = "origin.timeout"
	OriginBroken     Reason = "origin.broken"
	OriginShed       Reason = "origin.shed"
	OriginQueueFull  Reason = "origin.queue-full"
	DoorStopping     Reason = "door.stopping"
	DoorFault        Reason = "door.fault"
)

// ReasonDoc documents one reason for the manual.
type ReasonDoc struct {
	Reason Reason
	// Meaning is one sentence for an operator; Do says what to do about it when it hits a good visitor.
	Meaning, Do string
}

// Reasons lists every reason in the order of the manual.
var Reasons = [...]ReasonDoc{
	{ListAllow, "An allow list names the client, so no other stage was asked.", "Nothing: this is what the list is for."},
	{ListRefuse, "A refuse list names the client's address, network or country.", "Put the client into an allow list, or take it out of the list named in the verdict."},
	{LimitRate, "The key of a limit sent more requests than its rate and burst allow.", "Raise the limit, give it a finer key, or set dry_run while you watch it."},
	{LimitBytes, "The key of a limit has used up its allowance of bytes.", "Raise the limit or exempt the route that serves large files."},
	{LimitInspection, "The key of a limit has used up its allowance of inspection by the firewall.", "Raise the limit, or see with waf explain and waf cost what makes this client's requests dear to inspect."},
	{LimitOriginTime, "The key of a limit has used up its allowance of origin time.", "Raise the limit, or look at why the origin takes so long for this client."},
	{LimitQueueFull, "The limit queues what is over its rate, and the queue was full.", "Raise the limit or its queue."},
	{RuleMatch, "A rule of the policy matched the request.", "Change the rule named in the verdict, or set dry_run while you watch it."},
	{WAFScore, "The rules of the web application firewall that the request matched score as much as an attack together; the verdict names the heaviest.", "Read in the log or by explain which rule hit which field, and write the narrowest waf.exclude that says so; set waf: count on the route while you watch it."},
	{WAFRule, "A rule of the web application firewall refused the request by itself.", "Exclude the rule that the verdict names, or change it where it is your own."},
	{WAFBody, "The request's body is longer than what the web application firewall inspects at once, and the policy says to refuse such bodies, or it is packed (Content-Encoding) in a way that is not undone as it comes.", "Set over_body: follow, which inspects bodies of any length, JSON, XML and text packed by gzip or deflate included, or raise waf.inspect_body."},
	{WAFFull, "The web application firewall held as much of other requests' bodies as it may, so it could not inspect this one.", "Nothing: it is a storm of bodies, and passes. Routes for large uploads can be taken out by waf: off."},
	{WAFCost, "To inspect the request would have cost more than any request of its size should.", "Set waf: count on the route and look at what is sent there; texts made of nothing but pieces of attacks cost so much."},
	{OpenAPIPath, "The site's OpenAPI document has no such path, and unknown paths are refused.", "Add the path to the document, or set openapi.unknown: allow."},
	{OpenAPIMethod, "The site's OpenAPI document has the path, but no such method for it.", "Add the method to the document, or set openapi: count on the route."},
	{OpenAPIParameter, "A parameter in the path, the query, a header or a cookie is not as the site's OpenAPI document says, or is required and not there.", "The log says which and what was expected: correct the client or the document, or set openapi: count on the route."},
	{OpenAPIType, "The site's OpenAPI document does not take a body of this media type, or it is packed in a way that cannot be undone.", "Add the media type to the document, or set openapi: count on the route."},
	{OpenAPIBody, "The body is not as the site's OpenAPI document says.", "The log says which property and what was expected: correct the client or the document, or set openapi: count on the route."},
	{LeakFound, "The origin's answer tells what nobody outside is to read, such as a key, a stack trace or a list of files; the log says what.", "Repair what the origin answers; where it is meant to be read, set leaks: off on the route."},
	{StageFailed, "A stage could not judge the request and the policy says to refuse in that case.", "Read the error log of that time; set on_error to admit if the site should stay open."},
	{SiteUnknown, "No site claims the host that was asked for.", "Add the host to a site, or point the name elsewhere."},
	{RequestMalformed, "The request can be read in more than one way or breaks RFC 9110, 9112 or 9113.", "Mend the client; the log says what was wrong."},
	{RequestLoop, "The request has been through this door before: an origin points back at the door.", "Correct the origin's address in the policy."},
	{RequestTooLarge, "The request's head or body is over the configured size.", "Raise max_body on the route if such requests are right."},
	{RequestUpgrade, "The visitor asked for a WebSocket, and all origins of the route are spoken to by HTTP/2, in which the door does not open one.", "Give the WebSocket's path a route with an http:// or https:// origin; most servers of HTTP/2 speak HTTP/1.1 too."},
	{ClientGone, "The client left before the answer was complete.", "Nothing; if it is frequent, look at how long answers take."},
	{ClientSlow, "The client sent or read too slowly for too long.", "Raise the rates under timeouts if real visitors are that slow."},
	{OriginDown, "No origin of the site could be reached.", "Start the origin, or correct its address; the log names each attempt."},
	{OriginTimeout, "The origin did not answer in time.", "Look at the origin; raise timeouts.response if such answers are right."},
	{OriginBroken, "The origin's answer broke off or was not HTTP.", "Look at the origin; the log says what was wrong."},
	{OriginShed, "The origin had all the work that it can do, and the request's turn did not come in time.", "If there is no storm, the origin is too small or too slow: /status tells what it can have in flight and what its routes cost."},
	{OriginQueueFull, "The origin had all the work that it can do, and enough requests of an earlier priority or level were waiting.", "As for origin.shed; a session for which the origin vouches goes first: see admission.vouched_header."},
	{DoorStopping, "The door is shutting down and takes no new requests.", "Nothing: retry against the new process."},
	{DoorFault, "The door itself failed on this request.", "Report it with the reference id and the log line."},
}
