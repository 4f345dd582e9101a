package storage

import (
	"context"
	"slices"
)

// MaxChains is how many chains a session has at most.
const MaxChains = 100

// Chains are the operations on the chains of sessions. A chain's id is its own
// within its session only. Chains last 90 days after they were last written.
type Chains interface {
	// AddChain writes a chain and answers it as it was written: ID is drawn,
	// Source composed, Status pending and CompiledAt now where they are missing. A
	// chain with the same id in the session is replaced. The session's chain that
	// was compiled first goes when there are more than MaxChains.
	AddChain(ctx context.Context, chain Chain) (Chain, error)
	// ListChains answers a session's chains in the order of their compilation.
	ListChains(ctx context.Context, session string) ([]Chain, error)
	// GetChain answers one chain of a session.
	GetChain(ctx context.Context, session, id string) (Chain, error)
	// ApplyEvent brings the chains of a session up to date with one of its events
	// and reports whether one has changed. Events of other types than chain:* and
	// step:* change nothing, and neither do those about a chain that is not there.
	// chain:compiled creates a chain, unless its id is known. An event without
	// chainId is about the session's latest chain that is not completed. Applied
	// again, an event changes nothing more. A [FieldError] says that the event's
	// members do not fit.
	//
	// Within a process the events of a session are applied one at a time; between
	// nodes the last writer of a chain wins.
	ApplyEvent(ctx context.Context, session, eventType string, data []byte) (bool, error)
}

// chainKey is the id of a chain's document. Ids have no control characters, so
// that no two chains share one.
func chainKey(session, id string) string { return session + "\x00" + id }

// AddChain implements [Chains].
func (s *Store) AddChain(ctx context.Context, chain Chain) (Chain, error) {
	unlock, err := lock(ctx, chain.SessionID)
	if err != nil {
		return Chain{}, err
	}
	defer unlock()
	return s.putChain(ctx, chain)
}

func (s *Store) putChain(ctx context.Context, chain Chain) (Chain, error) {
	if chain.ID == "" {
		chain.ID = newID()
	}
	if chain.Source == "" {
		chain.Source = "composed"
	}
	if chain.Status == "" {
		chain.Status = StatusPending
	}
	chain.CompiledAt = firstTime(chain.CompiledAt, now())
	chain.Steps = slices.Clone(chain.Steps)
	for i := range chain.Steps {
		if chain.Steps[i].Status == "" {
			chain.Steps[i].Status = StatusPending
		}
	}
	if err := chain.check(); err != nil {
		return Chain{}, err
	}
	body, err := encode(chain, MaxRecord)
	if err != nil {
		return Chain{}, err
	}
	_, err = s.apply(ctx, "set chain", &Put{
		Collection: collChains, ID: chainKey(chain.SessionID, chain.ID), Body: body, TTL: retention,
		Indexes:    map[string]string{indexSession: chain.SessionID},
		MaxMembers: MaxChains, Within: indexSession, Rank: rankOf(chain.CompiledAt),
	})
	return chain, err
}

// ListChains implements [Chains].
func (s *Store) ListChains(ctx context.Context, session string) ([]Chain, error) {
	chains, _, err := s.chains(ctx, session)
	return chains, err
}

func (s *Store) chains(ctx context.Context, session string) (chains []Chain, size int, err error) {
	chains, size, err = all[Chain](ctx, s, scan{collChains, indexSession, session})
	slices.SortFunc(chains, func(a, b Chain) int { return byTime(a.CompiledAt, b.CompiledAt, a.ID, b.ID) })
	return chains, size, err
}

// GetChain implements [Chains].
func (s *Store) GetChain(ctx context.Context, session, id string) (Chain, error) {
	return get[Chain](ctx, s, collChains, chainKey(session, id))
}
