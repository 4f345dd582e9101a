package redis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// answer is what a script answered for one batch.
type answer struct {
	err      error         // the outcome of every op, if set
	epoch    storage.Epoch // of a log
	notice   string        // why the notice was not sent, if it was not
	outcomes []outcome
}

// outcome is what became of one op.
type outcome struct {
	kind   byte
	exists bool
	pos    storage.Position // in a log; zero: unknown
}

// kinds are all kinds of outcomes: done, duplicate, not there, and those with an
// error of their own.
var kinds = map[byte]error{
	'a': nil, 'd': nil, 'n': nil,
	'f': storage.ErrFull,
	'g': storage.ErrGap,
	'o': storage.ErrGone,
	'x': fmt.Errorf("a key that is not ours, or a number that is too large: %w", storage.ErrPoison),
}

// settle writes the results of a batch, and answers the error of one whose
// outcome is unknown.
func (a answer) settle(b *batch, results []storage.Result) error {
	if a.err != nil {
		b.fail(results, a.err)
		if own(a.err) {
			return nil
		}
		return a.err
	}
	for i, o := range a.outcomes {
		r := storage.Result{
			Exists: o.exists, Duplicate: o.kind == 'd', Link: linkOf(b.ops[i]), Err: kinds[o.kind],
		}
		if b.about == aboutLog && (o.kind == 'a' || o.kind == 'd') {
			r.Cursor = storage.Cursor{Epoch: a.epoch, Pos: o.pos}
		}
		if o.pos.Micros > 0 {
			r.ReceivedAt = o.pos.Time()
		}
		results[b.place[i]] = r
	}
	return nil
}

func linkOf(op storage.Op) storage.Link {
	switch op := op.(type) {
	case *storage.Append:
		return op.Link
	case *storage.Push:
		return op.Link
	case *storage.Add:
		return op.Link
	default:
		return storage.Link{}
	}
}

// parseAnswer reads the reply to a batch's call. A reply that cannot be read is an
// unknown outcome.
func parseAnswer(c *call, b *batch) answer {
	switch reply := c.reply.(type) {
	case string:
		if reply == "GAP" {
			return answer{err: storage.ErrGap}
		}
	case []any:
		parse := parseOutcomes
		if b.about == aboutLog {
			parse = parseReply
		}
		a, err := parse(reply, len(b.ops))
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

// parseOutcomes reads <kind><0|1> for each of n ops.
func parseOutcomes(reply []any, n int) (answer, error) {
	parts, err := texts(reply)
	if err != nil {
		return answer{}, err
	}
	if len(parts) != n {
		return answer{}, replyError(fmt.Sprintf("%d parts for %d operations", len(parts), n))
	}
	a := answer{outcomes: make([]outcome, n)}
	for i, s := range parts {
		if len(s) != 2 {
			return answer{}, replyError(fmt.Sprintf("outcome %q", s))
		}
		if a.outcomes[i], err = parseKind(s); err != nil {
			return answer{}, err
		}
	}
	return a, nil
}

// parseReply reads what append.lua answers: epoch, error of the notice, and an
// outcome for each of n entries.
func parseReply(reply []any, n int) (answer, error) {
	parts, err := texts(reply)
	if err != nil {
		return answer{}, err
	}
	if len(parts) != n+2 {
		return answer{}, replyError(fmt.Sprintf("%d parts for %d entries", len(parts), n))
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

// parseOutcome reads <kind><0|1> <µs>-<seq>.
func parseOutcome(s string) (outcome, error) {
	if len(s) < 3 || s[2] != ' ' {
		return outcome{}, replyError(fmt.Sprintf("outcome %q", s))
	}
	o, err := parseKind(s[:2])
	if err == nil {
		o.pos, err = parsePosition(s[3:])
	}
	return o, err
}

// parseKind reads <kind><0|1>.
func parseKind(s string) (outcome, error) {
	if _, known := kinds[s[0]]; !known || s[1] != '0' && s[1] != '1' {
		return outcome{}, replyError(fmt.Sprintf("outcome %q", s))
	}
	return outcome{kind: s[0], exists: s[1] == '1'}, nil
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
