package wire

import (
	"io"
	"testing"
	"time"

	"stormdoor/flow"
)

func answerEmpty(ex Exchange) {
	_ = ex.Respond(204, flow.Header{}, -1)
	_ = ex.End(flow.Header{})
}

// While one exchange waits in Block, others on the same event loop are served, and it is on its loop still afterwards.
func TestBlockHoldsUpNobody(t *testing.T) {
	waits, goOn := make(chan struct{}), make(chan struct{})
	stays := make(chan bool, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		if ex.Request().Target == "/waits" {
			before := taskOf(ex.Context()) != nil
			Block(ex.Context(), func(<-chan struct{}) { close(waits); <-goOn })
			stays <- before == (taskOf(ex.Context()) != nil)
		}
		answerEmpty(ex)
	}})
	c := dialTest(t, addr)
	_, _ = io.WriteString(c, "GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
	<-waits
	if got := talk(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); len(got) < 12 || got[9:12] != "204" {
		t.Errorf("a neighbour got %q", got)
	}
	close(goOn)
	if !<-stays {
		t.Error("the exchange has left its event loop")
	}
}

// A visitor who leaves ends the wait.
func TestBlockTellsThatTheVisitorHasGone(t *testing.T) {
	waits, told := make(chan struct{}), make(chan bool, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		Block(ex.Context(), func(gone <-chan struct{}) {
			close(waits)
			select {
			case <-gone:
				told <- true
			case <-time.After(10 * time.Second):
				told <- false
			}
		})
	}})
	c := dialTest(t, addr)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-waits
	c.Close()
	if !<-told {
		t.Error("nobody said that the visitor has gone")
	}
}

// While one exchange waits for a word, others on its event loop are served, and it is on its loop still afterwards.
func TestAwaitHoldsUpNobody(t *testing.T) {
	wakes, stays := make(chan func(), 1), make(chan bool, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		if ex.Request().Target == "/waits" {
			before := taskOf(ex.Context()) != nil
			Await(ex.Context(), func() {}, func(wake func()) { wakes <- wake })
			Await(ex.Context(), func() {}, func(wake func()) { wake() })
			stays <- before == (taskOf(ex.Context()) != nil)
		}
		answerEmpty(ex)
	}})
	c := dialTest(t, addr)
	_, _ = io.WriteString(c, "GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
	wake := <-wakes
	if got := talk(t, addr, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); len(got) < 12 || got[9:12] != "204" {
		t.Errorf("a neighbour got %q", got)
	}
	wake()
	if !<-stays {
		t.Error("the exchange has left its event loop")
	}
}

// A visitor who leaves is heard of while his exchange waits.
func TestAwaitTellsThatTheVisitorHasGone(t *testing.T) {
	waits, over := make(chan struct{}), make(chan struct{})
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		var wake func()
		Await(ex.Context(), func() { wake() }, func(w func()) { wake = w; close(waits) })
		close(over)
	}})
	c := dialTest(t, addr)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-waits
	c.Close()
	<-over
}

// A round trip whose answer others want too goes on when the visitor leaves, on the event loop where it was, and its owner is told.
func TestShareOutlivesItsVisitor(t *testing.T) {
	waits, left, told := make(chan struct{}), make(chan struct{}), make(chan string, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		shared, cancel, stop := Share(ex.Context(), func() { close(left) })
		defer stop()
		if taskOf(shared) != taskOf(ex.Context()) {
			t.Error("it is on no event loop, or on another")
		}
		Block(shared, func(gone <-chan struct{}) {
			close(waits)
			<-left
			select {
			case <-gone:
				told <- "it ended with the visitor"
				return
			default:
			}
			cancel()
			<-gone
			if told <- ""; shared.Err() == nil {
				t.Error("it was ended without an error")
			}
		})
	}})
	c := dialTest(t, addr)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-waits
	c.Close()
	if problem := <-told; problem != "" {
		t.Error(problem)
	}
}
