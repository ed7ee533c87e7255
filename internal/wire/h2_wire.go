package wire

import (
	"encoding/binary"
	"fmt"
)

// h2Preface is what a client sends first (RFC 9113, section 3.4).
const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Sizes in bytes.
const (
	h2FrameHead = 9
	// h2FrameMax is the largest payload in both directions: the protocol's default, which every client must take.
	h2FrameMax  = 16384
	h2WindowMax = 1<<31 - 1
	// h2WindowStart is the window of a stream and of a connection before anything is said about it.
	h2WindowStart = 65535
)

// h2Type is the type of a frame (RFC 9113, section 6).
type h2Type uint8

const (
	h2Data h2Type = iota
	h2Headers
	h2Priority
	h2Reset
	h2Settings
	h2Push
	h2Ping
	h2Goaway
	h2Update
	h2Continuation
)

// Flags of frames.
const (
	h2FlagEnd        = 0x1 // END_STREAM
	h2FlagAck        = 0x1
	h2FlagEndHeaders = 0x4
	h2FlagPadded     = 0x8
	h2FlagPriority   = 0x20
)

// Settings (RFC 9113, section 6.5.2; RFC 8441; RFC 9218).
const (
	h2SetTable      = 1
	h2SetPush       = 2
	h2SetStreams    = 3
	h2SetWindow     = 4
	h2SetFrame      = 5
	h2SetList       = 6
	h2SetConnect    = 8
	h2SetNoPriority = 9
)

// h2Code is an error code (RFC 9113, section 7).
type h2Code uint32

const (
	h2No           h2Code = 0
	h2Protocol     h2Code = 1
	h2Internal     h2Code = 2
	h2FlowControl  h2Code = 3
	h2StreamClosed h2Code = 5
	h2FrameSize    h2Code = 6
	h2Refused      h2Code = 7
	h2Cancel       h2Code = 8
	h2Compression  h2Code = 9
	h2EnhanceCalm  h2Code = 11
)

// h2ConnError ends a connection with GOAWAY.
type h2ConnError struct {
	code h2Code
	what string
}

func (e *h2ConnError) Error() string {
	return fmt.Sprintf("HTTP/2 error %d: %s", e.code, e.what)
}

// h2Frame is the head of a frame.
type h2Frame struct {
	length int
	kind   h2Type
	flags  byte
	id     uint32
}

func (f h2Frame) has(flag byte) bool { return f.flags&flag != 0 }

func h2ReadFrame(b []byte) h2Frame {
	return h2Frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   h2Type(b[3]),
		flags:  b[4],
		id:     binary.BigEndian.Uint32(b[5:]) & (1<<31 - 1),
	}
}

func h2AppendFrame(dst []byte, length int, kind h2Type, flags byte, id uint32) []byte {
	dst = append(dst, byte(length>>16), byte(length>>8), byte(length), byte(kind), flags)
	return binary.BigEndian.AppendUint32(dst, id)
}

// h2PutLength writes the length of the frame whose head is b.
func h2PutLength(b []byte, n int) { b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) }

// h2Unpad strips the padding of a payload (RFC 9113, section 6.1).
func h2Unpad(f h2Frame, p []byte) ([]byte, bool) {
	if !f.has(h2FlagPadded) {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}
