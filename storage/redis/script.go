package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // the name by which Redis knows a script
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

var (
	//go:embed append.lua
	appendLua string
	//go:embed read.lua
	readLua string
	//go:embed health.lua
	healthLua string
)

// script is a script that Redis may have forgotten at any time.
type script struct {
	source, sha string
	loaded      atomic.Bool // as far as we know
}

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return &script{source: source, sha: hex.EncodeToString(sum[:])}
}

// call is one run of a script.
type call struct {
	keys  []string
	args  []any
	reply any   // valid unless nil, even if err is set
	err   error // set when there is no reply
}

// run carries out the calls in one round trip, or two when Redis has to be given
// the script; each call then has its reply or its error.
func (s *script) run(ctx context.Context, c *goredis.Client, calls []*call) {
	s.pipeline(ctx, c, calls, !s.loaded.Load())
	var again []*call
	for _, call := range calls {
		if call.err != nil && strings.HasPrefix(call.err.Error(), "NOSCRIPT") {
			again = append(again, call)
		}
	}
	if len(again) > 0 {
		s.pipeline(ctx, c, again, true)
	}
}

func (s *script) pipeline(ctx context.Context, c *goredis.Client, calls []*call, load bool) {
	pipe := c.Pipeline()
	var loaded *goredis.StringCmd
	if load {
		loaded = pipe.ScriptLoad(ctx, s.source)
	}
	commands := make([]*goredis.Cmd, len(calls))
	for i, call := range calls {
		commands[i] = pipe.EvalSha(ctx, s.sha, call.keys, call.args...)
	}
	_, err := pipe.Exec(ctx)
	if loaded != nil && loaded.Val() == s.sha {
		s.loaded.Store(true)
	}
	for i, cmd := range commands {
		// When the connection breaks later in the pipeline, go-redis sets that
		// error on answered commands too; their replies are whole all the same.
		c := calls[i]
		c.reply, c.err = cmd.Val(), cmd.Err()
		if c.reply == nil && c.err == nil && err != nil {
			// When Redis refuses the password or the database, only Exec tells.
			c.err = fmt.Errorf("connect: %w", err)
		}
	}
}
