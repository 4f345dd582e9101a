package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"go.etcd.io/bbolt"
)

// roots are the buckets that every file of this format has.
var roots = [][]byte{bucketMeta, bucketLogs, bucketDocuments, bucketQueues, bucketCounters, bucketExpiry}

// sub answers a bucket below a root, or nil.
func sub(tx *bbolt.Tx, root []byte, name string) *bbolt.Bucket {
	b := tx.Bucket(root)
	if b == nil { // the file is of an older format, and the disk too full to upgrade it
		return nil
	}
	return b.Bucket([]byte(name))
}

// ensure answers a bucket below a root and creates it if need be.
func ensure(tx *bbolt.Tx, root []byte, name string) (*bbolt.Bucket, error) {
	b, err := tx.Bucket(root).CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return nil, fmt.Errorf("create %s %q: %w", root, name, err)
	}
	return b, nil
}

func logBucket(tx *bbolt.Tx, name string) *bbolt.Bucket { return sub(tx, bucketLogs, name) }

// key makes a key of a kind and the names before the last one, each behind its
// length, so that no two lists of names make the same key. The last name of a
// key is appended as it is: keys that differ in it only are in its byte order.
func key(kind byte, names ...string) []byte {
	n := 1
	for _, name := range names {
		n += binary.MaxVarintLen16 + len(name)
	}
	k := append(make([]byte, 0, n+16), kind)
	for _, name := range names {
		k = appendName(k, name)
	}
	return k
}

func appendName(k []byte, name string) []byte {
	k = binary.AppendUvarint(k, uint64(len(name)))
	return append(k, name...)
}

// appendRank keeps the order of ranks as that of bytes.
func appendRank(k []byte, rank int64) []byte {
	return binary.BigEndian.AppendUint64(k, uint64(rank)^(1<<63)) //nolint:gosec // the same bits
}

// appendRankDown is appendRank with the highest first.
func appendRankDown(k []byte, rank int64) []byte {
	return binary.BigEndian.AppendUint64(k, ^uint64(rank)^(1<<63)) //nolint:gosec // the same bits
}

// seek answers the first key at or after from that begins with prefix, without
// the prefix; ok is false when there is none.
func seek(c *bbolt.Cursor, prefix, from []byte) (rest, value []byte, ok bool) {
	k, v := c.Seek(from)
	return cut(k, v, prefix)
}

func next(c *bbolt.Cursor, prefix []byte) (rest, value []byte, ok bool) {
	k, v := c.Next()
	return cut(k, v, prefix)
}

func cut(k, v, prefix []byte) ([]byte, []byte, bool) {
	rest, ok := bytes.CutPrefix(k, prefix)
	return rest, v, ok && k != nil
}

// count reads a number; 0 when it is not there or damaged, for it is only used
// as a bound.
func count(b *bbolt.Bucket, k []byte) int {
	v, n := binary.Uvarint(b.Get(k))
	if n <= 0 || v > math.MaxInt32 {
		return 0
	}
	return int(v)
}

func setCount(b *bbolt.Bucket, k []byte, n int) error {
	if n <= 0 {
		return b.Delete(k)
	}
	return b.Put(k, binary.AppendUvarint(nil, uint64(n)))
}

// seekLast answers the last key that begins with prefix or comes before it.
func seekLast(c *bbolt.Cursor, prefix []byte) (k, v []byte) {
	end := bytes.Clone(prefix) // becomes the first key behind all with the prefix
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			end = end[:i+1]
			break
		}
	}
	if k, _ := c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// rankDown reads what appendRankDown wrote.
func rankDown(b []byte) int64 {
	return int64(^binary.BigEndian.Uint64(b) ^ (1 << 63)) //nolint:gosec // the same bits
}
