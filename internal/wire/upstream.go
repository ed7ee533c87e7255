package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// UpstreamConfig says how one origin address is spoken to. Only Network and Address have no default.
type UpstreamConfig struct {
	// Network is "tcp" with an Address host:port, or "unix" with a path.
	Network, Address string
	// TLS is the client's configuration, nil for a clear connection. It is copied; ALPN is set as HTTP2 says, and an empty
	// ServerName becomes the host of Address.
	TLS *tls.Config
	// HTTP2 speaks HTTP/2: by ALPN with TLS, with prior knowledge without.
	HTTP2 bool
	// ConnectTimeout bounds connecting, TLS handshake included; 0 stands for 5 s.
	ConnectTimeout time.Duration
	// ResponseTimeout bounds the wait for the head of the answer once the request is sent; 0 stands for 60 s.
	ResponseTimeout time.Duration
	// IdleTimeout ends an exchange in which nothing has moved for that long; 0 stands for 5 min. A stream after a
	// protocol switch is not bound by it.
	IdleTimeout time.Duration
	// KeepIdle is how long an unused connection is kept; 0 stands for 30 s.
	KeepIdle time.Duration
	// MaxIdle is how many unused connections are kept; 0 stands for 256, a negative number for none. It is for
	// HTTP/1.1: HTTP/2 shares a few.
	MaxIdle int
	// MaxHeadBytes bounds the head of an answer and its trailer section, each; 0 stands for 64 KiB.
	MaxHeadBytes int
	// Dial replaces the dialer; nil stands for net.Dialer. TLS is put on top of what it returns.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// upMaxFields bounds the fields of an answer's head and trailer section, each.
const upMaxFields = 500

// upMaxInforms bounds the interim answers to one request.
const upMaxInforms = 16

// NewUpstream returns a client for one origin address. It opens connections when they are needed.
func NewUpstream(cfg UpstreamConfig) Upstream {
	cfg = cfg.withDefaults()
	if cfg.HTTP2 {
		return newH2Upstream(cfg)
	}
	return &h1Upstream{cfg: cfg}
}

func (cfg UpstreamConfig) withDefaults() UpstreamConfig {
	duration := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	duration(&cfg.ConnectTimeout, 5*time.Second)
	duration(&cfg.ResponseTimeout, time.Minute)
	duration(&cfg.IdleTimeout, 5*time.Minute)
	duration(&cfg.KeepIdle, 30*time.Second)
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = 256
	}
	if cfg.MaxHeadBytes <= 0 {
		cfg.MaxHeadBytes = 64 << 10
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.NextProtos = []string{"http/1.1"}
		if cfg.HTTP2 {
			cfg.TLS.NextProtos = []string{"h2"}
		}
		if cfg.TLS.ServerName == "" {
			cfg.TLS.ServerName = cfg.Address
			if host, _, err := net.SplitHostPort(cfg.Address); err == nil {
				cfg.TLS.ServerName = host
			}
		}
	}
	return cfg
}

// dial opens a connection, with TLS where the configuration asks for it.
func (cfg *UpstreamConfig) dial(ctx context.Context) (net.Conn, error) {
	visitor := ctx
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	c, err := cfg.Dial(ctx, cfg.Network, cfg.Address)
	if err == nil && cfg.TLS != nil {
		c, err = cfg.handshake(ctx, c)
	}
	switch {
	case err == nil:
		return c, nil
	case visitor.Err() != nil:
		return nil, cfg.fault(FaultCanceled, true, visitor.Err())
	}
	return nil, cfg.fault(FaultDial, true, err)
}

func (cfg *UpstreamConfig) handshake(ctx context.Context, c net.Conn) (net.Conn, error) {
	t := tls.Client(c, cfg.TLS)
	err := t.HandshakeContext(ctx)
	if got := t.ConnectionState().NegotiatedProtocol; err == nil && got != "h2" && cfg.HTTP2 {
		err = errors.New("it does not speak HTTP/2 (ALPN)")
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return t, nil
}

// fault wraps err in an UpstreamError that names the origin.
func (cfg *UpstreamConfig) fault(f Fault, unseen bool, err error) *UpstreamError {
	return &UpstreamError{Fault: f, Unseen: unseen, Err: fmt.Errorf("origin %s: %s: %w", cfg.Address, f, err)}
}

// String says what went wrong, for error messages.
func (f Fault) String() string {
	switch f {
	case FaultDial:
		return "no connection"
	case FaultStale:
		return "a kept connection was closed"
	case FaultSend:
		return "the request could not be sent"
	case FaultTimeout:
		return "no answer in time"
	case FaultClosed:
		return "closed before an answer"
	case FaultGarbage:
		return "the answer is not proper HTTP"
	case FaultBody:
		return "the request could not be read"
	case FaultCanceled:
		return "given up"
	}
	return "unknown fault"
}

// longAgo is a deadline that has passed: it unblocks whoever waits.
var longAgo = time.Unix(1, 0)

// interruptible is I/O that another goroutine can break off.
type interruptible interface{ interrupt() }

// watchedContext is a context that breaks off one piece of I/O when it ends, without an allocation. unwatch returns
// when interrupt has returned or can no longer be called.
type watchedContext interface {
	watch(interruptible) (ok bool)
	unwatch(interruptible)
}

// emptyBody is the body of a message without one.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }
