package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/actionflows/lifeline/storage"
)

// Counts reports whether err, from a method of [Driver] or in a result, says
// that Redis cannot be used now: no connection, no answer in time, or an answer
// such as LOADING, READONLY or OOM. An entry that can never be written, a gap, a
// dead epoch, a closed driver and the caller's own cancel do not count.
func Counts(err error) bool {
	var u *storage.UnavailableError
	return errors.As(err, &u)
}

// replies are the error replies that say something about the server rather than
// about one log, and what to tell people.
var replies = map[string]string{
	"LOADING":     "Redis is loading its data",
	"BUSY":        "Redis is busy with a script",
	"CLUSTERDOWN": "the Redis cluster is down",
	"MASTERDOWN":  "the Redis replica has lost its master",
	"TRYAGAIN":    "Redis is moving these keys",
	"MOVED":       "Redis is moving these keys",
	"ASK":         "Redis is moving these keys",
	"EXECABORT":   "Redis refuses commands",
	"NOAUTH":      "Redis wants a password",
	"WRONGPASS":   "Redis does not accept the user or the password",
	"READONLY":    "Redis is a read-only replica",
	"OOM":         "Redis is out of memory",
	"MISCONF":     "Redis cannot save its data and refuses writes",
	"NOREPLICAS":  "Redis has too few replicas and refuses writes",
	"NOPERM":      "the Redis user lacks a permission",
	"UNKILLABLE":  "Redis is busy with a script",
}

// phrases are the same for replies without a code of their own.
var phrases = map[string]string{
	"ERR max number of clients reached":   "Redis has too many clients",
	"ERR Protocol error: unauthenticated": replies["NOAUTH"],
	"ERR unknown command":                 "Redis lacks a command that is needed",
	"The user executing the script can't": replies["NOPERM"],
}

// opError is the error of one command: a log's own, storage.ErrPoison, or an
// UnavailableError.
func opError(err error) error {
	if err == nil {
		err = replyError("empty")
	}
	if reply, ok := ownReply(err); ok {
		if _, known := replyReason(reply); !known {
			return fmt.Errorf("%w: %s", storage.ErrPoison, reply)
		}
	}
	return unavailable(err)
}

// ownReply answers the error reply that err is. One that is wrapped came while a
// connection was being set up and says nothing about a log.
func ownReply(err error) (reply string, ok bool) {
	var e goredis.Error
	if !errors.As(err, &e) {
		return "", false
	}
	return e.Error(), e.Error() == err.Error()
}

func replyReason(reply string) (string, bool) {
	code, _, _ := strings.Cut(reply, " ")
	if reason, ok := replies[code]; ok {
		return reason, true
	}
	for phrase, reason := range phrases {
		if strings.Contains(reply, phrase) {
			return reason, true
		}
	}
	// Redis 6.2 hides what a script met: "ERR Error running script (…): -OOM …".
	for code, reason := range replies {
		if strings.Contains(reply, " -"+code+" ") {
			return reason, true
		}
	}
	return "", false
}

// unavailable wraps err for callers. The reason names no address.
func unavailable(err error) error {
	if err == nil || Counts(err) {
		return err
	}
	return &storage.UnavailableError{Reason: reason(err), Err: err}
}

func reason(err error) string {
	if reply, ok := errors.AsType[goredis.Error](err); ok {
		if r, ok := replyReason(reply.Error()); ok {
			return r
		}
		return "Redis refuses the connection"
	}
	if _, ok := errors.AsType[*dialError](err); ok {
		return "Redis cannot be reached"
	}
	if errors.Is(err, goredis.ErrPoolTimeout) {
		return "all connections to Redis are busy"
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return "Redis does not answer in time"
	}
	return "the connection to Redis was lost"
}
