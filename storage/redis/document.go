package redis

import (
	"context"
	"fmt"
	"strconv"

	"github.com/actionflows/lifeline/storage"
)

// Get implements [storage.Driver].
func (d *Driver) Get(ctx context.Context, collection, id string) (storage.Document, error) {
	if collection == "" || id == "" {
		return storage.Document{}, fmt.Errorf("get: no collection or no id: %w", storage.ErrPoison)
	}
	return bounded(ctx, d, func(ctx context.Context) (storage.Document, error) {
		c := &call{keys: []string{d.keys.collection(collection).document(id)}}
		getScript.run(ctx, d.read, []*call{c})
		if c.reply == nil {
			return storage.Document{}, opError(c.err)
		}
		d.checkServer()
		fields, ok := c.reply.([]any)
		if !ok || len(fields) != 4 {
			return storage.Document{}, unavailable(replyError("not a document"))
		}
		if fields[3] == nil { // never written, or deleted
			return storage.Document{}, storage.ErrNotFound
		}
		parts, err := texts(fields[:3])
		if err != nil {
			return storage.Document{}, errForeign("document")
		}
		return parseDocument(id, parts[0], parts[1], parts[2])
	})
}

// Scan implements [storage.Driver]. Documents that have expired cost further round
// trips only by the ten thousand.
func (d *Driver) Scan(ctx context.Context, collection, index string, q storage.ScanQuery) ([]storage.Document, error) {
	if collection == "" {
		return nil, fmt.Errorf("scan: no collection: %w", storage.ErrPoison)
	}
	if q.Limit <= 0 {
		q.Limit = storage.DefaultPage
	}
	q.Limit = min(q.Limit, storage.MaxPage)
	members := allMembers
	if index != "" {
		members = indexMembers(index, q.Value)
	}
	return bounded(ctx, d, func(ctx context.Context) ([]storage.Document, error) {
		k := d.keys.collection(collection)
		var all []storage.Document
		for {
			c := &call{keys: []string{k.members()}, args: []any{k.base, members, q.After, q.Limit - len(all)}}
			scanScript.run(ctx, d.read, []*call{c})
			if c.reply == nil {
				return nil, opError(c.err)
			}
			d.checkServer()
			next, documents, err := parseScan(c.reply)
			if err != nil {
				return nil, err
			}
			all = append(all, documents...)
			if next == "" || len(all) >= q.Limit {
				return all, nil
			}
			q.After = next
		}
	})
}

// parseScan reads what scan.lua answered: the id to go on from, if that is needed,
// and documents of four strings each.
func parseScan(reply any) (next string, documents []storage.Document, err error) {
	parts, err := texts(reply)
	if err != nil {
		return "", nil, err
	}
	if len(parts)%4 != 1 {
		return "", nil, unavailable(replyError("not a page of documents"))
	}
	for p := parts[1:]; len(p) > 0; p = p[4:] {
		doc, err := parseDocument(p[0], p[1], p[2], p[3])
		if err != nil {
			return "", nil, err
		}
		documents = append(documents, doc)
	}
	return parts[0], documents, nil
}

func parseDocument(id, micros, producer, body string) (storage.Document, error) {
	us, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return storage.Document{}, errForeign("document's stamp")
	}
	p, err := storage.ParseProducer(producer)
	if err != nil {
		return storage.Document{}, errForeign("document's producer")
	}
	return storage.Document{ID: id, Body: []byte(body), Stamp: storage.Stamp{Micros: us, Producer: p}}, nil
}
