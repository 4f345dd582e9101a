package redis

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

const (
	// partitions is how many hash tags there are; it never changes, because a
	// log would then be looked for under other keys.
	partitions = 16

	eventKind = "e:"
	otherKind = "l:"

	collectionTag = "c:"
)

// keyspace names keys and channels under one prefix.
type keyspace struct{ prefix string }

// logKeys are the keys of one log, and the channel for its notices.
type logKeys struct {
	stream, meta, ids0, ids1 string
	index                    string // of the logs of its kind in the partition
	channel                  string
}

// index is the key of the index of the logs of a kind in a partition.
func (k keyspace) index(p int, kind string) string { return k.partition(p) + "x:" + kind }

// log answers the keys of a log; different logs never share one.
func (k keyspace) log(name string) logKeys {
	base := k.partition(partitionOf(name))
	kind, rest := "", name
	if session, ok := strings.CutPrefix(name, eventKind); ok {
		rest = session
	} else {
		kind = otherKind
	}
	return logKeys{
		stream:  base + kind + "e:" + rest,
		meta:    base + kind + "m:" + rest,
		ids0:    base + kind + "i0:" + rest,
		ids1:    base + kind + "i1:" + rest,
		index:   k.index(partitionOf(name), storage.LogKind(name)),
		channel: base + "ch",
	}
}

// queueKeys are the keys of one queue.
type queueKeys struct{ waiting, data, ends, meta string }

func (q queueKeys) all() []string { return []string{q.waiting, q.data, q.ends, q.meta} }

// queue answers the keys of a queue, in the partition of the log of that name.
func (k keyspace) queue(name string) queueKeys {
	base := k.partition(partitionOf(name)) + "q:"
	return queueKeys{
		waiting: base + "w:" + name,
		data:    base + "d:" + name,
		ends:    base + "t:" + name,
		meta:    base + "m:" + name,
	}
}

// collectionKeys are the keys of one collection; all share a hash tag of its own.
type collectionKeys struct{ base string }

func (k keyspace) collection(name string) collectionKeys {
	return collectionKeys{base: k.prefix + "{" + collectionTag + tagEscaper.Replace(name) + "}:"}
}

func (c collectionKeys) members() string           { return c.base + "x" }
func (c collectionKeys) ends() string              { return c.base + "t" }
func (c collectionKeys) chains() string            { return c.base + "g" }
func (c collectionKeys) document(id string) string { return c.base + "d:" + id }

func (c collectionKeys) ranking(scope string) string { return c.base + "k:" + scope }

// counters begins the keys of a scope's counters; the member's name follows.
func (c collectionKeys) counters(scope string) string {
	return c.base + "n:" + partEscaper.Replace(scope) + ":"
}

// The parts of a name are told apart by what they cannot hold: a hash tag by its
// braces, the parts of a key or of a member by colons.
var (
	tagEscaper  = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")
	partEscaper = strings.NewReplacer("%", "%25", ":", "%3A")
)

// Members of a collection, each followed by the document's id; collection.lua says
// what they are for.
const allMembers = "a:"

func indexMembers(index, value string) string {
	return "i:" + partEscaper.Replace(index) + ":" + partEscaper.Replace(value) + ":"
}

func groupMembers(value string) string { return "r:" + partEscaper.Replace(value) + ":" }

// partitionOf hashes what stands behind the kind, so that all logs of one
// session share a partition.
func partitionOf(log string) int {
	if _, rest, ok := strings.Cut(log, ":"); ok {
		log = rest
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(log))
	return int(h.Sum32() % partitions)
}

// partition is the common beginning of the keys of one partition.
func (k keyspace) partition(p int) string { return k.prefix + "{" + partitionNames[p] + "}:" }

// partitionName is the name of the partition of a log or queue, and
// collectionPartition that of a collection, which is one by itself.
func partitionName(log string) string { return partitionNames[partitionOf(log)] }

func collectionPartition(name string) string { return collectionTag + name }

var partitionNames = func() (names [partitions]string) {
	for p := range names {
		names[p] = fmt.Sprintf("p%02d", p)
	}
	return names
}()

// marks is the hash with the marks of a partition; of a collection it also holds
// the chains.
func (k keyspace) marks(partition string) string {
	if name, ok := strings.CutPrefix(partition, collectionTag); ok {
		return k.collection(name).chains()
	}
	return k.prefix + "{" + partition + "}:g"
}

func (k keyspace) partitions() string { return k.partition(0) + "partitions" }

func (k keyspace) notices() []string {
	channels := make([]string, partitions)
	for p := range channels {
		channels[p] = k.partition(p) + "ch"
	}
	return channels
}

func (k keyspace) channel(name string) string { return k.partition(0) + "ch:" + name }

func (k keyspace) live(id string) string { return k.partition(0) + "live:" + id }
