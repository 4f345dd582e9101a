// Package redis keeps logs on a Redis server (6.2 or newer, or Valkey) that
// several nodes may share.
//
// It promises that a batch for one log is carried out by one script, entirely or
// not at all; that an append which was carried out although its answer got lost
// is stored once however often it is repeated; that no call waits longer than
// Options.Timeout for the server, unless the caller waits less; and that every
// error which means "Redis cannot be used now" wraps a
// [storage.UnavailableError], see [Counts].
//
// It does not retry, does not remember what Redis lost and does not know what a
// log is for: that is the work of storage/resilient and of the hub.
//
// # Servers
//
// Redis is one server, the master that Sentinels name, or a Cluster. Redirects are
// followed; a call whose outcome is unknown is never sent again. When a master dies,
// its logs are unavailable until another one has them, and those of other masters
// go on. Replication is asynchronous: of what was acknowledged just before, the
// newest may be lost, which the log's numbers tell.
//
// # Keys
//
// Every log lives in one of 16 partitions {p00} to {p15}: the FNV-1a hash of its
// name behind the first colon, modulo 16. The braces are a Redis Cluster hash
// tag, so that all keys of a log are on one node. With the prefix "afw:" the log
// "e:<session>" has these keys:
//
//	afw:{pNN}:e:<session>    STREAM  id <µs>-<seq>; fields i (event id), d (data),
//	                                 and for a link p (producer) and n (number)
//	afw:{pNN}:m:<session>    HASH    epoch, seq and us of the newest entry, gen
//	                                 (which of the id keys is written), exp (when
//	                                 lifetimes were last renewed, with which age),
//	                                 p:<producer> (last number, µs; 32 at most)
//	afw:{pNN}:i0:<session>   HASH    event id → <µs>-<seq>
//	afw:{pNN}:i1:<session>   HASH    the other generation of the same
//
// Any other log <name> has the keys l:e:<name>, l:m:<name>, l:i0:<name> and
// l:i1:<name> in its partition. Beside them stand
//
//	afw:{pNN}:g              HASH     written by the health check
//	afw:{pNN}:ch             channel  a storage.Notice per batch that was stored
//	afw:{p00}:ch:<name>      channel  any other channel
//	afw:{p00}:live:<random>  channel  one subscription's messages to itself
//
// A stream lives for MaxAge after its last write, and up to a sixteenth of that
// (at most a minute) longer; its metadata seven days more; its ids for
// [storage.DedupAge].
package redis
