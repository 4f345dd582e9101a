package storage

import (
	"context"
	"strings"
	"time"
)

const (
	// MaxCommands is how many commands wait in a session at most.
	MaxCommands = 1000
	// CommandAge is how long a command waits to be acknowledged.
	CommandAge = 5 * time.Minute
)

// Commands are the operations on what sessions are told to do. They are documents,
// not a queue: a command is listed again and again until it is acknowledged or
// CommandAge has passed.
type Commands interface {
	// QueueCommand writes a command and answers it as it was written. SessionID and
	// Command.Type are needed; IssuedAt is now where it is missing. The id is drawn,
	// unless CommandID is one that NewCommandID has answered for this session: then
	// queueing it again changes nothing but its time. The oldest command goes when
	// there are more than MaxCommands.
	QueueCommand(ctx context.Context, command CommandPayload) (CommandPayload, error)
	// ListCommands answers the commands that wait in a session, the oldest first,
	// and takes nothing away.
	ListCommands(ctx context.Context, session string) ([]CommandPayload, error)
	// ClearCommands removes all commands of a session and answers how many.
	ClearCommands(ctx context.Context, session string) (int, error)
	// AcknowledgeCommand removes a command and reports whether it waited.
	AcknowledgeCommand(ctx context.Context, id string) (bool, error)
}

// NewCommandID draws an id for a command to a session: it contains the session's,
// and those of one session increase with time.
func NewCommandID(session string) string { return session + ":" + newID() }

// CommandSession answers the session that an id of a command contains; ok is false
// for what is no such id.
func CommandSession(id string) (session string, ok bool) {
	i := strings.LastIndexByte(id, ':')
	if i < 1 || i == len(id)-1 {
		return "", false
	}
	return id[:i], true
}

// QueueCommand implements [Commands].
func (s *Store) QueueCommand(ctx context.Context, c CommandPayload) (CommandPayload, error) {
	if c.CommandID == "" {
		c.CommandID = NewCommandID(c.SessionID)
	}
	c.ID, c.Type = c.CommandID, c.Command.Type
	c.IssuedAt = firstTime(c.IssuedAt, now())
	if err := c.check(); err != nil {
		return CommandPayload{}, err
	}
	body, err := encode(c, MaxSmallRecord)
	if err != nil {
		return CommandPayload{}, err
	}
	_, err = s.apply(ctx, "queue command", &Put{
		Collection: collCommands, ID: c.CommandID, Body: body, TTL: CommandAge,
		Indexes:    map[string]string{indexSession: c.SessionID},
		MaxMembers: MaxCommands, Within: indexSession, Rank: rankOf(c.IssuedAt),
	})
	return c, err
}

// ListCommands implements [Commands].
func (s *Store) ListCommands(ctx context.Context, session string) ([]CommandPayload, error) {
	commands, _, err := all[CommandPayload](ctx, s, scan{collCommands, indexSession, session})
	return commands, err
}

// ClearCommands implements [Commands].
func (s *Store) ClearCommands(ctx context.Context, session string) (int, error) {
	return s.removeAll(ctx, scan{collCommands, indexSession, session})
}

// AcknowledgeCommand implements [Commands].
func (s *Store) AcknowledgeCommand(ctx context.Context, id string) (bool, error) {
	if _, ok := CommandSession(id); !ok {
		return false, &FieldError{"commandId", "is not the id of a command"}
	}
	return s.remove(ctx, collCommands, id)
}
