// Package unpack answers: what does a compressed body hold?
//
// It never makes more of a body than its limits allow, in bytes and in proportion to what came in, and says which limit it was.
package unpack

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Limits bounds what one body may become. A zero field stands for its default.
type Limits struct {
	// Bytes is the size that a body may have unpacked. Default 1 MiB.
	Bytes int
	// Ratio is how many times its packed size a body may become, once it is larger than 64 KiB. Default: the constant of this name.
	Ratio int
	// Codings is how many codings may lie on top of each other. Default 2.
	Codings int
}

// Most is what a body of a packed size may become by the default of Limits.Ratio, in bytes.
func Most(size int64) int64 { return max(free, size*Ratio) }

// Ratio is the default of Limits.Ratio: text packs 5 to 20 times, the worst that gzip can do is 1032.
const Ratio = 50

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 1 << 20
	}
	if l.Ratio <= 0 {
		l.Ratio = Ratio
	}
	if l.Codings <= 0 {
		l.Codings = 2
	}
	return l
}

// free is what a body may become whatever its ratio.
const free = 64 << 10

// window bounds what zstd and brotli may look back; RFC 8878 asks decoders for 8 MiB.
const window = 8 << 20

// Outcome says how unpacking ended. The zero value is the good end.
type Outcome uint8

// The outcomes. After TooLarge and TooDense the front of the body is there.
const (
	Whole          Outcome = iota
	Malformed              // the body is not of the coding that it claims; what came before is there
	TooLarge               // Limits.Bytes
	TooDense               // Limits.Ratio
	UnknownCoding          // nothing was unpacked
	TooManyCodings         // nothing was unpacked
)

var outcomeNames = [...]string{"whole", "malformed", "too large", "too dense", "unknown coding", "too many codings"}

func (o Outcome) String() string { return outcomeNames[o] }

// Unpacker unpacks bodies, one at a time, and keeps its decoders for the next. The zero value is ready for use. Its owner must
// Close it.
type Unpacker struct {
	source  bytes.Reader
	gzip    gzip.Reader
	brotli  *brotli.Reader
	zstd    *zstd.Decoder
	zlib    io.ReadCloser
	deflate io.ReadCloser
	between []byte
}

// Close releases the decoders.
func (u *Unpacker) Close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
	*u = Unpacker{}
}

// Unpack appends to dst what packed holds by the value of a Content-Encoding or grpc-encoding field, the last coding of its
// list first. An empty value and "identity" are no coding.
func (u *Unpacker) Unpack(dst, packed []byte, codings string, limits Limits) ([]byte, Outcome) {
	limits = limits.withDefaults()
	var list []string
	for coding := range strings.SplitSeq(codings, ",") {
		coding = strings.ToLower(strings.TrimSpace(coding))
		switch coding {
		case "", "identity":
			continue
		case "gzip", "x-gzip", "br", "zstd", "deflate":
			list = append(list, coding)
		default:
			return dst, UnknownCoding
		}
	}
	switch {
	case len(list) > limits.Codings:
		return dst, TooManyCodings
	case len(list) == 0:
		return append(dst, packed...), Whole
	}
	whole := len(packed)
	for i := len(list) - 1; i > 0; i-- {
		var outcome Outcome
		if u.between, outcome = u.one(nil, packed, list[i], whole, limits); outcome != Whole {
			return dst, outcome
		}
		packed = u.between
	}
	return u.one(dst, packed, list[0], whole, limits)
}

// one undoes one coding. whole is the size of the body as it came.
func (u *Unpacker) one(dst, packed []byte, coding string, whole int, limits Limits) ([]byte, Outcome) {
	u.source.Reset(packed)
	r, err := u.reader(coding, packed)
	if err != nil {
		return dst, Malformed
	}
	most := min(limits.Bytes, max(free, whole*limits.Ratio))
	begin := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, 4<<10)
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), begin+most+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-begin > most:
			dst = dst[:begin+most]
			if most == limits.Bytes {
				return dst, TooLarge
			}
			return dst, TooDense
		case err == io.EOF && u.source.Len() > 0:
			return dst, Malformed // something behind the end
		case err == io.EOF:
			return dst, Whole
		case err != nil:
			return dst, Malformed
		}
	}
}

// reader returns the decoder of a coding, set to u.source.
func (u *Unpacker) reader(coding string, packed []byte) (io.Reader, error) {
	switch coding {
	case "br":
		if u.brotli == nil {
			u.brotli = brotli.NewReader(&u.source)
			return u.brotli, nil
		}
		return u.brotli, u.brotli.Reset(&u.source)
	case "zstd":
		if u.zstd == nil {
			var err error
			if u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window)); err != nil {
				return nil, err
			}
		}
		return u.zstd, u.zstd.Reset(&u.source)
	case "deflate":
		return u.deflated(packed)
	default:
		return &u.gzip, u.gzip.Reset(&u.source)
	}
}

// deflated reads what RFC 9110 calls deflate, which is zlib's format, and what some clients send, which is not.
func (u *Unpacker) deflated(packed []byte) (r io.Reader, err error) {
	if isZlib(packed) {
		if isStored(packed) {
			return nil, errTwoWays
		}
		if u.zlib == nil {
			u.zlib, err = zlib.NewReader(&u.source)
			return u.zlib, err
		}
		return u.zlib, u.zlib.(zlib.Resetter).Reset(&u.source, nil)
	}
	if u.deflate == nil {
		u.deflate = flate.NewReader(&u.source)
		return u.deflate, nil
	}
	return u.deflate, u.deflate.(flate.Resetter).Reset(&u.source, nil)
}

// errTwoWays is why a body that is called deflate is not unpacked.
var errTwoWays = errors.New("the body is no zlib format, or also one without its header")

// isStored reports whether bytes begin as a stored block of deflate without a header does: the two bytes of zlib's header are the first of
// one, so that some programs would unpack the body in the one way and some in the other.
func isStored(packed []byte) bool {
	return len(packed) >= 5 && packed[0]&6 == 0 && packed[1] == ^packed[3] && packed[2] == ^packed[4]
}

// isZlib reports whether a body that is called deflate is in zlib's format, as RFC 9110 has it.
func isZlib(packed []byte) bool {
	return len(packed) >= 2 && packed[0]&0x0f == 8 && (uint(packed[0])<<8|uint(packed[1]))%31 == 0
}
