package wire

import "stormdoor/flow"

// Malformation sorts the ways in which a request cannot be read, for metrics.
type Malformation string

// The ways. Each is in Malformations, and none is used for something else later.
const (
	MalformedLine        Malformation = "line"        // the first line, a line's end, or the target in it
	MalformedField       Malformation = "field"       // a field's name or value
	MalformedHost        Malformation = "host"        // not exactly one host
	MalformedFraming     Malformation = "framing"     // how long the body is, or a chunk of it
	MalformedSize        Malformation = "size"        // a head that is too large
	MalformedVersion     Malformation = "version"     // a version of HTTP that is not spoken
	MalformedExpectation Malformation = "expectation" // an expectation that is not known
	MalformedNoHTTP      Malformation = "no-http"     // another protocol
	MalformedHTTP2       Malformation = "http2"       // what only HTTP/2 forbids: pseudo-header fields, CONNECT
	MalformedSlow        Malformation = "slow"        // a head that does not come whole in time
)

// Malformations lists them.
var Malformations = [...]Malformation{
	MalformedLine, MalformedField, MalformedHost, MalformedFraming, MalformedSize, MalformedVersion, MalformedExpectation,
	MalformedNoHTTP, MalformedHTTP2, MalformedSlow,
}

// MalformedError says that a message breaks the protocol or can be read in two ways. Its text is fixed: nothing that
// a client sent is in it.
type MalformedError struct {
	// Status is what a server answers; 0 for no answer.
	Status int
	Class  Malformation
	Reason string
}

func (e *MalformedError) Error() string { return "malformed message: " + e.Reason }

// errHeadSlow is for a head that has begun and not come whole in time.
var errHeadSlow = &MalformedError{408, MalformedSlow, "the head did not come whole in time"}

// Unread is told of a request that no Exchange is made of, because it could not be read, before it is answered with
// err.Status; 0 stands for no answer. It returns fields for the answer. It must not block, and c is valid during the call
// only.
type Unread func(c *Conn, proto flow.Proto, err *MalformedError) flow.Header
