package seclang

import (
	"net/netip"
	"strconv"
	"strings"

	"stormdoor/seclang/internal/body"
	"stormdoor/seclang/internal/match"
	"stormdoor/seclang/internal/operator"
)

// Transaction judges one exchange. Its methods are called in the order of the exchange, by one goroutine at a time.
// Strings and pieces given to it must not change before Close; it does not keep pieces of bodies.
type Transaction struct {
	rules *Ruleset
	start Start
	mode  Mode
	set   settings // may be changed by ctl
	phase int      // the last one evaluated

	arena   arena
	singles [singles]string
	fields  [collections][]field
	tx      txVars
	txNow   []field // TX variables that a rule goes through

	forceRequestBody, forceResponseBody bool
	piece                               bool // the request's body is a Piece
	allow                               allowance
	removed                             bitset // rules, by place
	anyRemoved                          bool
	targetsRemoved                      []*removeTargets

	requestPieces, responsePieces []byte
	parsed                        body.Fields // of the request's body
	bodyText                      []byte      // the request's body as it was read, unpacked
	documents, operations         body.Fields // of GraphQL: a document, and JSON that holds some

	interruption, would Interruption
	matches             []Match
	values              []Value // of matches
	message, logData    string  // of the rule at hand
	// What the last match was in, and whether it goes into MATCHED_VARS.
	lastVariable, lastKey string
	collecting            bool
	sent                  string // the value at hand, before transformations
	doubted, confirmed    bool   // the value at hand; a match of the link at hand that counts
	counted               int    // how often the effects of the link at hand took place
	excused, lost         bool   // a value of the rule at hand; every value of a link before this one
	captures              operator.Captures
	cost                  Cost

	hits   []hit
	budget match.Budget
	bits   match.Bits // the patterns found in a form
	wanted match.Bits // those that are looked for in it
	minds  minded     // why
	forms  []form     // of the value that is scanned
	formOf []uint16   // by node of its class
	loud   bool       // something was found in it
}

func newTransaction(r *Ruleset) *Transaction {
	n := r.program.words
	return &Transaction{rules: r, bits: make(match.Bits, n), wanted: make(match.Bits, n), minds: newMinded(n)}
}

// begin makes a transaction as new.
func (t *Transaction) begin(s Start) {
	t.start, t.mode, t.set, t.phase = s, s.Mode, t.rules.settings, 0
	if s.Mode == AsConfigured {
		t.mode = t.set.mode
	}
	t.budget = match.Budget{States: match.FreshStates}
	t.tx.reset(t.rules.program.begins)
	t.singles = [singles]string{
		argumentsLimitReached: "0", filesCombinedSize: "0", fullRequestLength: "0", highestSeverity: "255",
		multipartBoundaryQuoted: "0", multipartDataAfter: "0", multipartDataBefore: "0", multipartDuplicatePartHeader: "0",
		multipartHeaderFolding: "0", multipartInvalidQuoting: "0", multipartLFLine: "0", multipartUnmatchedBoundary: "0", outboundDataError: "0",
		reqbodyError: "0", reqbodyProcessorError: "0", requestBodyLength: "0", uriParseError: "0", urlencodedError: "0",
		uniqueID: s.ID,
	}
}

// Close gives the transaction back. Nothing that it has handed out may be used afterwards.
func (t *Transaction) Close() {
	for c := range t.fields {
		t.fields[c] = emptied(t.fields[c])
	}
	clear(t.forms)
	t.matches, t.values, t.hits = emptied(t.matches), emptied(t.values), emptied(t.hits)
	t.targetsRemoved = t.targetsRemoved[:0]
	clear(t.removed)
	t.anyRemoved, t.allow = false, noAllowance
	t.forceRequestBody, t.forceResponseBody, t.piece = false, false, false
	t.bodyText = nil
	t.requestPieces, t.responsePieces = reuse(t.requestPieces), reuse(t.responsePieces)
	t.interruption, t.would, t.cost = Interruption{}, Interruption{}, Cost{}
	t.message, t.logData, t.lastVariable, t.lastKey, t.sent, t.start = "", "", "", "", "", Start{}
	t.arena.reset()
	t.rules.pool.Put(t)
}

// emptied keeps a list's memory for the next transaction unless it is large.
func emptied[T any](list []T) []T {
	if cap(list) > 4096 {
		return nil
	}
	clear(list)
	return list[:0]
}

// reuse keeps a buffer for the next transaction unless it is large.
func reuse(b []byte) []byte {
	if cap(b) > mostKept {
		return nil
	}
	return b[:0]
}

// Connection tells who talks to whom.
func (t *Transaction) Connection(client, server netip.AddrPort) {
	t.singles[remoteAddr], t.singles[remotePort] = t.address(client)
	t.singles[serverAddr], t.singles[serverPort] = t.address(server)
}

func (t *Transaction) address(a netip.AddrPort) (addr, port string) {
	if a.Addr().IsValid() {
		addr = t.arena.keep(a.Addr().Unmap().AppendTo(t.arena.free()))
	}
	return addr, t.arena.number(int(a.Port()))
}

// ServerName tells the name that the client asks for, without port (SERVER_NAME).
func (t *Transaction) ServerName(name string) { t.singles[serverName] = name }

// RequestHeadersEnd evaluates phase 1.
func (t *Transaction) RequestHeadersEnd() Interruption {
	if t.phase < 1 {
		t.nestedIn(argsGet)
		t.nestedPath()
		t.nestedCredentials()
	}
	return t.advance(1)
}

// advance evaluates a phase, once, and in order.
func (t *Transaction) advance(phase int) Interruption {
	if t.mode != Off && t.phase < phase && !t.interruption.Refuses() {
		t.evaluate(phase)
	}
	return t.interruption
}

// WantsRequestBody reports whether phase 2 looks at the request's body: if not, it need not be given.
func (t *Transaction) WantsRequestBody() bool {
	return t.mode != Off && t.set.requestBody && t.phase < 2 && !t.interruption.Refuses()
}

// RequestBody takes the next piece of the request's body. A body that reaches SecRequestBodyLimit is refused, or, by
// SecRequestBodyLimitAction ProcessPartial and where nothing is refused, inspected up to the limit.
func (t *Transaction) RequestBody(piece []byte) Interruption {
	if !t.WantsRequestBody() {
		return t.interruption
	}
	if room := t.set.requestLimit - len(t.requestPieces); len(piece) >= room {
		t.singles[inboundDataError] = "1"
		if !t.set.requestPartial {
			t.refuse(Interruption{Action: Deny, Status: 413})
			if t.interruption.Refuses() {
				return t.interruption
			}
		}
		t.requestPieces = append(t.requestPieces, piece[:room]...)
		return t.RequestEnd()
	}
	t.requestPieces = append(t.requestPieces, piece...)
	return t.interruption
}

// RequestEnd evaluates phase 2. It is called for requests without a body too.
func (t *Transaction) RequestEnd() Interruption {
	if t.phase == 1 && t.mode != Off && !t.interruption.Refuses() {
		t.readRequestBody()
		t.readGraphQL()
	}
	return t.advance(2)
}

// ResponseHeader tells a field of the response's head.
func (t *Transaction) ResponseHeader(name, value string) {
	if name == "" {
		return
	}
	folded := t.arena.lower(name)
	t.fields[responseHeaders] = append(t.fields[responseHeaders], field{key: name, folded: folded, value: value})
	if folded == "content-type" {
		t.singles[responseContentType], _, _ = strings.Cut(value, ";")
	}
}

// ResponseHeadersEnd tells how the response begins, and evaluates phase 3.
func (t *Transaction) ResponseHeadersEnd(status int, protocol string) Interruption {
	if t.phase < 3 {
		t.singles[responseStatus], t.singles[responseProtocol] = strconv.Itoa(status), protocol
	}
	return t.advance(3)
}

// WantsResponseBody reports whether phase 4 looks at the response's body: if not, it need not be given.
func (t *Transaction) WantsResponseBody() bool {
	return t.mode != Off && t.set.responseBody && t.phase < 4 && !t.interruption.Refuses() && t.bodyType()
}

// bodyType reports whether SecResponseBodyMimeType names the response's type.
func (t *Transaction) bodyType() bool {
	if t.forceResponseBody {
		return true
	}
	for _, kind := range t.set.responseTypes {
		if kind == t.singles[responseContentType] {
			return true
		}
	}
	return false
}

// ResponseBody takes the next piece of the response's body. What reaches SecResponseBodyLimit is treated as in
// RequestBody.
func (t *Transaction) ResponseBody(piece []byte) Interruption {
	if !t.WantsResponseBody() {
		return t.interruption
	}
	if room := t.set.responseLimit - len(t.responsePieces); len(piece) >= room {
		t.singles[outboundDataError] = "1"
		if !t.set.responsePartial {
			t.refuse(Interruption{Action: Deny, Status: 500})
			if t.interruption.Refuses() {
				return t.interruption
			}
		}
		t.responsePieces = append(t.responsePieces, piece[:room]...)
		return t.ResponseEnd()
	}
	t.responsePieces = append(t.responsePieces, piece...)
	return t.interruption
}

// ResponseEnd evaluates phase 4.
func (t *Transaction) ResponseEnd() Interruption {
	if t.phase == 3 && t.WantsResponseBody() {
		t.readResponseBody()
	}
	return t.advance(4)
}

// Finish evaluates phase 5, which sees how the exchange ended and refuses nothing.
func (t *Transaction) Finish() {
	if t.mode != Off && t.phase < 5 {
		t.evaluate(5)
	}
}

// Interruption is the decision so far.
func (t *Transaction) Interruption() Interruption { return t.interruption }

// WouldInterrupt is the first decision that the mode did not let a rule take.
func (t *Transaction) WouldInterrupt() Interruption { return t.would }

// Matches lists the rules that matched and log or refuse, in order.
func (t *Transaction) Matches() []Match { return t.matches }

// Cost is what was spent so far.
func (t *Transaction) Cost() Cost { return t.cost }
