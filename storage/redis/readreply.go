package redis

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// errForeign says that a key holds what this driver has not written.
func errForeign(what string) error {
	return fmt.Errorf("%w: foreign %s", storage.ErrPoison, what)
}

// parseRead reads the reply of read.lua.
func parseRead(reply any) (storage.LogState, []storage.LogEntry, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) != 3 {
		return storage.LogState{}, nil, unavailable(replyError("not a page"))
	}
	meta, err := parseFields(parts[0])
	if err != nil {
		return storage.LogState{}, nil, err
	}
	first, _ := parts[1].(string)
	state, err := parseState(meta, first)
	if err != nil {
		return state, nil, err
	}
	raw, ok := parts[2].([]any)
	if !ok {
		return state, nil, unavailable(replyError("no entries"))
	}
	entries := make([]storage.LogEntry, len(raw))
	for i := range raw {
		if entries[i], err = parseEntry(raw[i]); err != nil {
			return state, nil, err
		}
	}
	return state, entries, nil
}

// parseFields reads alternating names and values.
func parseFields(v any) (map[string]string, error) {
	list, ok := v.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, unavailable(replyError("not a list of fields"))
	}
	fields := make(map[string]string, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		name, isName := list[i].(string)
		value, isValue := list[i+1].(string)
		if !isName || !isValue {
			return nil, unavailable(replyError("a field is no string"))
		}
		fields[name] = value
	}
	return fields, nil
}

func parseState(meta map[string]string, first string) (storage.LogState, error) {
	var s storage.LogState
	var err error
	if first != "" {
		if s.First, err = parsePosition(first); err != nil {
			return s, errForeign("stream id")
		}
	}
	// A gravestone alone reads as an unknown log: its epoch is none, and whoever
	// holds a cursor of the dead one is told.
	_, alive := meta["epoch"]
	_, dropped := meta["dead"]
	if len(meta) == 0 || dropped && !alive {
		return s, nil
	}
	if s.Epoch, err = storage.ParseEpoch(meta["epoch"]); err != nil {
		return s, errForeign("epoch")
	}
	if s.Head, err = parsePosition(meta["us"] + "-" + meta["seq"]); err != nil {
		return s, errForeign("metadata")
	}
	for field, value := range meta {
		name, ok := strings.CutPrefix(field, "p:")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(value, " ")
		l, err := parseLink(name, number)
		if err != nil {
			return s, err
		}
		if s.Last == nil {
			s.Last = map[storage.Producer]uint64{}
		}
		s.Last[l.Producer] = l.Number
	}
	return s, nil
}

func parseLink(producer, number string) (storage.Link, error) {
	p, err := storage.ParseProducer(producer)
	if err != nil {
		return storage.Link{}, errForeign("producer")
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > math.MaxInt64 {
		return storage.Link{}, errForeign("producer's number")
	}
	return storage.Link{Producer: p, Number: n}, nil
}

// parseEntry reads one entry of a stream: its id and its fields.
func parseEntry(v any) (storage.LogEntry, error) {
	var e storage.LogEntry
	pair, ok := v.([]any)
	if !ok || len(pair) != 2 {
		return e, unavailable(replyError("not an entry"))
	}
	place, _ := pair[0].(string)
	var err error
	if e.Pos, err = parsePosition(place); err != nil {
		return e, errForeign("stream id")
	}
	fields, err := parseFields(pair[1])
	if err != nil {
		return e, err
	}
	data, hasData := fields["d"]
	if e.ID = fields["i"]; e.ID == "" || !hasData {
		return e, errForeign("stream entry")
	}
	e.Data = []byte(data)
	if producer, ok := fields["p"]; ok {
		if e.Link, err = parseLink(producer, fields["n"]); err != nil {
			return e, err
		}
	}
	return e, nil
}
