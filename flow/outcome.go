package flow

import "time"

// Outcome is how a request ended. Exactly one is written for each request, always; logs, metrics, tape and detectors
// read nothing else. It is valid during the call that hands it over: whoever keeps it copies it, and clones strings.
//
// A request is what is answered, or would have been: also a head that cannot be read or does not come whole in time, of which
// nothing is known but its connection. No request, and without an Outcome, are: a connection that ends before the first byte
// of a head, or in the middle of one; frames of HTTP/2 that are no request; a stream that a bound of its connection refused
// untouched (REFUSED_STREAM, GOAWAY), which the client may try again; and what the HTTP/3 library refuses by itself.
type Outcome struct {
	Facts Facts
	// Verdict is the one that decided; Stage names the stage that gave it, "" when no stage was sure.
	Verdict Verdict
	Stage   string
	// Dry is the first verdict against the visitor that would have decided had it not been on a dry run, and DryStage who
	// gave it.
	Dry      Verdict
	DryStage string

	// Priority and Level are the place in the order that admission gave the request. Priority is one of Priorities, "" when
	// nobody had to wait and so nobody was ranked.
	Priority string
	Level    uint8
	// Ahead is how many visitors who were told to come back stand before this one, who was told so, too.
	Ahead int
	// Found is what an inspection of the request found, nil for nothing.
	Found *Findings
	// Work is what inspections of the request took, in the firewall's units of work (see Verdict.Work).
	Work int64

	// Status is what the client was answered, 0 when it got no answer.
	Status int
	// End says why the request ended other than by a complete answer; "" when it was complete.
	End Reason
	// Err is the cause in words for the log, "" for none. It may hold what a client or an origin sent: escape it.
	Err string
	// BytesIn and BytesOut count the bodies, in bytes.
	BytesIn, BytesOut int64
	// Waited is the time that the door held the request back, Took the whole from Arrived to the last byte.
	Waited, Took time.Duration
	// Origin is the address of the origin asked last, "" when none was; Attempts counts the tries.
	Origin   string
	Attempts int
	// OriginTime is from the first byte sent to the origin until its head was read: the time that the origin worked.
	OriginTime time.Duration
	// OriginStatus is what the origin answered, 0 for nothing.
	OriginStatus int
	// Cache is what the cache did for the request.
	Cache CacheResult
	// Upgraded is true when the connection left HTTP (WebSocket).
	Upgraded bool
}

// CacheResult is what the cache did for a request. The zero value: it was not asked, because it is off or the request is
// none of its business.
type CacheResult string

// What the cache did.
const (
	CacheHit       CacheResult = "hit"       // it answered
	CacheStale     CacheResult = "stale"     // it answered with what is too old, because that is allowed and better
	CacheValidated CacheResult = "validated" // the origin confirmed what is stored
	CacheMiss      CacheResult = "miss"      // the origin answered, and the answer could be stored
	CacheCollapsed CacheResult = "collapsed" // somebody else's request brought the answer
	CachePass      CacheResult = "pass"      // the origin answered, and the answer was not to be stored
)

// CacheResults lists every result in the order of the manual.
var CacheResults = [...]CacheResult{CacheHit, CacheStale, CacheValidated, CacheMiss, CacheCollapsed, CachePass}

// Priorities are the names of the priorities in which requests go to an origin, the first one first.
var Priorities = [...]string{"operator", "vouched", "known", "new", "excess"}
