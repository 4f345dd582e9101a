package storage

import (
	"context"
	"fmt"
)

// PubSub are the operations by which nodes tell each other something, best effort:
// whoever is not connected misses it. A failure is to be logged as a warning; it
// says nothing about the records.
type PubSub interface {
	// Subscribe calls fn for every message on a channel, in order and from one
	// goroutine, until ctx is done; Message.Lost says that some may be missing.
	Subscribe(ctx context.Context, channel string, fn func(Message)) error
	// Publish sends a message to the subscribers of a channel on other nodes; where
	// there is a single node, to nobody. Those of this node may get it too.
	Publish(ctx context.Context, channel string, data []byte) error
	// Close disconnects: every subscription ends, and every operation answers
	// [ErrClosed] from then on.
	Close() error
}

// channelPrefix keeps channels apart from those that drivers use themselves.
const channelPrefix = "c:"

func checkChannel(channel string) error { return checkID("channel", channel) }

// Subscribe implements [PubSub].
func (s *Store) Subscribe(ctx context.Context, channel string, fn func(Message)) error {
	if err := checkChannel(channel); err != nil {
		return err
	}
	if err := s.Driver.Subscribe(ctx, channelPrefix+channel, fn); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// Publish implements [PubSub].
func (s *Store) Publish(ctx context.Context, channel string, data []byte) error {
	if err := checkChannel(channel); err != nil {
		return err
	}
	if err := s.Driver.Publish(ctx, channelPrefix+channel, data); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// Close implements [PubSub].
func (s *Store) Close() error {
	if err := s.Driver.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
