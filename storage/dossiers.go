package storage

import (
	"context"
	"errors"
	"slices"
)

const (
	// MaxDossiers is how many dossiers there are at most.
	MaxDossiers = 100
	// MaxDossierHistory is how many entries of a dossier's history are kept.
	MaxDossierHistory = 50
)

// Dossiers are the operations on dossiers.
type Dossiers interface {
	// GetDossier answers a dossier with its history.
	GetDossier(ctx context.Context, id string) (IntelDossier, error)
	// SetDossier writes a dossier and answers it as it was written: ID is drawn and
	// Status idle where they are missing, CreatedAt stays what it was or is now,
	// UpdatedAt is now. History is ignored. The last writer wins. The dossier that
	// was written longest ago goes when there are more than MaxDossiers.
	SetDossier(ctx context.Context, dossier IntelDossier) (IntelDossier, error)
	// ListDossiers answers dossiers with their history, by id.
	ListDossiers(ctx context.Context, p Paging) (Page[IntelDossier], error)
	// DeleteDossier removes a dossier with its history and reports whether it was
	// there.
	DeleteDossier(ctx context.Context, id string) (bool, error)
	// AppendDossierHistory adds an entry of at most MaxSmallRecord bytes to the
	// history of a dossier, which must be there; its Timestamp is now where it is
	// missing. The oldest go beyond MaxDossierHistory.
	AppendDossierHistory(ctx context.Context, id string, entry DossierEntry) error
}

const dossierLog = "d:"

// GetDossier implements [Dossiers].
func (s *Store) GetDossier(ctx context.Context, id string) (IntelDossier, error) {
	d, err := get[IntelDossier](ctx, s, collDossiers, id)
	if err != nil {
		return IntelDossier{}, err
	}
	d.History, _, err = s.dossierHistory(ctx, id)
	return d, err
}

func (s *Store) dossierHistory(ctx context.Context, id string) ([]DossierEntry, int, error) {
	return readRecords[DossierEntry](ctx, s, dossierLog+id, MaxDossierHistory)
}

// SetDossier implements [Dossiers].
func (s *Store) SetDossier(ctx context.Context, d IntelDossier) (IntelDossier, error) {
	if d.ID == "" {
		d.ID = newID()
	}
	if d.Status == "" {
		d.Status = "idle"
	}
	if err := d.check(); err != nil {
		return IntelDossier{}, err
	}
	unlock, err := lock(ctx, collDossiers)
	if err != nil {
		return IntelDossier{}, err
	}
	defer unlock()
	old, err := s.GetDossier(ctx, d.ID)
	isNew := errors.Is(err, ErrNotFound)
	if err != nil && !isNew {
		return IntelDossier{}, err
	}
	d.UpdatedAt = now()
	d.CreatedAt = firstTime(firstTime(d.CreatedAt, old.CreatedAt), d.UpdatedAt)
	d.History = nil
	body, err := encode(d, MaxRecord)
	if err != nil {
		return IntelDossier{}, err
	}
	ops := []Op{&Put{
		Collection: collDossiers, ID: d.ID, Body: body, MaxMembers: MaxDossiers, Rank: rankOf(d.UpdatedAt),
	}}
	if isNew {
		if err := s.makeRoom(ctx); err != nil {
			return IntelDossier{}, err
		}
		// What an append may have left that crossed with the deletion.
		ops = append(ops, &Drop{Scope: dossierLog + d.ID})
	}
	if _, err := s.apply(ctx, "set dossier", ops...); err != nil {
		return IntelDossier{}, err
	}
	d.History = slices.Concat([]DossierEntry{}, old.History)
	return d, nil
}

// makeRoom deletes the dossier written longest ago when there is no room for
// another. The driver's own bound would leave its history behind; it only counts
// when two nodes add a dossier at once.
func (s *Store) makeRoom(ctx context.Context) error {
	dossiers, _, err := all[IntelDossier](ctx, s, scan{collection: collDossiers})
	if err != nil || len(dossiers) < MaxDossiers {
		return err
	}
	oldest := slices.MinFunc(dossiers, func(a, b IntelDossier) int { return byTime(a.UpdatedAt, b.UpdatedAt, a.ID, b.ID) })
	_, err = s.DeleteDossier(ctx, oldest.ID)
	return err
}

// ListDossiers implements [Dossiers].
func (s *Store) ListDossiers(ctx context.Context, p Paging) (Page[IntelDossier], error) {
	page, err := list[IntelDossier](ctx, s, scan{collection: collDossiers}, p, nil)
	if err != nil {
		return page, err
	}
	err = page.complete(func(d IntelDossier) string { return d.ID }, func(d *IntelDossier) (size int, err error) {
		d.History, size, err = s.dossierHistory(ctx, d.ID)
		return size, err
	})
	if err != nil {
		return Page[IntelDossier]{}, err
	}
	return page, nil
}

// DeleteDossier implements [Dossiers].
func (s *Store) DeleteDossier(ctx context.Context, id string) (bool, error) {
	if err := checkID("id", id); err != nil {
		return false, err
	}
	results, err := s.apply(ctx, "delete dossier", &Del{Collection: collDossiers, ID: id}, &Drop{Scope: dossierLog + id})
	if err != nil {
		return false, err
	}
	return results[0].Exists, nil
}

// AppendDossierHistory implements [Dossiers].
func (s *Store) AppendDossierHistory(ctx context.Context, id string, entry DossierEntry) error {
	entry.Timestamp = firstTime(entry.Timestamp, now())
	if err := firstError(checkID("id", id), checkTime("timestamp", entry.Timestamp)); err != nil {
		return err
	}
	body, err := encode(entry, MaxSmallRecord)
	if err != nil {
		return err
	}
	// The log begins with the first entry, so that not the log but the dossier must
	// be there. One that is deleted at this moment may leave its log behind, which
	// SetDossier drops.
	if _, err := get[IntelDossier](ctx, s, collDossiers, id); err != nil {
		return err
	}
	_, err = s.apply(ctx, "append dossier history", &Append{
		Log: dossierLog + id, ID: newID(), Data: body, MaxLen: MaxDossierHistory,
	})
	return err
}
