package redis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// answer is what append.lua answered for one batch.
type answer struct {
	err      error // the outcome of every op, if set
	epoch    storage.Epoch
	notice   string // why the notice was not sent, if it was not
	outcomes []outcome
}

type outcome struct {
	kind   byte // a appended, d duplicate, n not there
	exists bool
	pos    storage.Position // zero: unknown
}

// settle writes the results of a batch, and answers the error of one whose
// outcome is unknown.
func (a answer) settle(b *batch, results []storage.Result) error {
	if a.err != nil {
		b.fail(results, a.err)
		if errors.Is(a.err, storage.ErrGap) || errors.Is(a.err, storage.ErrGone) ||
			errors.Is(a.err, storage.ErrPoison) {
			return nil
		}
		return a.err
	}
	for i, o := range a.outcomes {
		r := storage.Result{Exists: o.exists, Duplicate: o.kind == 'd', Link: b.ops[i].Link}
		if o.kind != 'n' {
			r.Cursor = storage.Cursor{Epoch: a.epoch, Pos: o.pos}
		}
		if o.pos.Micros > 0 {
			r.ReceivedAt = o.pos.Time()
		}
		results[b.place[i]] = r
	}
	return nil
}

// parseAnswer reads the reply to a call for n ops. A reply that cannot be read
// is an unknown outcome.
func parseAnswer(c *call, n int) answer {
	switch reply := c.reply.(type) {
	case string:
		switch reply {
		case "GAP":
			return answer{err: storage.ErrGap}
		case "GONE":
			return answer{err: storage.ErrGone}
		}
	case []any:
		a, err := parseReply(reply, n)
		if err != nil {
			return answer{err: unavailable(err)}
		}
		return a
	}
	if c.err != nil {
		return answer{err: opError(c.err)}
	}
	return answer{err: unavailable(replyError(fmt.Sprintf("of type %T", c.reply)))}
}

type replyError string

func (e replyError) Error() string { return "script reply cannot be read: " + string(e) }

func parseReply(reply []any, n int) (answer, error) {
	if len(reply) != n+2 {
		return answer{}, replyError(fmt.Sprintf("%d parts for %d entries", len(reply), n))
	}
	parts := make([]string, len(reply))
	for i, v := range reply {
		s, ok := v.(string)
		if !ok {
			return answer{}, replyError(fmt.Sprintf("part %d is a %T", i, v))
		}
		parts[i] = s
	}
	epoch, err := storage.ParseEpoch(parts[0])
	if err != nil {
		return answer{}, replyError("epoch " + err.Error())
	}
	a := answer{epoch: epoch, notice: parts[1], outcomes: make([]outcome, n)}
	for i, s := range parts[2:] {
		if a.outcomes[i], err = parseOutcome(s); err != nil {
			return answer{}, err
		}
	}
	return a, nil
}

// parseOutcome reads <a|d|n><0|1> <µs>-<seq>.
func parseOutcome(s string) (outcome, error) {
	if len(s) < 3 || !strings.Contains("and", s[:1]) || s[1] != '0' && s[1] != '1' || s[2] != ' ' {
		return outcome{}, replyError(fmt.Sprintf("outcome %q", s))
	}
	pos, err := parsePosition(s[3:])
	if err != nil {
		return outcome{}, err
	}
	return outcome{kind: s[0], exists: s[1] == '1', pos: pos}, nil
}

// parsePosition reads <µs>-<seq>, which is also the id of a stream's entry.
func parsePosition(s string) (storage.Position, error) {
	micros, seq, ok := strings.Cut(s, "-")
	m, err := strconv.ParseUint(micros, 10, 63)
	if err != nil || !ok {
		return storage.Position{}, replyError(fmt.Sprintf("position %q", s))
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return storage.Position{}, replyError(fmt.Sprintf("position %q", s))
	}
	return storage.Position{Micros: int64(m), Seq: n}, nil //nolint:gosec // 63 bits
}
