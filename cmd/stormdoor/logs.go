package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"stormdoor/internal/loop/observe"
	"stormdoor/policy"
)

// logs is where a door's log goes, as the policy in force says.
type logs struct {
	lines    *observe.Writer
	log      *slog.Logger
	terminal bool // a person sees standard error
	level    slog.LevelVar
	console  atomic.Bool
}

func newLogs(c policy.Log, stderr *os.File) (*logs, error) {
	l := &logs{}
	info, err := stderr.Stat()
	l.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	if l.lines, err = observe.NewWriter(c.File, stderr, int64(c.MaxRate), time.Now); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: &l.level}
	l.log = slog.New(handler{slog.NewJSONHandler(l.lines, o), slog.NewTextHandler(l.lines, o), &l.console})
	l.use(c)
	return l, nil
}

// use takes over what needs no file.
func (l *logs) use(c policy.Log) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cmpOr(c.Level, "info"))); err != nil {
		level = slog.LevelInfo // policy has checked it
	}
	l.level.Set(level)
	l.console.Store(c.Console(l.terminal))
}

// around puts other settings in force if apply succeeds. What apply logs goes to the old place.
func (l *logs) around(c policy.Log, apply func() error) error {
	change, err := l.lines.Prepare(c.File, int64(c.MaxRate))
	if err != nil {
		return err
	}
	if err := apply(); err != nil {
		return errors.Join(err, change.Discard())
	}
	l.use(c)
	if err := change.Commit(); err != nil {
		l.log.Warn("the old log file could not be closed", "error", err)
	}
	return nil
}

// handler writes for programs or for people.
type handler struct {
	json, text slog.Handler
	console    *atomic.Bool
}

func (h handler) current() slog.Handler {
	if h.console.Load() {
		return h.text
	}
	return h.json
}

// Enabled implements slog.Handler.
func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.json.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error { return h.current().Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(a []slog.Attr) slog.Handler {
	return handler{h.json.WithAttrs(a), h.text.WithAttrs(a), h.console}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.json.WithGroup(name), h.text.WithGroup(name), h.console}
}
