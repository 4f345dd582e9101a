package events

import (
	"hash/maphash"
	"sync"
)

// shards is how many maps hold the topics, so that publishers to different
// sessions do not meet.
const shards = 32

// shard holds the sessions that share a hash.
type shard struct {
	mu     sync.Mutex // guards topics; taken before a topic's mu
	topics map[string]*topic

	meters meters // of its sessions
	latest latest
}

func (h *Hub) shard(session string) *shard { return &h.shards[h.hash(session)%shards] }

func (h *Hub) hash(session string) uint64 { return maphash.String(h.seed, session) }

// topic is the session's topic, nil if nobody follows it.
func (h *Hub) topic(session string) *topic { return h.shard(session).topic(session) }

func (sh *shard) topic(session string) *topic {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.topics[session]
}
