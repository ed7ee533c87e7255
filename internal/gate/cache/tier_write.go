package cache

import (
	"context"
	"errors"
	"math"
	"time"

	"stormdoor/internal/gate/cache/disk"
)

// order is something to be written.
type order struct {
	kind  disk.Kind
	hash  uint64
	key   string // of an answer, and to be forgotten
	entry *entry
	stamp uint64
	purge Purge
	done  chan error // takes what has become of it; nil for nobody waits
}

// Bounds on what waits to be written, and on pauses after the disk has refused something.
const (
	queueMost  = 16 << 20 // bytes of answers; what comes while they wait is not written
	notesMost  = 4 << 20  // bytes of keys to be forgotten; with more, everything on disk is
	pauseLeast = 10 * time.Second
	pauseMost  = 5 * time.Minute
	openEach   = time.Second     // tries to take the folder
	flushMost  = 2 * time.Second // for what is written when the door ends
)

// offer takes what memory gives up although it was asked for again. It never waits. The store calls it, holding its lock.
func (t *tier) offer(r *resource) {
	now := t.now()
	list := r.entries()
	for i := len(list) - 1; i >= 0; i-- { // the latest last, so that it is the latest on disk too
		if list[i].useful().After(now) {
			t.write(r.hash, r.key, list[i], now)
		}
	}
}

func (t *tier) write(hash uint64, key string, e *entry, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.at(hash)[hash] {
		if s.arrived.Equal(e.arrived) && s.key == key && s.chosen.same(&e.chosen) {
			return // it is there already
		}
	}
	n := e.weight()
	if t.log == nil || t.closed || t.wipe || now.Before(t.resume) || t.queued+n > queueMost {
		t.lost.Add(1)
		return
	}
	t.queued += n
	t.coming[hash]++
	t.push(order{kind: recordAnswer, hash: hash, key: key, entry: e, stamp: t.stamp(hash)})
}

// push adds an order; the caller holds mu.
func (t *tier) push(o order) {
	t.orders = append(t.orders, o)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// forget takes back what lies under a key. It is in force at once in this process, and soon on disk.
func (t *tier) forget(hash uint64, key string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.dropKey(hash, key)
	if t.closed || t.wipe || t.ready && !found && t.coming[hash] == 0 {
		return
	}
	if t.noted += int64(len(key)) + 64; t.noted > notesMost {
		t.clear()
		t.push(order{})
		return
	}
	t.push(order{kind: recordForget, hash: hash, key: key})
}

var (
	errClosed = errors.New("the door is ending")
	errLeft   = errors.New("the files in which it lies cannot be removed")
)

// purge takes back what p names, and returns which keys there were. done takes nil as soon as the disk knows, or why it will
// not before this process ends; nil where there is no disk.
func (t *tier) purge(p Purge) (keys []uint64, done <-chan error) {
	if t == nil {
		return nil, nil
	}
	keys = t.dropNamed(&p)
	o := order{kind: recordPurge, purge: p, done: make(chan error, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		o.done <- errClosed
		return keys, o.done
	}
	if t.wipe && t.noted > notesMost { // there is no room for who waits until all goes
		o.done <- errLeft
		return keys, o.done
	}
	if t.noted += int64(len(p.Host)+len(p.Target)+len(p.Tag)) + 64; t.noted > notesMost || p == (Purge{}) {
		t.clear()
	}
	t.push(o)
	return keys, o.done
}

// run opens the log, rebuilds the index and writes until ctx ends. leftover yields what memory holds that is worth being
// there after a restart; it is written at the end.
func (t *tier) run(ctx context.Context, leftover func(yield func(*resource) bool)) error {
	if !t.open(ctx) {
		t.close(leftover)
		return nil
	}
	for {
		for t.step() {
		}
		t.settle()
		timer := time.NewTimer(t.retry())
		select {
		case <-t.wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			t.close(leftover)
			return nil
		}
		timer.Stop()
	}
}

// retry is how long to wait for orders: for ever, unless there are files that could not be removed.
func (t *tier) retry() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wipe {
		return max(openEach, t.resume.Sub(t.now()))
	}
	return math.MaxInt64
}

// open takes the folder, which the process before this one may still have, and reads what is there.
func (t *tier) open(ctx context.Context) bool {
	said := error(nil)
	for {
		err := t.begin(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() == nil && (said == nil || said.Error() != err.Error()) && !errors.Is(err, disk.ErrTaken) {
			t.failures.Add(1)
			t.o.Failed(err)
		}
		said = err
		timer := time.NewTimer(openEach)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// begin opens the log and rebuilds the index from it.
func (t *tier) begin(ctx context.Context) error {
	log, err := disk.Open(t.o.Dir, t.o.Size, t.o.Files, t.dropSegment)
	if err != nil {
		return err
	}
	if err := log.Scan(ctx, func(r disk.Record) { t.take(r); t.shed() }); err != nil {
		_ = log.Close()
		t.mu.Lock()
		wipe := t.wipe
		t.clear()
		t.wipe = wipe
		t.mu.Unlock()
		return err
	}
	t.mu.Lock()
	t.log = log
	t.mu.Unlock()
	t.bound()
	return nil
}

// take reads a record that was found on disk.
func (t *tier) take(r disk.Record) {
	switch r.Kind {
	case recordAnswer:
		h, err := parseHead(r.Head)
		if err != nil || !h.until.After(t.now()) {
			return
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.insert(spotOf(t.hash([]byte(h.key)), &h, r.Place))
	case recordForget:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.dropKey(t.hash(r.Head), string(r.Head))
	case recordPurge:
		if p, ok := parsePurge(r.Head); ok {
			t.dropNamed(&p)
		}
	}
}

// shed takes the oldest segments out of the index that it has no room for. Their files go when everything has been read.
func (t *tier) shed() {
	for {
		t.mu.Lock()
		over := t.index > t.most && len(t.ages) > 0
		var oldest *disk.Segment
		if over {
			oldest = t.ages[0]
		}
		t.mu.Unlock()
		if !over {
			return
		}
		t.dropSegment(oldest)
		t.mu.Lock()
		t.doomed[oldest] = true
		t.mu.Unlock()
	}
}

// bound drops the oldest files until the index is within its bound.
func (t *tier) bound() {
	for {
		t.mu.Lock()
		over := t.index > t.most || len(t.doomed) > 0
		t.mu.Unlock()
		if !over {
			return
		}
		if err := t.log.DropOldest(); err != nil {
			t.refused(err)
			t.mu.Lock()
			t.clear()
			t.mu.Unlock()
			return
		}
	}
}

// step does the next order, and reports whether there was one.
func (t *tier) step() bool {
	t.mu.Lock()
	wipe, n := t.wipe, len(t.orders)
	var o order
	if n > 0 {
		o = t.orders[0]
		t.orders[0] = order{}
		if t.orders = t.orders[1:]; n == 1 {
			t.orders, t.noted = nil, 0
		}
	}
	t.mu.Unlock()
	if wipe && (o.done != nil || !t.resting()) { // whoever waits wants to know now
		t.empty()
	}
	if n == 0 {
		return false
	}
	switch o.kind {
	case recordAnswer:
		t.keep(o)
	case recordForget:
		t.mu.Lock()
		t.dropKey(o.hash, o.key)
		t.mu.Unlock()
		t.note(o, []byte(o.key))
	case recordPurge:
		if o.purge != (Purge{}) {
			t.dropNamed(&o.purge)
			t.note(o, appendPurge(nil, o.purge))
		}
		o.done <- t.left()
	}
	return true
}

// left returns an error while there are files that had to go.
func (t *tier) left() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wipe {
		return errLeft
	}
	return nil
}

// empty removes all files. Where it cannot, step tries again after a pause; nothing of them is used meanwhile.
func (t *tier) empty() {
	if err := t.log.Wipe(); err != nil {
		t.refused(err)
		return
	}
	t.mu.Lock()
	t.wipe = false
	t.mu.Unlock()
}

// resting reports whether the disk has refused something lately.
func (t *tier) resting() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now().Before(t.resume)
}

// keep writes an answer.
func (t *tier) keep(o order) {
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.queued -= o.entry.weight()
		if t.coming[o.hash]--; t.coming[o.hash] <= 0 {
			delete(t.coming, o.hash)
		}
	}()
	t.mu.Lock()
	skip := t.wipe || t.now().Before(t.resume) || t.stamp(o.hash) != o.stamp
	t.mu.Unlock()
	if skip {
		t.lost.Add(1)
		return
	}
	place, err := t.append(recordAnswer, appendHead(nil, o.key, o.entry), o.entry.body)
	if err != nil {
		t.lost.Add(1)
		if !errors.Is(err, disk.ErrTooLarge) {
			t.refused(err)
		}
		return
	}
	h := answerHead{key: o.key, arrived: o.entry.arrived, chosen: o.entry.chosen, header: o.entry.header}
	t.mu.Lock()
	t.pause = pauseLeast
	if !t.wipe && t.stamp(o.hash) == o.stamp {
		t.insert(spotOf(o.hash, &h, place))
	}
	t.mu.Unlock()
	t.written.Add(1)
	t.bound()
}

// note writes that something is taken back. If that cannot be written, nothing on disk may be used any more: after a restart
// it would be there again.
func (t *tier) note(o order, head []byte) {
	t.mu.Lock()
	wipe := t.wipe
	t.mu.Unlock()
	if wipe {
		return
	}
	_, err := t.append(o.kind, head, nil)
	if err == nil && o.done != nil {
		err = t.log.Sync()
	}
	if err == nil {
		t.unsynced = o.done == nil
		return
	}
	t.mu.Lock()
	t.clear()
	t.mu.Unlock()
	t.empty()
}

// append appends a record. On a full disk the oldest file makes room.
func (t *tier) append(kind disk.Kind, head []byte, body [][]byte) (disk.Place, error) {
	place, err := t.log.Append(kind, head, body)
	if disk.Full(err) && t.log.DropOldest() == nil {
		place, err = t.log.Append(kind, head, body)
	}
	return place, err
}

// refused takes note that the disk refuses to be written.
func (t *tier) refused(err error) {
	t.failures.Add(1)
	if t.resting() {
		return
	}
	t.mu.Lock()
	t.resume = t.now().Add(t.pause)
	t.pause = min(2*t.pause, pauseMost)
	t.mu.Unlock()
	t.o.Failed(err)
}

// settle brings what was noted to the disk, and lets the index be used as soon as it is complete.
func (t *tier) settle() {
	if t.unsynced {
		t.unsynced = false
		if err := t.log.Sync(); err != nil {
			t.refused(err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.orders) == 0 {
		t.ready = true
	}
}

// close writes what is worth it, and gives the folder back. What is offered from then on is lost.
func (t *tier) close(leftover func(yield func(*resource) bool)) {
	if t.log != nil {
		for t.step() {
		}
		end := t.now().Add(flushMost)
		leftover(func(r *resource) bool {
			t.offer(r)
			for t.step() {
			}
			return t.now().Before(end)
		})
	}
	t.mu.Lock()
	t.closed, t.ready = true, false
	for _, o := range t.orders {
		if o.done != nil {
			o.done <- errClosed
		}
	}
	t.orders = nil
	t.mu.Unlock()
	if t.log != nil {
		_ = t.log.Close()
	}
}
