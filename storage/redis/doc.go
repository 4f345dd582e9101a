// Package redis keeps logs, queues, documents and counters on a Redis server (6.2
// or newer, or Valkey) that several nodes may share.
//
// It promises that what one Apply does to one log, queue or collection is carried
// out by one script: appends to one log entirely or not at all, and every other
// operation whole; that what was carried out although its answer got lost is done
// once however often it is repeated; that no call waits longer than
// Options.Timeout for the server, unless the caller waits less; and that every
// error which means "Redis cannot be used now" wraps a
// [storage.UnavailableError], see [Counts].
//
// It tells when Redis has lost data (Driver.OnLoss), by marks that every write
// leaves. It does not retry, does not remember what was lost and does not know what
// a log is for: that is the work of storage/resilient and of the hub.
//
// # Servers
//
// Redis is one server, the master that Sentinels name, or a Cluster. Redirects are
// followed; a call whose outcome is unknown is never sent again. When a master dies,
// its logs are unavailable until another one has them, and those of other masters
// go on. Replication is asynchronous: of what was acknowledged just before, the
// newest may be lost, which the marks tell.
//
// # Keys of logs and queues
//
// Every log and queue lives in one of 16 partitions {p00} to {p15}: the FNV-1a hash
// of its name behind the first colon, modulo 16. The braces are a Redis Cluster
// hash tag, so that all keys of a log are on one node, and with it the queues and
// logs whose names differ before the colon only. With the prefix "afw:" the log
// "e:<session>" has these keys:
//
//	afw:{pNN}:e:<session>    STREAM  id <µs>-<seq>; fields i (event id), d (data),
//	                                 and for a link p (producer) and n (number)
//	afw:{pNN}:m:<session>    HASH    epoch, seq and us of the newest entry, gen
//	                                 (which of the id keys is written), exp (when
//	                                 lifetimes were last renewed, with which age),
//	                                 p:<producer> (last number, µs; 32 at most),
//	                                 dead (the 8 last epochs that Drop has ended)
//	afw:{pNN}:i0:<session>   HASH    event id → <µs>-<seq>
//	afw:{pNN}:i1:<session>   HASH    the other generation of the same
//
// Any other log <name> has the keys l:e:<name>, l:m:<name>, l:i0:<name> and
// l:i1:<name> in its partition. Metadata with dead and without epoch is the
// gravestone of a dropped log. The queue <name>, such as "i:<session>", has
//
//	afw:{pNN}:q:w:<name>     ZSET    id → number, of the items waiting
//	afw:{pNN}:q:d:<name>     HASH    id → <µs received> <data>
//	afw:{pNN}:q:t:<name>     ZSET    id → when its time is over, ms or inf, of items
//	                                 waiting or taken
//	afw:{pNN}:q:m:<name>     HASH    seq (the last number), us, p:<producer>
//
// Beside them stand
//
//	afw:{p00}:partitions     STRING   16, checked before anything is read or written
//	afw:{pNN}:g              HASH     d:<driver> (its mark: the last 8 writes, µs; 64
//	                                  at most), us of the last heartbeat
//	afw:{pNN}:ch             channel  a storage.Notice per batch that was stored
//	afw:{p00}:ch:<name>      channel  any other channel
//	afw:{p00}:live:<random>  channel  one subscription's messages to itself
//
// A stream lives for MaxAge after its last write, and up to a sixteenth of that
// (at most a minute) longer; its metadata seven days more; its ids for
// [storage.DedupAge]. A queue lives as long as its longest-lived item, its
// metadata at least for DedupAge after the last operation.
//
// # Keys of collections
//
// Every collection has a hash tag, and so a Cluster slot, of its own: {c:<name>},
// with %, { and } in the name as %25, %7B and %7D. Logs about documents are logs
// like any others: no operation needs both at once.
//
//	afw:{c:<coll>}:d:<id>              HASH  us and by (the stamp), b (body), x (its
//	                                         members, packed); of a deletion us and
//	                                         by, for [storage.TombstoneAge]
//	afw:{c:<coll>}:x                   ZSET  members of documents, in byte order:
//	                                         a:<id>, i:<index>:<value>:<id> and
//	                                         r:<value of Within>:<rank>:<id>
//	afw:{c:<coll>}:t                   ZSET  those of mortal documents → when they
//	                                         are over, ms
//	afw:{c:<coll>}:n:<scope>:<member>  HASH  field → counter
//	afw:{c:<coll>}:k:<scope>           ZSET  member → the negated value that ranks it
//	afw:{c:<coll>}:g                   HASH  p:<producer> (last number, µs; 32 at
//	                                         most), us of the last write, d:<driver>
//	                                         as in afw:{pNN}:g
//
// In what is followed by a colon, % and : are spelt %25 and %3A. Ranks are 17
// digits, the first 0 for negative ones, which follow with 2^53 added.
//
// Redis expires a mortal document by itself. Scan passes over its members; the next
// writes to the collection remove them, 2,000 at a time, with its counters.
package redis
