package disk

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

func (c *committer) add(tx *bbolt.Tx, op *storage.Add) (storage.Result, error) {
	s, err := openCounters(tx, op.Collection, op.Scope)
	if err != nil {
		return c.refuse(err)
	}
	links, err := s.links(op.Link)
	if err != nil {
		return c.refuse(err)
	}
	docs, now := documents(tx, op.Collection), c.now()
	result := storage.Result{Link: op.Link}
	var d document
	if op.IfExists {
		if d, result.Exists, err = docs.find(op.Member); err != nil {
			return c.refuse(err)
		}
		result.Exists = result.Exists && !over(d.expires, now)
	}
	result.Duplicate, err = links.Order(op.Link, op.Rebase)
	if op.Rebase && op.Link.Producer != 0 && op.Link.Number == links.Number(op.Link.Producer) {
		result.Duplicate = true // nothing but its number tells that it was applied before
	}
	if err != nil || result.Duplicate {
		result.Err = wrap(fmt.Sprintf("add to %q", op.Member), err)
		return result, nil
	}
	if op.IfExists && !result.Exists {
		return result, c.takeLink(tx, s, op, links)
	}
	old, existed, err := s.find(op.Member)
	if err != nil {
		return c.refuse(err)
	}
	fields, err := sequence.Added(old.fields, op)
	if err != nil {
		result.Err = fmt.Errorf("add to %q: %w", op.Member, err)
		return result, nil
	}
	m := member{ranked: old.ranked, rank: old.rank, fields: fields}
	if err := c.takeLink(tx, s, op, links); err != nil {
		return storage.Result{}, err
	}
	return result, c.count(tx, s, op, old, m, existed, func(rank int64) error {
		if !op.IfExists {
			return nil
		}
		return docs.rerank(op.Member, d, rank)
	})
}

// links are the last numbers of a collection's producers, if they matter.
func (s *counters) links(l storage.Link) (sequence.Chain, error) {
	if l.Producer == 0 || s.b == nil {
		return nil, nil
	}
	v := s.b.Get(key(keyChain))
	if v == nil {
		return nil, nil
	}
	links, err := decodeChain(v)
	if err != nil {
		return nil, fmt.Errorf("chain of a collection: %w", err)
	}
	return links, nil
}

func (c *committer) takeLink(tx *bbolt.Tx, s *counters, op *storage.Add, links sequence.Chain) error {
	if op.Link.Producer == 0 {
		return nil
	}
	c.written = true
	if err := s.ensure(tx, op.Collection); err != nil {
		return err
	}
	if err := s.b.Put(key(keyChain), encodeChain(links.Take(op.Link))); err != nil {
		return fmt.Errorf("write chain of collection %q: %w", op.Collection, err)
	}
	return nil
}

func (s *counters) ensure(tx *bbolt.Tx, collection string) (err error) {
	if s.b == nil {
		s.b, err = ensure(tx, bucketCounters, collection)
	}
	return err
}

// count stores a member that was added to; ranked is told its rank.
func (c *committer) count(
	tx *bbolt.Tx, s *counters, op *storage.Add, old, m member, existed bool, ranked func(int64) error,
) error {
	c.written = true
	if err := s.ensure(tx, op.Collection); err != nil {
		return err
	}
	if op.RankBy != "" {
		s.state.rankBy = op.RankBy
	}
	if s.state.rankBy != "" {
		m.ranked, m.rank = true, m.fields[s.state.rankBy]
	}
	if err := s.change(op.Member, old, m, existed); err != nil {
		return err
	}
	if op.RankBy != "" {
		if err := ranked(m.rank); err != nil {
			return err
		}
	}
	if op.MaxMembers <= 0 {
		return nil
	}
	return c.makeMemberPlace(s, op.Member, op.MaxMembers)
}
