//go:build !amd64 && !arm64

package state

import "unsafe"

// prefetch does nothing where nobody has written down how.
func prefetch(unsafe.Pointer) {}
