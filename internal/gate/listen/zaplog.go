package listen

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

// slogCore lets certmagic's zap logger write to slog. What certmagic calls information is for debugging here: the door
// says in its own words what matters (acme.event). What certmagic has for debugging is left out: it says several lines
// for each handshake. The rest is bounded, because some of it is said whenever a stranger asks for a challenge.
type slogCore struct {
	to     slog.Handler
	fields []zapcore.Field
	held   *zapQuiet
}

// zapQuiet lets so many lines through a minute.
type zapQuiet struct {
	mu    sync.Mutex
	since time.Time
	lines int
}

const zapLines = 60

func (q *zapQuiet) ok(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.since) >= quietFor {
		q.since, q.lines = now, 0
	}
	q.lines++
	return q.lines <= zapLines
}

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelWarn
	case l == zapcore.WarnLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (c slogCore) Enabled(l zapcore.Level) bool {
	return l > zapcore.DebugLevel && c.to.Enabled(context.Background(), slogLevel(l))
}

func (c slogCore) With(f []zapcore.Field) zapcore.Core {
	return slogCore{c.to, append(c.fields[:len(c.fields):len(c.fields)], f...), c.held}
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c slogCore) Write(e zapcore.Entry, f []zapcore.Field) error {
	if !c.held.ok(e.Time) {
		return nil
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, list := range [][]zapcore.Field{c.fields, f} {
		for _, one := range list {
			one.AddTo(enc)
		}
	}
	r := slog.NewRecord(e.Time, slogLevel(e.Level), "acme: "+e.Message, 0)
	for k, v := range enc.Fields {
		r.AddAttrs(slog.Any(k, v))
	}
	return c.to.Handle(context.Background(), r)
}

func (c slogCore) Sync() error { return nil }
