package reactor

import "time"

// The wheel's slots. A deadline is noticed up to slotWidth late; one that is further away than the wheel reaches waits in
// the last slot and is looked at again then.
const (
	slotWidth = 50 * time.Millisecond
	slotCount = 256
)

// wheel holds the connections that wait under a deadline. The zero value is empty and begins at time 0.
type wheel struct {
	slots [slotCount]*Conn // lists, by slot modulo slotCount
	at    int64            // the slot that has been looked at last
	n     int
}

// place is where a connection is in the wheel.
type place struct {
	prev, next *Conn
	slot       int64 // 0: it is not
}

// set makes sure that c is looked at when the deadline by has passed. It may be looked at before.
func (w *wheel) set(c *Conn, by int64) {
	slot := max(min(by/int64(slotWidth)+1, w.at+slotCount-1), w.at+1)
	if c.place.slot != 0 {
		if c.place.slot <= slot {
			return
		}
		w.remove(c)
	}
	head := &w.slots[slot%slotCount]
	c.place = place{next: *head, slot: slot}
	if *head != nil {
		(*head).place.prev = c
	}
	*head = c
	w.n++
}

func (w *wheel) remove(c *Conn) {
	p := c.place
	if p.slot == 0 {
		return
	}
	if p.prev != nil {
		p.prev.place.next = p.next
	} else {
		w.slots[p.slot%slotCount] = p.next
	}
	if p.next != nil {
		p.next.place.prev = p.prev
	}
	c.place = place{}
	w.n--
}

// advance takes out what was to be looked at until now, and looks at it.
func (w *wheel) advance(now int64, look func(*Conn)) {
	to := now / int64(slotWidth)
	if w.n == 0 {
		w.at = max(w.at, to)
	}
	for w.at < to {
		w.at++
		for c := w.slots[w.at%slotCount]; c != nil; c = w.slots[w.at%slotCount] {
			w.remove(c)
			look(c)
		}
	}
}
