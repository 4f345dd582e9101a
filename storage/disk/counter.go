package disk

import (
	"fmt"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// Keys in the bucket of a collection's counters.
const (
	keyChain      = 'l'
	keyScope      = 's'
	keyMember     = 'm'
	keyMemberRank = 'r'
)

// counters is one scope of a collection within a transaction.
type counters struct {
	b     *bbolt.Bucket // of the collection; nil: an unknown one
	scope string
	state scope
}

func openCounters(tx *bbolt.Tx, collection, name string) (*counters, error) {
	s := &counters{b: sub(tx, bucketCounters, collection), scope: name}
	if s.b == nil {
		return s, nil
	}
	v := s.b.Get(append(key(keyScope), name...))
	if v == nil {
		return s, nil
	}
	var err error
	if s.state, err = decodeScope(v); err != nil {
		return nil, fmt.Errorf("scope %q of %q: %w", name, collection, err)
	}
	return s, nil
}

func (s *counters) memberKey(name string) []byte {
	return append(key(keyMember, s.scope), name...)
}

func (s *counters) rankKey(rank int64, name string) []byte {
	return append(appendRankDown(key(keyMemberRank, s.scope), rank), name...)
}

func (s *counters) find(name string) (m member, ok bool, err error) {
	if s.b == nil {
		return member{}, false, nil
	}
	v := s.b.Get(s.memberKey(name))
	if v == nil {
		return member{}, false, nil
	}
	if m, err = decodeMember(v); err != nil {
		return member{}, false, fmt.Errorf("counters of %q in scope %q: %w", name, s.scope, err)
	}
	return m, true, nil
}

// saveState writes the scope, or removes it when it has no members.
func (s *counters) saveState() error {
	k := append(key(keyScope), s.scope...)
	var err error
	if s.state.members <= 0 {
		err = s.b.Delete(k)
	} else {
		err = s.b.Put(k, encodeScope(s.state))
	}
	if err != nil {
		return fmt.Errorf("write scope %q: %w", s.scope, err)
	}
	return nil
}

// change writes a member in place of what it was; one without fields is removed.
func (s *counters) change(name string, old, m member, existed bool) error {
	if old.ranked {
		if err := s.b.Delete(s.rankKey(old.rank, name)); err != nil {
			return fmt.Errorf("remove rank of a member: %w", err)
		}
	}
	if len(m.fields) == 0 {
		if !existed {
			return nil
		}
		s.state.members--
		if err := s.b.Delete(s.memberKey(name)); err != nil {
			return fmt.Errorf("remove member: %w", err)
		}
		return s.saveState()
	}
	if m.ranked {
		if err := s.b.Put(s.rankKey(m.rank, name), nil); err != nil {
			return fmt.Errorf("write rank of a member: %w", err)
		}
	}
	if err := s.b.Put(s.memberKey(name), encodeMember(m)); err != nil {
		return fmt.Errorf("write member: %w", err)
	}
	if !existed {
		s.state.members++
	}
	return s.saveState()
}

// forgetCounters removes what is counted of a document, also what cannot be read.
func forgetCounters(tx *bbolt.Tx, collection, id string) error {
	s, err := openCounters(tx, collection, "")
	if isDamaged(err) {
		return nil // nothing in this scope can be found any more
	}
	if err != nil || s.b == nil {
		return err
	}
	m, ok, err := s.find(id)
	if err != nil {
		s.state.members-- // its rank stays, and is skipped
		if err := s.b.Delete(s.memberKey(id)); err != nil {
			return fmt.Errorf("remove damaged member: %w", err)
		}
		return s.saveState()
	}
	if !ok {
		return nil
	}
	return s.change(id, m, member{}, true)
}

// makeMemberPlace removes the lowest members of a scope until it has no more than it
// may, but not the one just changed.
func (c *committer) makeMemberPlace(s *counters, spared string, maxMembers int) error {
	for range maxTrim {
		if s.state.members <= maxMembers {
			return nil
		}
		name, rank, ok := s.lowest(spared)
		if !ok {
			return nil
		}
		m, found, err := s.find(name)
		switch {
		case err == nil && found && m.ranked && m.rank == rank:
			err = s.change(name, m, member{}, true)
		case err != nil:
			c.log.Warn("a damaged counter made room for another", zap.String("member", name), zap.Error(err))
			s.state.members--
			err = deleteAll(s.b, s.memberKey(name), s.rankKey(rank, name))
		default: // it was damaged, and deleted
			err = deleteAll(s.b, s.rankKey(rank, name))
		}
		if err != nil {
			return err
		}
		if err := s.saveState(); err != nil {
			return err
		}
	}
	return nil
}

// lowest answers the member of the lowest rank, the lowest name among equals,
// but not the one that is spared.
func (s *counters) lowest(spared string) (name string, rank int64, ok bool) {
	prefix := key(keyMemberRank, s.scope)
	c := s.b.Cursor()
	k, _ := seekLast(c, prefix)
	for {
		rest, _, ok := cut(k, nil, prefix)
		if !ok || len(rest) <= 8 {
			return "", 0, false
		}
		// The last key is of the lowest rank, and the first of this rank is wanted.
		same := append(key(keyMemberRank, s.scope), rest[:8]...)
		rank := rankDown(rest)
		for name, _, ok := seek(c, same, same); ok; name, _, ok = next(c, same) {
			if string(name) != spared {
				return string(name), rank, true
			}
		}
		c.Seek(same)
		k, _ = c.Prev()
	}
}

func deleteAll(b *bbolt.Bucket, keys ...[]byte) error {
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return fmt.Errorf("remove record: %w", err)
		}
	}
	return nil
}
