//go:build amd64 || arm64

package state

import "unsafe"

// prefetch asks the processor to fetch the two cache lines at p, and waits for nothing. Go has no way to say so. (A load
// whose result nobody needs would do the same for as long as the processor can look ahead, which is less than a miss takes.)
//
//go:noescape
func prefetch(p unsafe.Pointer)
