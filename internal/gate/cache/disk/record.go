package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// Kind says what a record is to the log's owner. 0 is no kind.
type Kind uint8

// A record is a frame of frameSize bytes, the head and the body. The frame holds a mark, the kind, both lengths, the head's
// checksum and its own; the body is cut into blocks of BlockSize, each with a checksum behind it that begins with the head's
// and the block's number, so that no block can be taken for another. Checksums are CRC-32C.
const (
	frameSize = 28
	mark      = 0x31524453 // "SDR1"
	// BlockSize is the size of a body's blocks, the last of which may be shorter.
	BlockSize = 64 << 10
	sumSize   = 4
	// HeadMost bounds a head.
	HeadMost = 1 << 20
)

var (
	sums = crc32.MakeTable(crc32.Castagnoli)

	// ErrDamaged says that what was read is not what was written.
	ErrDamaged = errors.New("a record is damaged")
	errTorn    = errors.New("a record breaks off")
)

// frame is the fixed part of a record.
type frame struct {
	kind Kind
	head int   // length
	body int64 // length
	sum  uint32
}

// appendFrame appends the frame of a record.
func appendFrame(b []byte, kind Kind, head []byte, body int64) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, mark)
	b = append(b, byte(kind), 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	b = binary.LittleEndian.AppendUint64(b, uint64(body))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(head, sums))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], sums))
}

// parseFrame reads a frame; b holds at least frameSize bytes.
func parseFrame(b []byte) (f frame, err error) {
	le := binary.LittleEndian
	f = frame{kind: Kind(b[4]), head: int(le.Uint32(b[8:])), body: int64(le.Uint64(b[12:])), sum: le.Uint32(b[20:])}
	if le.Uint32(b) != mark || le.Uint32(b[24:]) != crc32.Checksum(b[:24], sums) || f.head > HeadMost || f.body < 0 || f.body > 1<<40 {
		return frame{}, ErrDamaged
	}
	return f, nil
}

// size is what the record takes on disk.
func (f frame) size() int64 { return frameSize + int64(f.head) + onDisk(f.body) }

// onDisk is what a body takes with its checksums.
func onDisk(body int64) int64 { return body + (body+BlockSize-1)/BlockSize*sumSize }

// blockSum is the checksum of a block.
func blockSum(head uint32, number int64, block []byte) uint32 {
	return crc32.Update(head^uint32(number), sums, block)
}

// blockWriter puts checksums between the blocks of a body on its way out.
type blockWriter struct {
	head   uint32
	number int64
	in     int // bytes of the block that have come
	sum    uint32
}

// append appends p to b, with the checksum of each block that it completes.
func (w *blockWriter) append(b, p []byte) []byte {
	for len(p) > 0 {
		if w.in == 0 {
			w.sum = w.head ^ uint32(w.number)
		}
		n := min(len(p), BlockSize-w.in)
		w.sum = crc32.Update(w.sum, sums, p[:n])
		b = append(b, p[:n]...)
		p = p[n:]
		if w.in += n; w.in == BlockSize {
			b = w.close(b)
		}
	}
	return b
}

// close appends the checksum of a block that has begun.
func (w *blockWriter) close(b []byte) []byte {
	if w.in == 0 {
		return b
	}
	w.number, w.in = w.number+1, 0
	return binary.LittleEndian.AppendUint32(b, w.sum)
}

// blocks cuts a body with its checksums, read from disk from block first on, into its blocks. They share b's memory.
func (f frame) blocks(b []byte, first int64) (list [][]byte, err error) {
	list = make([][]byte, 0, len(b)/(BlockSize+sumSize)+1)
	for number := first; len(b) > 0; number++ {
		n := min(BlockSize, len(b)-sumSize)
		if n < 0 || binary.LittleEndian.Uint32(b[n:]) != blockSum(f.sum, number, b[:n]) {
			return nil, ErrDamaged
		}
		list = append(list, slices.Clip(b[:n]))
		b = b[n+sumSize:]
	}
	return list, nil
}
