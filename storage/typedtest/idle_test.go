package typedtest

import (
	"context"
	"encoding/json"

	"github.com/actionflows/lifeline/storage"
)

// Each of these is a storage of which one operation does nothing and answers its
// zero value.
type (
	noGetSession           struct{ storage.Storage }
	noSetSession           struct{ storage.Storage }
	noDeleteSession        struct{ storage.Storage }
	noListSessions         struct{ storage.Storage }
	noActiveUsers          struct{ storage.Storage }
	noAddEvent             struct{ storage.Storage }
	noAddEvents            struct{ storage.Storage }
	noReadEvents           struct{ storage.Storage }
	noGrowth               struct{ storage.Storage }
	noAddChain             struct{ storage.Storage }
	noListChains           struct{ storage.Storage }
	noGetChain             struct{ storage.Storage }
	noApplyEvent           struct{ storage.Storage }
	noQueueCommand         struct{ storage.Storage }
	noListCommands         struct{ storage.Storage }
	noClearCommands        struct{ storage.Storage }
	noAcknowledgeCommand   struct{ storage.Storage }
	noPushInput            struct{ storage.Storage }
	noTakeInput            struct{ storage.Storage }
	noClearInput           struct{ storage.Storage }
	noFollow               struct{ storage.Storage }
	noUnfollow             struct{ storage.Storage }
	noFollowed             struct{ storage.Storage }
	noSetWindowConfig      struct{ storage.Storage }
	noGetWindowConfig      struct{ storage.Storage }
	noTrackFrequency       struct{ storage.Storage }
	noGetFrequency         struct{ storage.Storage }
	noTopFrequencies       struct{ storage.Storage }
	noAddBookmark          struct{ storage.Storage }
	noListBookmarks        struct{ storage.Storage }
	noRemoveBookmark       struct{ storage.Storage }
	noAddPattern           struct{ storage.Storage }
	noListPatterns         struct{ storage.Storage }
	noAddHarmonyCheck      struct{ storage.Storage }
	noListHarmony          struct{ storage.Storage }
	noHarmonyMetrics       struct{ storage.Storage }
	noGetDossier           struct{ storage.Storage }
	noSetDossier           struct{ storage.Storage }
	noListDossiers         struct{ storage.Storage }
	noDeleteDossier        struct{ storage.Storage }
	noAppendDossierHistory struct{ storage.Storage }
	noGetSuggestion        struct{ storage.Storage }
	noListSuggestions      struct{ storage.Storage }
	noAddSuggestion        struct{ storage.Storage }
	noDeleteSuggestion     struct{ storage.Storage }
	noIncrementSuggestion  struct{ storage.Storage }
	noSubscribe            struct{ storage.Storage }
	noPublish              struct{ storage.Storage }
	noClose                struct{ storage.Storage }
)

func (noGetSession) GetSession(context.Context, string) (none storage.Session, err error) { return }
func (noSetSession) SetSession(context.Context, storage.Session) (none storage.Session, err error) {
	return
}
func (noDeleteSession) DeleteSession(context.Context, string) (none bool, err error) { return }
func (noListSessions) ListSessions(context.Context, storage.SessionFilter) (none storage.Page[storage.Session], err error) {
	return
}
func (noActiveUsers) ActiveUsers(context.Context) (none []string, err error) { return }
func (noAddEvent) AddEvent(context.Context, string, string, []byte) (none storage.Result, err error) {
	return
}

func (noAddEvents) AddEvents(_ context.Context, events []storage.NewEvent) []storage.Result {
	return make([]storage.Result, len(events))
}

func (noReadEvents) ReadEvents(context.Context, string, storage.LogQuery) (none storage.LogPage, err error) {
	return
}

func (noGrowth) Growth(context.Context, func(string)) error { return nil }

func (noAddChain) AddChain(context.Context, storage.Chain) (none storage.Chain, err error) { return }

func (noListChains) ListChains(context.Context, string) (none []storage.Chain, err error) { return }

func (noGetChain) GetChain(context.Context, string, string) (none storage.Chain, err error) { return }

func (noApplyEvent) ApplyEvent(context.Context, string, string, []byte) (none bool, err error) {
	return
}

func (noQueueCommand) QueueCommand(context.Context, storage.CommandPayload) (none storage.CommandPayload, err error) {
	return
}

func (noListCommands) ListCommands(context.Context, string) (none []storage.CommandPayload, err error) {
	return
}
func (noClearCommands) ClearCommands(context.Context, string) (none int, err error) { return }
func (noAcknowledgeCommand) AcknowledgeCommand(context.Context, string) (none bool, err error) {
	return
}

func (noPushInput) PushInput(context.Context, string, string, json.RawMessage) (none string, err error) {
	return
}

func (noTakeInput) TakeInput(context.Context, string, int) (none []storage.Input, err error) { return }

func (noClearInput) ClearInput(context.Context, string) (none int, err error) { return }

func (noFollow) Follow(context.Context, string, string) (none bool, err error) { return }

func (noUnfollow) Unfollow(context.Context, string, string) (none bool, err error) { return }

func (noFollowed) Followed(context.Context, string) (none []string, err error) { return }

func (noSetWindowConfig) SetWindowConfig(context.Context, storage.SessionWindowConfig) error {
	return nil
}

func (noGetWindowConfig) GetWindowConfig(context.Context, string) (none storage.SessionWindowConfig, err error) {
	return
}

func (noTrackFrequency) TrackFrequency(context.Context, string, storage.FrequencyScope) error {
	return nil
}

func (noGetFrequency) GetFrequency(context.Context, string, storage.FrequencyScope) (none storage.FrequencyRecord, err error) {
	return
}

func (noTopFrequencies) TopFrequencies(context.Context, storage.FrequencyScope, int) (none []storage.FrequencyRecord, err error) {
	return
}

func (noAddBookmark) AddBookmark(context.Context, storage.Bookmark) (none storage.Bookmark, err error) {
	return
}

func (noListBookmarks) ListBookmarks(context.Context, storage.BookmarkFilter) (none storage.Page[storage.Bookmark], err error) {
	return
}
func (noRemoveBookmark) RemoveBookmark(context.Context, string) (none bool, err error) { return }
func (noAddPattern) AddPattern(context.Context, storage.DetectedPattern) (none storage.DetectedPattern, err error) {
	return
}

func (noListPatterns) ListPatterns(context.Context, storage.PatternFilter) (none storage.Page[storage.DetectedPattern], err error) {
	return
}

func (noAddHarmonyCheck) AddHarmonyCheck(context.Context, storage.HarmonyCheck) (none storage.HarmonyCheck, err error) {
	return
}

func (noListHarmony) ListHarmony(context.Context, storage.HarmonyScope, storage.HarmonyFilter) (none []storage.HarmonyCheck, err error) {
	return
}

func (noHarmonyMetrics) HarmonyMetrics(context.Context, storage.HarmonyScope) (none storage.HarmonyMetrics, err error) {
	return
}

func (noGetDossier) GetDossier(context.Context, string) (none storage.IntelDossier, err error) {
	return
}

func (noSetDossier) SetDossier(context.Context, storage.IntelDossier) (none storage.IntelDossier, err error) {
	return
}

func (noListDossiers) ListDossiers(context.Context, storage.Paging) (none storage.Page[storage.IntelDossier], err error) {
	return
}
func (noDeleteDossier) DeleteDossier(context.Context, string) (none bool, err error) { return }
func (noAppendDossierHistory) AppendDossierHistory(context.Context, string, storage.DossierEntry) error {
	return nil
}

func (noGetSuggestion) GetSuggestion(context.Context, string) (none storage.SuggestionEntry, err error) {
	return
}

func (noListSuggestions) ListSuggestions(context.Context) (none []storage.SuggestionEntry, err error) {
	return
}

func (noAddSuggestion) AddSuggestion(context.Context, storage.SuggestionEntry) (none storage.SuggestionEntry, err error) {
	return
}

func (noDeleteSuggestion) DeleteSuggestion(context.Context, string) (none bool, err error) { return }

func (noIncrementSuggestion) IncrementSuggestion(context.Context, string) (none storage.SuggestionEntry, err error) {
	return
}
func (noSubscribe) Subscribe(context.Context, string, func(storage.Message)) error { return nil }
func (noPublish) Publish(context.Context, string, []byte) error                    { return nil }
func (noClose) Close() error                                                       { return nil }

// idle answers, by the name of its test, a storage without an operation.
var idle = map[string]func(storage.Storage) storage.Storage{
	"sessions/get":                        func(s storage.Storage) storage.Storage { return noGetSession{s} },
	"sessions/set":                        func(s storage.Storage) storage.Storage { return noSetSession{s} },
	"sessions/delete":                     func(s storage.Storage) storage.Storage { return noDeleteSession{s} },
	"sessions/by user":                    func(s storage.Storage) storage.Storage { return noListSessions{s} },
	"sessions/users with active sessions": func(s storage.Storage) storage.Storage { return noActiveUsers{s} },
	"events/add":                          func(s storage.Storage) storage.Storage { return noAddEvent{s} },
	"events/add many":                     func(s storage.Storage) storage.Storage { return noAddEvents{s} },
	"events/get":                          func(s storage.Storage) storage.Storage { return noReadEvents{s} },
	"events/since":                        func(s storage.Storage) storage.Storage { return noReadEvents{s} },
	"events/growth":                       func(s storage.Storage) storage.Storage { return noGrowth{s} },
	"chains/add":                          func(s storage.Storage) storage.Storage { return noAddChain{s} },
	"chains/list":                         func(s storage.Storage) storage.Storage { return noListChains{s} },
	"chains/get":                          func(s storage.Storage) storage.Storage { return noGetChain{s} },
	"chains/apply event":                  func(s storage.Storage) storage.Storage { return noApplyEvent{s} },
	"commands/queue":                      func(s storage.Storage) storage.Storage { return noQueueCommand{s} },
	"commands/list":                       func(s storage.Storage) storage.Storage { return noListCommands{s} },
	"commands/clear":                      func(s storage.Storage) storage.Storage { return noClearCommands{s} },
	"commands/acknowledge":                func(s storage.Storage) storage.Storage { return noAcknowledgeCommand{s} },
	"input/queue":                         func(s storage.Storage) storage.Storage { return noPushInput{s} },
	"input/take":                          func(s storage.Storage) storage.Storage { return noTakeInput{s} },
	"input/clear":                         func(s storage.Storage) storage.Storage { return noClearInput{s} },
	"windows/follow":                      func(s storage.Storage) storage.Storage { return noFollow{s} },
	"windows/unfollow":                    func(s storage.Storage) storage.Storage { return noUnfollow{s} },
	"windows/followed":                    func(s storage.Storage) storage.Storage { return noFollowed{s} },
	"windows/set config":                  func(s storage.Storage) storage.Storage { return noSetWindowConfig{s} },
	"windows/get config":                  func(s storage.Storage) storage.Storage { return noGetWindowConfig{s} },
	"frequencies/track":                   func(s storage.Storage) storage.Storage { return noTrackFrequency{s} },
	"frequencies/get":                     func(s storage.Storage) storage.Storage { return noGetFrequency{s} },
	"frequencies/top":                     func(s storage.Storage) storage.Storage { return noTopFrequencies{s} },
	"bookmarks/add":                       func(s storage.Storage) storage.Storage { return noAddBookmark{s} },
	"bookmarks/list":                      func(s storage.Storage) storage.Storage { return noListBookmarks{s} },
	"bookmarks/remove":                    func(s storage.Storage) storage.Storage { return noRemoveBookmark{s} },
	"patterns/add":                        func(s storage.Storage) storage.Storage { return noAddPattern{s} },
	"patterns/list":                       func(s storage.Storage) storage.Storage { return noListPatterns{s} },
	"harmony/add":                         func(s storage.Storage) storage.Storage { return noAddHarmonyCheck{s} },
	"harmony/list":                        func(s storage.Storage) storage.Storage { return noListHarmony{s} },
	"harmony/metrics":                     func(s storage.Storage) storage.Storage { return noHarmonyMetrics{s} },
	"dossiers/get":                        func(s storage.Storage) storage.Storage { return noGetDossier{s} },
	"dossiers/set":                        func(s storage.Storage) storage.Storage { return noSetDossier{s} },
	"dossiers/list":                       func(s storage.Storage) storage.Storage { return noListDossiers{s} },
	"dossiers/delete":                     func(s storage.Storage) storage.Storage { return noDeleteDossier{s} },
	"dossiers/append history":             func(s storage.Storage) storage.Storage { return noAppendDossierHistory{s} },
	"suggestions/get":                     func(s storage.Storage) storage.Storage { return noGetSuggestion{s} },
	"suggestions/list":                    func(s storage.Storage) storage.Storage { return noListSuggestions{s} },
	"suggestions/add":                     func(s storage.Storage) storage.Storage { return noAddSuggestion{s} },
	"suggestions/delete":                  func(s storage.Storage) storage.Storage { return noDeleteSuggestion{s} },
	"suggestions/increment":               func(s storage.Storage) storage.Storage { return noIncrementSuggestion{s} },
	"pubsub/subscribe":                    func(s storage.Storage) storage.Storage { return noSubscribe{s} },
	"pubsub/publish":                      func(s storage.Storage) storage.Storage { return noPublish{s} },
	"pubsub/disconnect":                   func(s storage.Storage) storage.Storage { return noClose{s} },
}
