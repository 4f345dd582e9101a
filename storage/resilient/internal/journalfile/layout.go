package journalfile

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// The file's layout:
//
//	meta          bucket
//	  format      one byte, formatVersion
//	  last        8 bytes, the highest Seq that any record ever had
//	  producers   8 bytes each, the newest last
//	records       bucket
//	  <Seq>       8 bytes big endian → a record, see codec.go
//
// Numbers are big endian. The first is small, so that bbolt keeps it in the page of
// the root.
const formatVersion = 1

// maxProducers is how many producers are remembered.
const maxProducers = 8

var (
	bucketMeta    = []byte("meta")
	bucketRecords = []byte("records")
	keyFormat     = []byte("format")
	keyLast       = []byte("last")
	keyProducers  = []byte("producers")
)

func createBuckets(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketMeta, bucketRecords} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return tx.Bucket(bucketMeta).Put(keyFormat, []byte{formatVersion})
}

func readContents(tx *bbolt.Tx) Contents {
	c := Contents{LastSeq: lastSeq(tx)}
	for b := tx.Bucket(bucketMeta).Get(keyProducers); len(b) >= 8; b = b[8:] {
		c.Producers = append(c.Producers, storage.Producer(binary.BigEndian.Uint64(b)))
	}
	return c
}

// lastSeq is the highest Seq that any record ever had, as far as the file knows.
func lastSeq(tx *bbolt.Tx) uint64 {
	last, _ := keySeq(tx.Bucket(bucketMeta).Get(keyLast))
	k, _ := tx.Bucket(bucketRecords).Cursor().Last()
	top, _ := keySeq(k)
	return max(last, top)
}

func addProducer(tx *bbolt.Tx, p storage.Producer) error {
	meta := tx.Bucket(bucketMeta)
	b := binary.BigEndian.AppendUint64(append([]byte(nil), meta.Get(keyProducers)...), uint64(p))
	return meta.Put(keyProducers, b[max(0, len(b)-8*maxProducers):])
}

// writeBatch writes a batch; values are its encoded records.
func writeBatch(tx *bbolt.Tx, b Batch, values [][]byte) error {
	records := tx.Bucket(bucketRecords)
	records.FillPercent = 1 // records come in order
	for _, seq := range b.Delete {
		if err := records.Delete(seqKey(seq)); err != nil {
			return fmt.Errorf("delete record %d: %w", seq, err)
		}
	}
	for i, r := range b.Records {
		if err := records.Put(seqKey(r.Seq), values[i]); err != nil {
			return fmt.Errorf("write record %d: %w", r.Seq, err)
		}
	}
	if n := len(b.Records); n > 0 {
		last := max(lastSeq(tx), b.Records[n-1].Seq)
		if err := tx.Bucket(bucketMeta).Put(keyLast, seqKey(last)); err != nil {
			return fmt.Errorf("write the last number: %w", err)
		}
	}
	return nil
}

// removeAbove removes the records above a Seq.
func removeAbove(tx *bbolt.Tx, after uint64) (removed int, err error) {
	var keys [][]byte
	records := tx.Bucket(bucketRecords)
	c := records.Cursor()
	for k, _ := c.Last(); k != nil; k, _ = c.Prev() {
		if seq, ok := keySeq(k); !ok || seq <= after {
			break
		}
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := records.Delete(k); err != nil {
			return 0, fmt.Errorf("remove an unsure record: %w", err)
		}
	}
	return len(keys), nil
}
