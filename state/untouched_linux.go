package state

import (
	"os"
	"syscall"
	"unsafe"
)

// untouched gives the memory of a new, empty table back to the system until it is used. Go clears what it hands out where
// the process has used that memory before, and so would make all of a table resident; by madvise(2), private
// memory reads as zeros after MADV_DONTNEED. Only whole pages are given back. Where the system declines, nothing is lost.
func untouched(sets []set) {
	page := os.Getpagesize()
	all := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(sets))), len(sets)*int(setSize))
	head := int(-uintptr(unsafe.Pointer(unsafe.SliceData(all))) & uintptr(page-1))
	if whole := (len(all) - head) / page * page; whole > 0 {
		_ = syscall.Madvise(all[head:head+whole], syscall.MADV_DONTNEED)
	}
}
