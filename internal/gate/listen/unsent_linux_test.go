package listen

import (
	"net"
	"testing"
	"time"
)

// TestAVisitorWhoDoesNotReadHoldsLittleInTheKernel writes to a visitor who takes nothing, until nothing goes out any more.
func TestAVisitorWhoDoesNotReadHoldsLittleInTheKernel(t *testing.T) {
	addr := freeAddr(t)
	set, err := Open([]string{addr}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	d := net.Dialer{}
	visitor, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer visitor.Close()
	if err := visitor.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	c, err := set.Listener(addr).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	total, piece := 0, make([]byte, 32<<10)
	for {
		n, err := c.Write(piece)
		if total += n; err != nil {
			break
		}
	}
	// The visitor's own buffer, what is on its way and the bound.
	if most := 640 << 10; total > most {
		t.Errorf("the kernel took %d bytes for a visitor who reads nothing; at most %d are allowed", total, most)
	}
}
