package reactor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts f as a task for each connection that comes, on n loops.
func serve(t testing.TB, n int, f func(*Conn)) (addr string) {
	t.Helper()
	return serveWith(t, n, func(c *Conn) { c.Start(func() { f(c) }, nil) })
}

func serveWith(t testing.TB, n int, start func(*Conn)) (addr string) {
	t.Helper()
	g, err := New(n)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no event loops here")
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if l, err = g.Listener(l); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = g.Run(ctx) })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			start(c.(*Conn))
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		all.Wait()
	})
	return l.Addr().String()
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // a busy machine takes its time
	return c.(*net.TCPConn)
}

func echo(c *Conn) {
	defer c.Close()
	buf := make([]byte, 1000)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		b := net.Buffers{buf[:n/2], buf[n/2 : n]}
		if _, err := c.WriteBuffers(&b); err != nil {
			return
		}
	}
}

// Every byte comes back in order, however many connections there are and however the other end reads.
func TestEcho(t *testing.T) {
	addr := serve(t, 2, echo)
	var all sync.WaitGroup
	for k := range 40 {
		all.Go(func() {
			c := dial(t, addr)
			sent := make([]byte, 300<<10)
			r := rand.New(rand.NewPCG(uint64(k), 1))
			for i := range sent {
				sent[i] = byte(r.Uint32())
			}
			all.Go(func() {
				for rest := sent; len(rest) > 0; {
					n := min(1+r.IntN(40<<10), len(rest))
					if _, err := c.Write(rest[:n]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[n:]
				}
				_ = c.CloseWrite()
			})
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("connection %d: %d of %d bytes, equal: %v, %v", k, len(got), len(sent), bytes.Equal(got, sent), err)
			}
		})
	}
	all.Wait()
}

func TestDeadlines(t *testing.T) {
	type result struct {
		err  error
		took time.Duration
	}
	results := make(chan result, 3)
	read := func(c *Conn) {
		began := time.Now()
		_, err := c.Read(make([]byte, 1))
		results <- result{err, time.Since(began)}
	}
	addr := serve(t, 1, func(c *Conn) {
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(120 * time.Millisecond))
		read(c)
		_ = c.SetReadDeadline(time.Unix(1, 0))
		read(c)
		_ = c.SetDeadline(time.Time{})
		read(c)
	})
	c := dial(t, addr)
	if r := <-results; !errors.Is(r.err, os.ErrDeadlineExceeded) || r.took < 110*time.Millisecond || r.took > 5*time.Second {
		t.Errorf("a deadline in 120 ms: %v after %v", r.err, r.took)
	}
	if r := <-results; !errors.Is(r.err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline in the past: %v", r.err)
	}
	_, _ = c.Write([]byte("x"))
	if r := <-results; r.err != nil {
		t.Errorf("without a deadline: %v", r.err)
	}
}

// A write deadline ends a write that the other end does not take.
func TestWriteDeadline(t *testing.T) {
	result := make(chan error, 1)
	addr := serve(t, 1, func(c *Conn) {
		defer c.Close()
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Write(make([]byte, 32<<20))
		result <- err
	})
	dial(t, addr)
	if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// Other goroutines break off a read by a deadline, or by closing the connection.
func TestOthersInterrupt(t *testing.T) {
	conns, result := make(chan *Conn, 1), make(chan error, 1)
	addr := serve(t, 1, func(c *Conn) {
		defer c.Close()
		for {
			conns <- c
			_, err := c.Read(make([]byte, 1))
			_ = c.SetDeadline(time.Time{})
			if result <- err; errors.Is(err, net.ErrClosed) {
				return
			}
		}
	})
	dial(t, addr)
	_ = (<-conns).SetDeadline(time.Unix(1, 0))
	if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("SetDeadline: %v", err)
	}
	_ = (<-conns).Close()
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
}

// A parked connection costs no task, and goes on when something comes, when its deadline passes and when it is closed.
func TestPark(t *testing.T) {
	said := make(chan string, 10)
	conns := make(chan *Conn, 1)
	addr := serveWith(t, 1, func(c *Conn) {
		var again func()
		again = func() {
			var b [10]byte
			n, err := c.Read(b[:])
			switch {
			case err == nil:
				said <- string(b[:n])
				_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			case errors.Is(err, os.ErrDeadlineExceeded):
				said <- "late"
				_ = c.SetReadDeadline(time.Time{})
				conns <- c
			default:
				said <- err.Error()
				_ = c.Close()
				return
			}
			c.Park(again)
		}
		c.Start(func() { c.Park(again) }, nil)
	})
	c := dial(t, addr)
	for _, word := range []string{"one", "two"} {
		_, _ = io.WriteString(c, word)
		if got := <-said; got != word {
			t.Errorf("%q, want %q", got, word)
		}
	}
	if got := <-said; got != "late" {
		t.Errorf("%q, want the deadline", got)
	}
	_ = (<-conns).Close()
	if got := <-said; got == "" || got == "late" {
		t.Errorf("%q, want that it is closed", got)
	}
}

// More takes what came together with a read that was filled. It does not wait, and leaves the end to Read.
func TestMore(t *testing.T) {
	said := make(chan string)
	addr := serve(t, 1, func(c *Conn) {
		defer c.Close()
		for {
			var b [10]byte
			n, err := c.Read(b[:1])
			if err != nil {
				said <- err.Error()
				return
			}
			k := c.More(b[n:])
			said <- string(b[:n+k])
			if k := c.More(b[:]); k != 0 {
				said <- string(b[:k])
			}
		}
	})
	c := dial(t, addr)
	for _, word := range []string{"abc", "d", "efghijklmn", "o"} {
		_, _ = io.WriteString(c, word) // one segment
		if got := <-said; got != word {
			t.Errorf("%q, want %q", got, word)
		}
	}
	_ = c.CloseWrite()
	if got := <-said; got != io.EOF.Error() {
		t.Errorf("%q, want the end", got)
	}
}

// A task that has left its loop may block, and the loop goes on with others.
func TestLeave(t *testing.T) {
	block := make(chan bool)
	addr := serve(t, 1, func(c *Conn) {
		defer c.Close()
		var b [1]byte
		if _, err := c.Read(b[:]); err != nil {
			return
		}
		if b[0] == 'b' {
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			c.Task().Leave()
			if c.Task() != nil {
				t.Error("it is still on the loop")
			}
			<-block
		}
		_, _ = c.Write(b[:])
		_, _ = io.Copy(c, c)
	})
	blocked, other := dial(t, addr), dial(t, addr)
	ask := func(c net.Conn, word string) {
		t.Helper()
		_, _ = io.WriteString(c, word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
			t.Errorf("%q, %v; want %q", got, err, word)
		}
	}
	_, _ = io.WriteString(blocked, "b")
	ask(other, "o")
	close(block)
	got := make([]byte, 1)
	if _, err := io.ReadFull(blocked, got); err != nil || got[0] != 'b' {
		t.Errorf("%q, %v", got, err)
	}
	ask(blocked, "and on")
}

// A connection that has left comes back to its loop with what has been sent meanwhile, whoever closes it on the way.
func TestReturn(t *testing.T) {
	addr := serve(t, 1, func(c *Conn) {
		var b [1]byte
		if _, err := c.Read(b[:]); err != nil {
			_ = c.Close()
			return
		}
		c.Task().Leave()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadFull(c, b[:]); err != nil {
			t.Error(err)
		}
		var other sync.WaitGroup
		defer other.Wait()
		if b[0] == 'c' {
			other.Go(func() { _ = c.Close() })
		}
		if !c.Return(func() {
			if c.Task() == nil {
				t.Error("it is not on the loop")
			}
			echo(c)
		}) {
			_ = c.Close()
		}
	})
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			c, word := dial(t, addr), "ab and what comes behind it"
			if i%2 == 1 {
				word = "ac"
			}
			_, _ = io.WriteString(c, word)
			_ = c.CloseWrite()
			got, err := io.ReadAll(c)
			if i%2 == 0 && (err != nil || string(got) != word[2:]) {
				t.Errorf("%q, %v; want %q", got, err, word[2:])
			}
		})
	}
	all.Wait()
}

// Block lets the loop go on, and Adopt takes a connection in that was opened meanwhile.
func TestBlockAndAdopt(t *testing.T) {
	origin := serve(t, 1, echo)
	block := make(chan bool)
	addr := serve(t, 1, func(c *Conn) {
		defer c.Close()
		var b [16]byte
		n, err := c.Read(b[:])
		if err != nil {
			return
		}
		var up net.Conn
		c.Task().Block(func() {
			if b[0] == 'b' {
				<-block
			}
			up, err = net.Dial("tcp", origin)
		})
		if err != nil {
			t.Error(err)
			return
		}
		looped, err := c.Task().Adopt(up.(*net.TCPConn))
		if err != nil {
			t.Error(err)
			return
		}
		defer looped.Close()
		_, _ = looped.Write(b[:n])
		n, _ = looped.Read(b[:])
		_, _ = c.Write(b[:n])
	})
	blocked, other := dial(t, addr), dial(t, addr)
	_, _ = io.WriteString(blocked, "b")
	_, _ = io.WriteString(other, "o")
	if got, err := io.ReadAll(other); string(got) != "o" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	close(block)
	if got, err := io.ReadAll(blocked); string(got) != "b" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHangUpIsNoticedWhileNobodyReads(t *testing.T) {
	origin := serve(t, 1, echo)
	gone, ended := make(chan bool, 1), make(chan bool)
	addr := serveWith(t, 1, func(c *Conn) {
		c.Start(func() {
			defer close(ended)
			defer c.Close()
			var up net.Conn
			c.Task().Block(func() { up, _ = net.Dial("tcp", origin) })
			silent, err := c.Task().Adopt(up.(*net.TCPConn))
			if err != nil {
				t.Error(err)
				return
			}
			defer silent.Close()
			_ = silent.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			_, _ = silent.Read(make([]byte, 1))
			if !c.HungUp() {
				t.Error("HungUp says no")
			}
		}, func() { gone <- true })
	})
	c := dial(t, addr)
	_ = c.Close()
	<-gone
	<-ended
}

// A task that always has something to do leaves the others their turn.
func TestShare(t *testing.T) {
	addr := serve(t, 1, echo)
	busy := dial(t, addr)
	stop := make(chan bool)
	var all sync.WaitGroup
	all.Go(func() { _, _ = io.Copy(io.Discard, busy) })
	all.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			select {
			case <-stop:
				_ = busy.CloseWrite()
				return
			default:
				if _, err := busy.Write(buf); err != nil {
					return
				}
			}
		}
	})
	for i := range 50 {
		c := dial(t, addr)
		word := strconv.Itoa(i)
		_, _ = io.WriteString(c, word)
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != word {
			t.Errorf("%q, %v", got, err)
		}
	}
	close(stop)
	all.Wait()
}

// What came in before the listener was closed is served.
func TestListenerHandsOutWhatItHasAccepted(t *testing.T) {
	g, err := New(1)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no event loops here")
	}
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := g.Listener(inner)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		dial(t, l.Addr().String())
	}
	n := 0
	for {
		c, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			break
		}
		if local, remote := c.(*Conn).AddrPorts(); local.String() != l.Addr().String() || !remote.IsValid() {
			t.Errorf("from %v to %v", remote, local)
		}
		if n++; n == 1 {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		c.(*Conn).release()
	}
	if n != 5 {
		t.Errorf("%d connections handed out, 5 were accepted", n)
	}
	g.discard()
}

// Later waits for the tasks that can go on in the same round.
func TestGoAndLater(t *testing.T) {
	g, err := New(1)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no event loops here")
	}
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	done := make(chan bool)
	both := func(task *Task) {
		task.Later(func() { close(done) })
		order = append(order, "first")
	}
	if !g.Go(0, both) || !g.Go(0, func(*Task) { order = append(order, "second") }) {
		t.Fatal("the loop takes no tasks")
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- g.Run(ctx) }()
	<-done
	if len(order) != 2 {
		t.Errorf("before what is for later only %v has run", order)
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if g.Go(0, both) || (*Group)(nil).Go(0, both) {
		t.Error("a task was taken by a loop that has ended, or by none")
	}
}

// When the loops end, whoever waits on them is told, and Run waits for that.
func TestRunEndsTasks(t *testing.T) {
	g, err := New(1)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no event loops here")
	}
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := g.Listener(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- g.Run(ctx) }()
	begun, result := make(chan bool), make(chan error, 1)
	start := func() {
		dial(t, l.Addr().String())
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.(*Conn).Start(func() {
			begun <- true
			_, err := c.Read(make([]byte, 1))
			result <- err
		}, nil)
	}
	start()
	<-begun
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("whoever waited was told %v", err)
	}
	start() // there is nobody to start it any more: the connection is closed
}
