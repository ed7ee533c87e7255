package wire

import "time"

// What legal but abusive events cost, in sixteenths of a point. A budget of H2Config.Budget points fills up with them
// and drains over time. The weights follow what an event costs us against what a good client does: a browser that leaves
// a page resets a hundred streams at once, a download acknowledges each kilobyte, nobody sends empty frames.
const (
	h2CostPoint        = 16
	h2CostResetEarly   = 4 * h2CostPoint  // a request taken back before anybody worked on it
	h2CostReset        = 2 * h2CostPoint  // a request taken back before its answer
	h2CostResetLate    = 1 * h2CostPoint  // an answer not read to its end
	h2CostProvoked     = 10 * h2CostPoint // a reset that the client made us send (MadeYouReset), a malformed request
	h2CostRefused      = 4 * h2CostPoint  // a stream over the limit
	h2CostEmptyData    = 2 * h2CostPoint
	h2CostTinyData     = 1    // a frame of DATA with fewer than h2Tiny bytes that does not end the stream
	h2CostStrayBytes   = 2048 // bytes of DATA on a stream that we reset that cost a sixteenth
	h2CostPadding      = 1 * h2CostPoint
	h2CostUpdate       = 1 * h2CostPoint // WINDOW_UPDATE or PING beyond what our own frames give rise to
	h2CostTinyWindow   = 1 * h2CostPoint // an answer cut into small pieces by the window
	h2CostSettings     = 5 * h2CostPoint
	h2CostPriority     = 1 * h2CostPoint // PRIORITY or an unknown frame beyond two for each stream
	h2CostContinuation = 1 * h2CostPoint
	h2CostEmptyPart    = 10 * h2CostPoint // an empty CONTINUATION
	h2CostEviction     = 1
	h2CostStalled      = 10 * h2CostPoint // a stream given up because the client did not take or send its body
)

// h2Tiny is where a piece of data begins to be worth its frame, in bytes.
const h2Tiny = 16

// h2Mood is how a connection's budget stands.
type h2Mood uint8

const (
	h2Calm    h2Mood = iota
	h2Uneasy         // over a quarter: fewer handlers at once
	h2Warned         // over three quarters: GOAWAY, nothing new
	h2Spent          // over the budget: closed when the door is hot
	h2Hostile        // over twice the budget: closed
)

// h2Budget counts abusive events of one connection. It is pure: time is passed in.
type h2Budget struct {
	size  int64 // in sixteenths of a point
	drain int64 // per second, the same unit
	used  int64
	at    time.Time
	// earned is how many acknowledgements (WINDOW_UPDATE, PING) our own frames have given rise to; hints is how many
	// PRIORITY and unknown frames the client's requests have.
	earned, hints int
}

// h2BudgetOf returns a budget of points that drains by a twentieth a second.
func h2BudgetOf(points int) h2Budget {
	return h2Budget{size: int64(points) * h2CostPoint, drain: int64(points) * h2CostPoint / 20, earned: 64, hints: 32}
}

// spend counts an event.
func (b *h2Budget) spend(now time.Time, cost int64) {
	if past := now.Sub(b.at); past > 0 {
		drained := int64(past.Seconds() * float64(b.drain))
		if drained > 0 {
			b.used, b.at = max(0, b.used-drained), now
		}
	}
	b.used += cost
}

func (b *h2Budget) mood() h2Mood {
	switch {
	case b.used > 2*b.size:
		return h2Hostile
	case b.used > b.size:
		return h2Spent
	case b.used > b.size*3/4:
		return h2Warned
	case b.used > b.size/4:
		return h2Uneasy
	}
	return h2Calm
}

// earn notes n bytes of DATA that went out in one frame.
func (b *h2Budget) earn(n int) { b.earned = min(b.earned+2+n/1024, 4096) }

// ack counts an acknowledgement.
func (b *h2Budget) ack(now time.Time) {
	if b.earned > 0 {
		b.earned--
		return
	}
	b.spend(now, h2CostUpdate)
}

// hint counts a frame without effect.
func (b *h2Budget) hint(now time.Time) {
	if b.hints > 0 {
		b.hints--
		return
	}
	b.spend(now, h2CostPriority)
}
