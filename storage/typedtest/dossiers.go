package typedtest

import (
	"fmt"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

const fullDossier = `{"id":"d1","name":"core","targets":["a","b"],"context":"c","createdAt":"2026-03-01T10:00:00Z",
	"updatedAt":"2026-03-01T10:00:00Z","analysisCount":2,"status":"analyzing","layoutDescriptor":{"l":[1]},"history":[],
	"error":"e","mine":{"a":1}}`

func (e *env) dossier(id string) storage.IntelDossier {
	e.Helper()
	return got(e.store.SetDossier(e.ctx, storage.IntelDossier{ID: id, Name: "n " + id})).must(e)
}

func (e *env) append(id, layout string) storage.DossierEntry {
	e.Helper()
	entry := storage.DossierEntry{Timestamp: day(1), LayoutDescriptor: []byte(layout), ChangedFiles: []string{"f"}}
	ok(e, e.store.AppendDossierHistory(e.ctx, id, entry))
	return entry
}

func getDossier(e *env) {
	got(e.s.GetDossier(e.ctx, "d1")).fails(e, storage.ErrNotFound)
	want := e.dossier("d1")
	got(e.s.GetDossier(e.ctx, "d1")).is(e, want)
	want.History = []storage.DossierEntry{e.append("d1", "1"), e.append("d1", "2")}
	got(e.s.GetDossier(e.ctx, "d1")).is(e, want)
}

func setDossier(e *env) {
	want := decode[storage.IntelDossier](e, fullDossier)
	d := got(e.s.SetDossier(e.ctx, want)).must(e)
	recent(e, d.UpdatedAt)
	want.UpdatedAt = d.UpdatedAt
	same(e, d, want)
	got(e.store.GetDossier(e.ctx, "d1")).is(e, want)

	// A second time it keeps when it was created, and its history.
	entry := e.append("d1", "1")
	d.CreatedAt, d.Name = time.Time{}, "renamed"
	d = got(e.s.SetDossier(e.ctx, d)).must(e)
	want.Name, want.UpdatedAt, want.History = "renamed", d.UpdatedAt, []storage.DossierEntry{entry}
	same(e, d, want)
	got(e.store.GetDossier(e.ctx, "d1")).is(e, want)

	d = got(e.s.SetDossier(e.ctx, storage.IntelDossier{Name: "n"})).must(e)
	recent(e, d.CreatedAt)
	if d.ID == "" || d.Status != "idle" {
		e.Fatalf("answered %s", text(e, d))
	}
}

func listDossiers(e *env) {
	b, a := e.dossier("b"), e.dossier("a")
	b.History = []storage.DossierEntry{e.append("b", "1")}
	got(e.s.ListDossiers(e.ctx, storage.Paging{})).is(e, storage.Page[storage.IntelDossier]{Items: []storage.IntelDossier{a, b}})
	got(e.s.ListDossiers(e.ctx, storage.Paging{Limit: 1})).is(e,
		storage.Page[storage.IntelDossier]{Items: []storage.IntelDossier{a}, Next: "a"})
}

func deleteDossier(e *env) {
	got(e.s.DeleteDossier(e.ctx, "d1")).is(e, false)
	e.dossier("d1")
	other := e.dossier("d2")
	e.append("d1", "1")
	got(e.s.DeleteDossier(e.ctx, "d1")).is(e, true)
	e.noHistory("d1")
	got(e.store.GetDossier(e.ctx, "d1")).fails(e, storage.ErrNotFound)
	got(e.s.DeleteDossier(e.ctx, "d1")).is(e, false)
	got(e.store.GetDossier(e.ctx, "d2")).is(e, other)
	// Another of its name has a history of its own, whatever an append left that
	// crossed with the deletion.
	results := got(e.store.Driver.Apply(e.ctx, []storage.Op{&storage.Append{Log: "d:d1", ID: "a", Data: []byte("{}")}})).must(e)
	ok(e, results[0].Err)
	same(e, len(e.dossier("d1").History), 0)
	entry := e.append("d1", "2")
	same(e, got(e.store.GetDossier(e.ctx, "d1")).must(e).History, []storage.DossierEntry{entry})
}

func appendDossierHistory(e *env) {
	wantError(e, e.s.AppendDossierHistory(e.ctx, "d1", storage.DossierEntry{}), storage.ErrNotFound)
	e.dossier("d1")
	first := decode[storage.DossierEntry](e, `{"timestamp":"2026-03-01T10:00:00Z","layoutDescriptor":{"l":1},"changedFiles":["a"],"mine":1}`)
	ok(e, e.s.AppendDossierHistory(e.ctx, "d1", first))
	ok(e, e.s.AppendDossierHistory(e.ctx, "d1", storage.DossierEntry{}))
	history := got(e.store.GetDossier(e.ctx, "d1")).must(e).History
	same(e, len(history), 2)
	same(e, history[0], first)
	recent(e, history[1].Timestamp)
}

func limitDossiers(e *env) {
	for i := range storage.MaxDossiers {
		e.dossier(fmt.Sprintf("d%03d", i))
	}
	e.append("d001", "1")
	e.dossier("d000") // is no longer the oldest
	e.dossier("more")
	page := got(e.s.ListDossiers(e.ctx, storage.Paging{Limit: storage.MaxPage})).must(e)
	same(e, len(page.Items), storage.MaxDossiers)
	got(e.s.GetDossier(e.ctx, "d001")).fails(e, storage.ErrNotFound)
	for _, id := range []string{"d000", "d002", "more"} {
		got(e.s.GetDossier(e.ctx, id)).must(e)
	}
	e.noHistory("d001") // what went took its history along
}

// noHistory looks below the operations, which show no history without its dossier.
func (e *env) noHistory(id string) {
	e.Helper()
	same(e, len(got(e.store.Driver.ReadLog(e.ctx, "d:"+id, storage.LogQuery{})).must(e).Entries), 0)
}

func limitDossierHistory(e *env) {
	e.dossier("d1")
	for i := range 2 * storage.MaxDossierHistory {
		e.append("d1", fmt.Sprint(i))
	}
	history := got(e.s.GetDossier(e.ctx, "d1")).must(e).History
	same(e, len(history), storage.MaxDossierHistory)
	same(e, string(history[0].LayoutDescriptor), fmt.Sprint(storage.MaxDossierHistory))
}

const fullSuggestion = `{"id":"w1","type":"widget_suggestion","requestedBy":"anna","needed":"chart","reason":"r",
	"fallback":{"type":"markdown","content":"c","mine":1},"frequency":3,"timestamp":"2026-03-01T10:00:00Z","mine":2}`

func (e *env) suggest(id string, frequency int64) storage.SuggestionEntry {
	e.Helper()
	return got(e.store.AddSuggestion(e.ctx, suggestion(id, frequency))).must(e)
}

func suggestion(id string, frequency int64) storage.SuggestionEntry {
	return storage.SuggestionEntry{
		ID: id, Needed: "chart", Frequency: frequency, Fallback: storage.Fallback{Type: "raw"}, Timestamp: day(1),
	}
}

func getSuggestion(e *env) {
	got(e.s.GetSuggestion(e.ctx, "w1")).fails(e, storage.ErrNotFound)
	want := e.suggest("w1", 4)
	got(e.s.GetSuggestion(e.ctx, "w1")).is(e, want)
	got(e.store.IncrementSuggestion(e.ctx, "w1")).must(e)
	want.Frequency = 5
	got(e.s.GetSuggestion(e.ctx, "w1")).is(e, want)
}

func listSuggestions(e *env) {
	same(e, got(e.s.ListSuggestions(e.ctx)).must(e), []storage.SuggestionEntry{})
	a, b, c := e.suggest("a", 2), e.suggest("b", 1), e.suggest("c", 9)
	for range 2 {
		b = got(e.store.IncrementSuggestion(e.ctx, "b")).must(e)
	}
	got(e.s.ListSuggestions(e.ctx)).is(e, []storage.SuggestionEntry{c, b, a})
}

func addSuggestion(e *env) {
	want := decode[storage.SuggestionEntry](e, fullSuggestion)
	got(e.s.AddSuggestion(e.ctx, want)).is(e, want)
	got(e.store.GetSuggestion(e.ctx, "w1")).is(e, want)
	other := want
	other.Needed, other.Frequency = "table", 99
	got(e.s.AddSuggestion(e.ctx, other)).is(e, want) // is known
	got(e.store.GetSuggestion(e.ctx, "w1")).is(e, want)

	s := suggestion("", 0)
	s.Timestamp = time.Time{}
	s = got(e.s.AddSuggestion(e.ctx, s)).must(e)
	recent(e, s.Timestamp)
	if s.ID == "" || s.Type != "widget_suggestion" || s.Frequency != 1 {
		e.Fatalf("answered %s", text(e, s))
	}
	got(e.store.GetSuggestion(e.ctx, s.ID)).is(e, s)
}

func deleteSuggestion(e *env) {
	got(e.s.DeleteSuggestion(e.ctx, "w1")).is(e, false)
	e.suggest("w1", 5)
	other := e.suggest("w2", 1)
	got(e.s.DeleteSuggestion(e.ctx, "w1")).is(e, true)
	got(e.store.ListSuggestions(e.ctx)).is(e, []storage.SuggestionEntry{other})
	want := e.suggest("w1", 2) // counts from its own beginning
	got(e.store.GetSuggestion(e.ctx, "w1")).is(e, want)
}

func incrementSuggestion(e *env) {
	got(e.s.IncrementSuggestion(e.ctx, "w1")).fails(e, storage.ErrNotFound)
	want := e.suggest("w1", 1)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := e.s.IncrementSuggestion(e.ctx, "w1"); err != nil {
				e.Errorf("increment: %v", err)
			}
		})
	}
	wg.Wait()
	want.Frequency = 12
	got(e.s.IncrementSuggestion(e.ctx, "w1")).is(e, want)
	got(e.store.GetSuggestion(e.ctx, "w1")).is(e, want)
	// One that was not there has left nothing behind.
	got(e.s.IncrementSuggestion(e.ctx, "w2")).fails(e, storage.ErrNotFound)
	same(e, e.suggest("w2", 1).Frequency, 1)
}

func limitSuggestions(e *env) {
	for i := range storage.MaxSuggestions {
		e.suggest(fmt.Sprintf("w%03d", i), 2)
	}
	e.suggest("rare", 1) // there is no room for a second one, but for this
	got(e.s.GetSuggestion(e.ctx, "rare")).must(e)
	got(e.s.GetSuggestion(e.ctx, "w000")).fails(e, storage.ErrNotFound)
	e.suggest("next", 3)
	got(e.s.GetSuggestion(e.ctx, "rare")).fails(e, storage.ErrNotFound)
	// Counting changes who goes.
	got(e.s.IncrementSuggestion(e.ctx, "w001")).must(e)
	e.suggest("last", 3)
	got(e.s.GetSuggestion(e.ctx, "w001")).must(e)
	got(e.s.GetSuggestion(e.ctx, "w002")).fails(e, storage.ErrNotFound)
	same(e, len(got(e.s.ListSuggestions(e.ctx)).must(e)), storage.MaxSuggestions)
}
