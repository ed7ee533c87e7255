// Package state is the port for what outlives a request, and its memory store. It answers "what has this key spent so
// far?". Time is passed in; nothing here reads a clock, blocks on a network or grows.
package state

import "time"

// Key names who or what is counted. It is the caller's keyed hash (a pseudo-random function under a secret), so that
// nobody outside can choose keys that collide. Stores may use fewer than its 64 bits to tell keys apart, but at
// least 62.
type Key uint64

// Breadth says how many clients stand behind a key, in steps of the caller's own. In a store without room, a broader key
// displaces narrower ones, so that counting goes on coarsely instead of not at all. The zero value is Single.
type Breadth uint8

// The ends of the scale of Breadth.
const (
	Single   Breadth = 0 // one client or one thing: never displaces anybody
	Broadest Breadth = 3
)

// Ask is a question to a Store.
type Ask struct {
	Key     Key
	Breadth Breadth // at most Broadest; the same for all questions about one key
	// Rate is what the key may use; nil stands for the zero Rate. All questions about one key must bring the same rate;
	// a new one takes over the debt of the old one as time. (A pointer, so that a question fits into registers.)
	Rate *Rate
	// Units is how much the request uses or has used, in the unit of the rate. 0 asks whether the key is in debt
	// beyond its burst.
	Units int64
	// Settle charges what has been used already: it always conforms, and the debt may grow beyond the burst by the
	// rate's overdraft. Negative Units give back what was spent before; they never make room in advance.
	Settle bool
}

// Finding is what a store says of an Ask.
type Finding uint8

// The findings. The zero value lets the request pass.
const (
	Conforms Finding = iota // within the rate; a spending ask has been charged
	Exceeds                 // over the rate; nothing was charged
	NoRoom                  // the store cannot count this key now: ask again for a broader one; nothing was charged
)

// String returns the finding's name in tests and explanations.
func (f Finding) String() string {
	switch f {
	case Conforms:
		return "conforms"
	case Exceeds:
		return "exceeds"
	case NoRoom:
		return "no room"
	}
	return "unknown"
}

// Never is a wait that no time ends: more was asked for than the rate ever allows at once.
const Never = time.Duration(1<<63 - 1)

// Answer is a store's answer. The zero value lets the request pass at once.
type Answer struct {
	Finding Finding
	// Wait is, with Conforms, how long the request must be held back so that the rate is kept (only rates with
	// Patience); with Exceeds, the time after which the same ask conforms, exact to the nanosecond, or Never.
	Wait time.Duration
}

// Expecter is a Store whose answer may have to wait for something that can be fetched ahead, such as main memory.
type Expecter interface {
	// Expect says that a question about the key comes soon. It has no effect on any answer, and does not wait.
	Expect(k Key, b Breadth)
}

// Store keeps what keys have spent. It is safe for concurrent use, and an answer never waits for a network: a store that
// shares with others does so behind the answer.
//
// The package statetest holds every store to this contract.
type Store interface {
	// Spend charges a.Units to the key if they conform.
	Spend(now time.Time, a Ask) Answer
	// Peek gives the answer that Spend would give, without any effect.
	Peek(now time.Time, a Ask) Answer
}
