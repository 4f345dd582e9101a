package redis

import (
	"strconv"

	"github.com/actionflows/lifeline/storage"
)

// logCall is the script call for the appends to one log; append.lua says what each
// argument is. The last append says how much of the log is kept.
func logCall(k logKeys, b *batch) *call {
	appends := make([]*storage.Append, len(b.ops))
	for i, op := range b.ops {
		appends[i] = op.(*storage.Append) //nolint:forcetypeassert // by aim
	}
	newest := appends[len(appends)-1]
	notice := storage.Notice{Producer: producer(appends), Log: b.name}
	args := make([]any, 0, 8+7*len(appends))
	args = append(args, storage.NewEpoch().String(), max(newest.MaxLen, 0),
		max(newest.MaxAge.Microseconds(), 0), max(newest.MaxLen, storage.DedupWindow),
		k.channel, notice.Encode(), b.name)
	for _, a := range appends {
		args = append(args, a.ID, a.Data, max(a.Floor, -1), optional(a.Epoch))
		args = append(args, linkArgs(a.Link)...)
		args = append(args, flag('r', a.Rebase)+flag('x', a.IfExists))
	}
	return &call{keys: []string{k.stream, k.meta, k.ids0, k.ids1, k.index}, args: args}
}

// producer is the one that wrote all appends, else none.
func producer(appends []*storage.Append) storage.Producer {
	p := appends[0].Link.Producer
	for _, a := range appends {
		if a.Link.Producer != p {
			return 0
		}
	}
	return p
}

// linkArgs are a link for a script: producer or nothing, and number.
func linkArgs(l storage.Link) []any {
	return []any{optional(l.Producer), strconv.FormatUint(l.Number, 10)}
}

// optional spells none as nothing.
func optional[T interface {
	~uint64
	String() string
}](v T) string {
	if v == 0 {
		return ""
	}
	return v.String()
}

func flag(letter rune, set bool) string {
	if set {
		return string(letter)
	}
	return ""
}
