package redis

import (
	"fmt"
	"hash/fnv"
	"strings"
)

const (
	// partitions is how many hash tags there are; it never changes, because a
	// log would then be looked for under other keys.
	partitions = 16

	eventKind = "e:"
	otherKind = "l:"
)

// keyspace names keys and channels under one prefix.
type keyspace struct{ prefix string }

// logKeys are the keys of one log, and the channel for its notices.
type logKeys struct {
	stream, meta, ids0, ids1 string
	channel                  string
}

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
		channel: base + "ch",
	}
}

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
func (k keyspace) partition(p int) string { return fmt.Sprintf("%s{p%02d}:", k.prefix, p) }

func (k keyspace) health() string { return k.partition(0) + "g" }

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
