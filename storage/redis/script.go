package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // the name by which Redis knows a script
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/actionflows/lifeline/storage"
)

// rounds is how often calls are sent at most: the first time, when the server has
// forgotten the script, and after redirects.
const rounds = 5

// script is a script that Redis may have forgotten at any time.
type script struct {
	source, sha string
}

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return &script{source: source, sha: hex.EncodeToString(sum[:])}
}

// call is one run of a script; its first key says where.
type call struct {
	keys  []string
	args  []any
	reply any   // valid unless nil, even if err is set
	err   error // set when there is no reply

	// Of one that writes, see [Driver.carryOut].
	about     subject
	partition string
	mark      *mark // of the partition, while it is sent

	addr   string // where a redirect sends it, if set
	asking bool   // only this once: its slot is being moved there
}

// run carries out the calls, each at the server that has its keys, in one round
// trip to each server at a time; each call then has its reply or its error. Only
// a call that was refused because the script or the keys are not there is sent
// again: one whose outcome is unknown never is. Calls to one server keep their
// order.
func (s *script) run(ctx context.Context, on *servers, calls []*call) {
	load := false
	for range rounds {
		s.round(ctx, on, calls, load)
		var again []*call
		for _, c := range calls {
			if c.refused(on) {
				again = append(again, c)
			}
		}
		if len(again) == 0 {
			return
		}
		calls, load = again, true
	}
	for _, c := range calls {
		c.err = unavailable(c.err) // sent from one to the other
	}
}

// refused reports whether the call is to be sent again, and notes where. It tells
// the servers of a failure.
func (c *call) refused(on *servers) bool {
	if c.reply != nil || c.err == nil {
		return false
	}
	reply, own := ownReply(c.err)
	code, rest, _ := strings.Cut(reply, " ")
	switch {
	case own && code == "NOSCRIPT":
		return true
	case own && (code == "MOVED" || code == "ASK") && on.find == nil:
		c.err = &storage.UnavailableError{Reason: "Redis is a cluster, and the option cluster is missing", Err: c.err}
	case own && (code == "MOVED" || code == "ASK"):
		if _, addr, ok := strings.Cut(rest, " "); ok {
			c.addr, c.asking = reachable(addr, c.addr), code == "ASK"
			if code == "MOVED" {
				on.refresh()
			}
			return true
		}
	case Counts(opError(c.err)):
		on.failed()
	}
	return false
}

// round sends calls to their servers, all at once, and waits for the answers.
func (s *script) round(ctx context.Context, on *servers, calls []*call, load bool) {
	byNode := map[*node][]*call{}
	for _, c := range calls {
		n, err := c.node(ctx, on)
		if err != nil {
			c.err = err
			continue
		}
		c.addr = n.addr
		byNode[n] = append(byNode[n], c)
	}
	var wg sync.WaitGroup
	for n, calls := range byNode {
		if len(byNode) == 1 {
			s.pipeline(ctx, n, calls, load)
			return
		}
		wg.Go(func() { s.pipeline(ctx, n, calls, load) })
	}
	wg.Wait()
}

func (c *call) node(ctx context.Context, on *servers) (*node, error) {
	if c.addr != "" {
		return on.at(c.addr)
	}
	return on.of(ctx, c.keys[0])
}

func (s *script) pipeline(ctx context.Context, n *node, calls []*call, load bool) {
	pipe := n.Pipeline()
	var loaded *goredis.StringCmd
	if _, has := n.scripts.Load(s.sha); load || !has {
		loaded = pipe.ScriptLoad(ctx, s.source)
	}
	commands := make([]*goredis.Cmd, len(calls))
	for i, call := range calls {
		if call.asking {
			pipe.Do(ctx, "ASKING")
		}
		commands[i] = pipe.EvalSha(ctx, s.sha, call.keys, call.args...)
	}
	_, err := pipe.Exec(ctx)
	if loaded != nil && loaded.Val() == s.sha {
		n.scripts.Store(s.sha, true)
	}
	for i, cmd := range commands {
		// When the connection breaks later in the pipeline, go-redis sets that
		// error on answered commands too; their replies are whole all the same.
		c := calls[i]
		c.asking = false
		c.reply, c.err = cmd.Val(), cmd.Err()
		if c.reply == nil && c.err == nil && err != nil {
			// When Redis refuses the password or the database, only Exec tells.
			c.err = fmt.Errorf("connect: %w", err)
		}
	}
}
