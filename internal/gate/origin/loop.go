package origin

import (
	"hash/maphash"
	"strings"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// loopField holds what a request has come through (RFC 8586). Via would say the same, and RFC 9110, section 7.6.3, asks a
// gateway for it; but some origins serve requests with a Via in another way, nginx without compression, and so the
// gateways that they know send none.
const loopField = "CDN-Loop"

// loopName begins the pseudonym of the door. The loop token follows, and a mark of the request.
const loopName = "stormdoor-"

// loopsMost bounds how often requests may come back that are another one each time. An origin may ask for a part of a page
// by its public name; one that puts something in front of each path would go round for ever.
const loopsMost = 4

// markSeed makes marks mean nothing outside of this process.
var markSeed = maphash.MakeSeed()

// appendMark appends what tells the request from another one: eight hexadecimal digits.
func appendMark(b []byte, r *wire.Request) []byte {
	n := maphash.String(markSeed, r.Method)*31 ^ maphash.String(markSeed, r.Authority)*7 ^ maphash.String(markSeed, r.Target)
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[n>>shift&15])
	}
	return b
}

// appendLoop appends the value of the field that r goes to an origin with.
func appendLoop(b []byte, token string, r *wire.Request) []byte {
	b = append(append(append(b, loopName...), token...), '.')
	return appendMark(b, r)
}

// looped reports whether the same request has been through a door with the token before, or too many others have on its
// way.
func looped(r *wire.Request, token string) bool {
	passed := 0
	for i := range r.Header.Len() {
		f := r.Header.At(i)
		if len(f.Name) != len(loopField) || !flow.EqualFold(f.Name, loopField) {
			continue
		}
		for rest := f.Value; ; passed++ {
			_, behind, ok := strings.Cut(rest, loopName+token)
			if !ok {
				break
			}
			var mark [9]byte
			if strings.HasPrefix(behind, string(appendMark(append(mark[:0], '.'), r))) {
				return true
			}
			rest = behind
		}
	}
	return passed >= loopsMost
}
