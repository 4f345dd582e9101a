package boltfile

import (
	"encoding/binary"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// The parts of bbolt's format that say where other parts are: a page is its number
// (8 bytes), kind (2), count of elements (2) and further pages (4), then its elements.
// An element of a branch is the place (4) and length (4) of its key and its page (8),
// one of a leaf its flags (4), place (4), length of key (4) and value (4); places are
// counted from the element. A bucket is a value that begins with the number of its
// root page (8) and a count (8); with the number 0 that page follows as it is. One of
// the first two pages tells where the list of free pages is (8), behind 48 bytes, and,
// behind 64, of which transaction (8).
const (
	pageHeader   = 16
	elementSize  = 16
	bucketHeader = 16
	metaFree     = 48
	metaTx       = 64
	branchPage   = 0x01
	leafPage     = 0x02
	freePage     = 0x10
	bucketFlag   = 0x01
)

// structure finds what would make bbolt's own check read outside of the file, which
// kills the process, or go on for ever: it follows all pages and looks at nothing but
// where they point to.
type structure struct {
	file  *os.File
	size  int    // of a page
	pages uint64 // in use at most
	seen  map[uint64]bool
}

// checkStructure answers an error that wraps [ErrCorrupt] for what it finds.
func checkStructure(file *os.File, tx *bbolt.Tx) error {
	size := tx.DB().Info().PageSize
	s := &structure{file: file, size: size, pages: uint64(tx.Size()) / uint64(size), seen: make(map[uint64]bool)}
	if err := s.free(uint64(tx.ID())); err != nil {
		return err
	}
	return s.page(uint64(tx.Cursor().Bucket().Root()))
}

func damage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// free looks at the list of free pages that this transaction sees.
func (s *structure) free(tx uint64) error {
	for id := range uint64(2) {
		b := make([]byte, s.size)
		if err := s.readAt(b, id); err != nil {
			return err
		}
		if binary.NativeEndian.Uint64(b[metaTx:]) != tx {
			continue
		}
		list, err := s.read(binary.NativeEndian.Uint64(b[metaFree:]))
		if err != nil {
			return err
		}
		if kind := binary.NativeEndian.Uint16(list[8:]); kind != freePage {
			return damage("the list of free pages is of the kind %d", kind)
		}
		return nil
	}
	return damage("no page tells of transaction %d", tx)
}

// page follows a page and those below it.
func (s *structure) page(id uint64) error {
	b, err := s.read(id)
	if err != nil {
		return err
	}
	switch kind := binary.NativeEndian.Uint16(b[8:]); kind {
	case branchPage:
		return s.branch(id, b)
	case leafPage:
		return s.leaf(id, b)
	default:
		return damage("page %d is of the kind %d", id, kind)
	}
}

// read answers a page with those that belong to it.
func (s *structure) read(id uint64) ([]byte, error) {
	if id < 2 || id >= s.pages || s.seen[id] {
		return nil, damage("a page points to page %d of %d", id, s.pages)
	}
	s.seen[id] = true
	b := make([]byte, s.size)
	if err := s.readAt(b, id); err != nil {
		return nil, err
	}
	more := uint64(binary.NativeEndian.Uint32(b[12:]))
	if self := binary.NativeEndian.Uint64(b); self != id || more >= s.pages-id {
		return nil, damage("page %d calls itself page %d and has %d more", id, self, more)
	}
	if more == 0 {
		return b, nil
	}
	b = make([]byte, (more+1)*uint64(s.size))
	return b, s.readAt(b, id)
}

func (s *structure) readAt(b []byte, id uint64) error {
	if _, err := s.file.ReadAt(b, int64(id)*int64(s.size)); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}

func (s *structure) branch(id uint64, b []byte) error {
	n := int(binary.NativeEndian.Uint16(b[10:]))
	if n == 0 {
		return damage("page %d is empty", id)
	}
	for i := range n {
		e := pageHeader + i*elementSize
		if e+elementSize > len(b) {
			return damage("page %d has no room for %d elements", id, n)
		}
		if _, ok := part(b, e, binary.NativeEndian.Uint32(b[e:]), binary.NativeEndian.Uint32(b[e+4:])); !ok {
			return damage("a key of page %d is outside of it", id)
		}
		if err := s.page(binary.NativeEndian.Uint64(b[e+8:])); err != nil {
			return err
		}
	}
	return nil
}

func (s *structure) leaf(id uint64, b []byte) error {
	n := int(binary.NativeEndian.Uint16(b[10:]))
	for i := range n {
		e := pageHeader + i*elementSize
		if e+elementSize > len(b) {
			return damage("page %d has no room for %d elements", id, n)
		}
		place, key := binary.NativeEndian.Uint32(b[e+4:]), binary.NativeEndian.Uint32(b[e+8:])
		all, ok := part(b, e, place, key, binary.NativeEndian.Uint32(b[e+12:]))
		if !ok {
			return damage("a value of page %d is outside of it", id)
		}
		if binary.NativeEndian.Uint32(b[e:])&bucketFlag == 0 {
			continue
		}
		if err := s.bucket(id, all[key:]); err != nil {
			return err
		}
	}
	return nil
}

// part answers what has these lengths together, so far behind the element at e.
func part(b []byte, e int, place uint32, lengths ...uint32) (p []byte, ok bool) {
	from := uint64(e) + uint64(place)
	to := from
	for _, n := range lengths {
		to += uint64(n)
	}
	if to > uint64(len(b)) {
		return nil, false
	}
	return b[from:to], true
}

// bucket follows a bucket in page id.
func (s *structure) bucket(id uint64, b []byte) error {
	if len(b) < bucketHeader {
		return damage("a bucket in page %d has %d bytes", id, len(b))
	}
	if root := binary.NativeEndian.Uint64(b); root != 0 {
		return s.page(root)
	}
	b = b[bucketHeader:]
	if len(b) < pageHeader || binary.NativeEndian.Uint16(b[8:]) != leafPage {
		return damage("a bucket in page %d is damaged", id)
	}
	return s.leaf(id, b)
}
