//go:build !unix || solaris || aix

package disk

import "os"

// lock does nothing where the system has no flock: two doors must not be given one folder there.
func lock(*os.File) error { return nil }
