package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"stormdoor/internal/wire"
)

// HTTP3 is how HTTP/3 is served. The zero value takes the defaults.
type HTTP3 struct {
	// Admission bounds the connections together with those of TCP. Nil: no bounds.
	Admission *Admission
	// MaxHeaderBytes bounds a request's head. Default 64 KiB.
	MaxHeaderBytes int
	// Idle closes a connection on which nothing has moved for this long. Default 30 s.
	Idle time.Duration
	// Grace tells how long the end of ctx waits for requests under way. Nil: not at all.
	Grace func() time.Duration
	// ResetKey lets a process tell clients of an earlier one at once that their connection is gone, when both have the
	// same (stateless reset, RFC 9000, section 10.3). The zero value lets them run into their timeout.
	ResetKey [32]byte
	// Log takes what the QUIC library says of failures, for debugging. Nil: nothing is said.
	Log *slog.Logger
}

const (
	http3Streams   = 100 // requests at once on one connection
	http3UniStream = 8   // control, QPACK encoder and decoder, and room for GREASE
	quicUnverified = 100 // connections a second from addresses that nobody has checked, twice as many at once
)

// ServeHTTP3 serves HTTP/3 on pc with the TLS configuration for it (Certificates.TLSConfig) until ctx ends; then it
// returns nil. Exchanges made by wire.StdHandler know their connection. 0-RTT is refused, because a stage could not
// tell a replay. pc stays open.
//
// Connections do not survive a handover: QUIC has its state in the process, and two processes on one socket take each
// other's packets. So the old process ends ServeHTTP3 before it lets the new one begin.
func ServeHTTP3(ctx context.Context, pc net.PacketConn, c *tls.Config, h http.Handler, o HTTP3) error {
	o = o.withDefaults()
	t := &quic.Transport{Conn: pc, ConnContext: o.admit, VerifySourceAddress: o.verifier()}
	if o.ResetKey != [32]byte{} {
		key := quic.StatelessResetKey(o.ResetKey)
		t.StatelessResetKey = &key
	}
	ln, err := t.ListenEarly(http3.ConfigureTLSConfig(c), &quic.Config{
		HandshakeIdleTimeout:           5 * time.Second,
		MaxIdleTimeout:                 o.Idle,
		InitialStreamReceiveWindow:     64 << 10,
		MaxStreamReceiveWindow:         1 << 20,
		InitialConnectionReceiveWindow: 128 << 10,
		MaxConnectionReceiveWindow:     2 << 20,
		MaxIncomingStreams:             http3Streams,
		MaxIncomingUniStreams:          http3UniStream,
	})
	if err != nil {
		return fmt.Errorf("serve HTTP/3 on %s: %w", pc.LocalAddr(), err)
	}
	srv := &http3.Server{
		Handler:        h,
		MaxHeaderBytes: o.MaxHeaderBytes,
		IdleTimeout:    o.Idle,
		Logger:         o.Log,
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context {
			if q, ok := ctx.Value(quicKey{}).(*quicConn); ok {
				q.info.Local = addrPort(c.LocalAddr())
				return wire.StdConnContext(ctx, q)
			}
			return ctx
		},
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeListener(ln) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = o.shutdown(srv, done)
	}
	err = errors.Join(err, ln.Close(), t.Close())
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, quic.ErrServerClosed) {
		return fmt.Errorf("serve HTTP/3 on %s: %w", pc.LocalAddr(), err)
	}
	return nil
}

// shutdown lets requests under way end within the grace.
func (o HTTP3) shutdown(srv *http3.Server, done chan error) error {
	if o.Grace != nil {
		within, cancel := context.WithTimeout(context.Background(), o.Grace())
		defer cancel()
		_ = srv.Shutdown(within) // its error says that the grace is over
	}
	_ = srv.Close()
	return <-done
}

func (o HTTP3) withDefaults() HTTP3 {
	if o.MaxHeaderBytes <= 0 {
		o.MaxHeaderBytes = 64 << 10
	}
	if o.Idle <= 0 {
		o.Idle = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// quicKey is the context key of a *quicConn.
type quicKey struct{}

// quicConn stands for a QUIC connection where a net.Conn is asked what it knows. It has no bytes to read.
type quicConn struct {
	net.Conn
	a    *Admission
	info wire.Conn
}

// Info tells what is known of the connection.
func (q *quicConn) Info() *wire.Conn { return &q.info }

func (q *quicConn) greeted(serverName, ja4 string) { q.info.ServerName, q.info.JA4 = serverName, ja4 }
func (q *quicConn) mayHandshake() bool             { return q.a == nil || q.a.mayHandshake(&q.info) }
func (q *quicConn) refuse()                        {}

// errQUICRefused ends a connection attempt.
var errQUICRefused = errors.New("too many connections")

func (o HTTP3) admit(ctx context.Context, ci *quic.ClientInfo) (context.Context, error) {
	q := &quicConn{a: o.Admission}
	q.info.TLS = true
	q.info.Peer = addrPort(ci.RemoteAddr)
	if o.Admission != nil {
		leave := o.Admission.enter(q.info.Peer.Addr())
		if leave == nil {
			return nil, errQUICRefused
		}
		context.AfterFunc(ctx, leave)
	}
	return context.WithValue(ctx, quicKey{}, q), nil
}

// verifier says when a client has to prove its address by a Retry (RFC 9000, section 8.1.2): always but for a few a
// second, so that a flood of forged addresses costs neither signatures nor connections.
func (o HTTP3) verifier() func(net.Addr) bool {
	free, now := newBudget(), time.Now
	if o.Admission != nil {
		now = o.Admission.config.Load().Now
	}
	return func(net.Addr) bool {
		const second = int64(time.Second)
		return !free.take(now().UnixNano(), second/quicUnverified, 2*quicUnverified, true, false)
	}
}

// AltSvc is the value of the Alt-Svc field (RFC 7838) that tells clients of HTTP/3 on the same host at port.
func AltSvc(port uint16) string {
	return `h3=":` + strconv.Itoa(int(port)) + `"; ma=3600`
}
