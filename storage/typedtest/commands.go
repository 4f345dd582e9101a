package typedtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/actionflows/lifeline/storage"
)

func command(session, commandType string) storage.CommandPayload {
	return storage.CommandPayload{SessionID: session, Command: storage.Command{Type: commandType}}
}

func (e *env) queue(session string, types ...string) (queued []storage.CommandPayload) {
	e.Helper()
	for _, commandType := range types {
		queued = append(queued, got(e.store.QueueCommand(e.ctx, command(session, commandType))).must(e))
	}
	return queued
}

func queueCommand(e *env) {
	want := decode[storage.CommandPayload](e, `{"commandId":"s1:1","command":{"type":"retry","payload":{"a":1},"stepNumber":2,"reason":"r","x":1},
		"issuedAt":"2026-03-01T10:00:00Z","sessionId":"s1","chainId":"c1","userId":"anna","context":{"k":2},"mine":3}`)
	want.ID, want.Type = "s1:1", "retry"
	for range 2 { // the same id is the same command
		got(e.s.QueueCommand(e.ctx, want)).is(e, want)
	}
	got(e.store.ListCommands(e.ctx, "s1")).is(e, []storage.CommandPayload{want})

	c := got(e.s.QueueCommand(e.ctx, command("a:b", "pause"))).must(e)
	recent(e, c.IssuedAt)
	if session, is := storage.CommandSession(c.ID); !is || session != "a:b" || c.CommandID != c.ID || c.Type != "pause" {
		e.Fatalf("answered %s", text(e, c))
	}
	got(e.store.ListCommands(e.ctx, "a:b")).is(e, []storage.CommandPayload{c})
	other := command("s1", "pause")
	other.CommandID = c.ID
	got(e.s.QueueCommand(e.ctx, other)).wrong(e, "commandId")
}

// listCommands hides nothing: a command is there until it is acknowledged.
func listCommands(e *env) {
	same(e, got(e.s.ListCommands(e.ctx, "s1")).must(e), []storage.CommandPayload{})
	queued := e.queue("s1", "pause", "resume", "cancel")
	e.queue("s2", "abort")
	for range 2 {
		got(e.s.ListCommands(e.ctx, "s1")).is(e, queued)
	}
}

func clearCommands(e *env) {
	got(e.s.ClearCommands(e.ctx, "s1")).is(e, 0)
	e.queue("s1", "pause", "resume", "cancel")
	other := e.queue("s2", "abort")
	got(e.s.ClearCommands(e.ctx, "s1")).is(e, 3)
	same(e, len(got(e.store.ListCommands(e.ctx, "s1")).must(e)), 0)
	got(e.store.ListCommands(e.ctx, "s2")).is(e, other)
}

func acknowledgeCommand(e *env) {
	queued := e.queue("s1", "pause", "resume")
	got(e.s.AcknowledgeCommand(e.ctx, queued[0].ID)).is(e, true)
	got(e.s.AcknowledgeCommand(e.ctx, queued[0].ID)).is(e, false)
	got(e.store.ListCommands(e.ctx, "s1")).is(e, queued[1:])
	got(e.s.AcknowledgeCommand(e.ctx, "no id")).wrong(e, "commandId")
}

func inputs(taken []storage.Input) []string {
	all := make([]string, len(taken))
	for i, input := range taken {
		all[i] = input.ID + " " + string(input.Input)
	}
	return all
}

func (e *env) push(session string, ids ...string) {
	e.Helper()
	for _, id := range ids {
		got(e.store.PushInput(e.ctx, session, id, json.RawMessage(`"`+id+`"`))).is(e, id)
	}
}

func pushInput(e *env) {
	for i, input := range []string{`"text"`, `{"a":[1]}`, `null`, ` 7 `} {
		got(e.s.PushInput(e.ctx, "s1", fmt.Sprint("i", i), json.RawMessage(input))).is(e, fmt.Sprint("i", i))
	}
	got(e.s.PushInput(e.ctx, "s1", "i0", json.RawMessage(`"twice"`))).is(e, "i0")
	drawn := got(e.s.PushInput(e.ctx, "s1", "", json.RawMessage(`1`))).must(e)
	if drawn == "" {
		e.Fatal("no id was drawn")
	}
	taken := got(e.store.TakeInput(e.ctx, "s1", 0)).must(e)
	recent(e, taken[0].ReceivedAt)
	same(e, inputs(taken), []string{`i0 "text"`, `i1 {"a":[1]}`, `i2 null`, `i3  7 `, drawn + " 1"})
	got(e.s.PushInput(e.ctx, "s1", "", json.RawMessage(`{`))).wrong(e, "input")
	got(e.s.PushInput(e.ctx, "", "", json.RawMessage(`1`))).wrong(e, "sessionId")
}

func takeInput(e *env) {
	same(e, inputs(got(e.s.TakeInput(e.ctx, "s1", 0)).must(e)), []string{})
	e.push("s1", "a", "b", "c")
	e.push("s2", "other")
	same(e, inputs(got(e.s.TakeInput(e.ctx, "s1", 2)).must(e)), []string{`a "a"`, `b "b"`})
	same(e, inputs(got(e.s.TakeInput(e.ctx, "s1", 0)).must(e)), []string{`c "c"`})
	e.push("s1", "a") // one that was taken
	same(e, inputs(got(e.s.TakeInput(e.ctx, "s1", 0)).must(e)), []string{})
	got(e.s.TakeInput(e.ctx, "s1", -1)).wrong(e, "limit")
}

func clearInput(e *env) {
	e.push("s1", "a", "b", "c")
	e.push("s2", "other")
	got(e.s.ClearInput(e.ctx, "s1")).is(e, 3)
	got(e.s.ClearInput(e.ctx, "s1")).is(e, 0)
	same(e, len(got(e.store.TakeInput(e.ctx, "s2", 0)).must(e)), 1)
}

func limitInput(e *env) {
	for i := range storage.MaxInputs {
		e.push("s1", fmt.Sprint("i", i))
	}
	got(e.s.PushInput(e.ctx, "s1", "more", json.RawMessage(`1`))).fails(e, storage.ErrFull)
	e.push("s2", "other")
	same(e, len(got(e.s.TakeInput(e.ctx, "s1", 1)).must(e)), 1)
	e.push("s1", "more")
	got(e.s.ClearInput(e.ctx, "s1")).is(e, storage.MaxInputs)
}

// concurrentTakers: each input is handed out once.
func concurrentTakers(e *env) {
	const pushers, each = 4, 20
	var wg, takers sync.WaitGroup
	var mu sync.Mutex
	var taken []string
	take := func() bool {
		items, err := e.s.TakeInput(e.ctx, "s1", 3)
		if err != nil {
			e.Errorf("take: %v", err)
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, inputs(items)...)
		return len(items) > 0
	}
	done := make(chan struct{})
	for range 3 {
		takers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					take()
				}
			}
		})
	}
	want := make([]string, 0, pushers*each)
	for p := range pushers {
		for i := range each {
			want = append(want, fmt.Sprintf("p%d-%d 1", p, i))
		}
		wg.Go(func() {
			for i := range each {
				if _, err := e.s.PushInput(e.ctx, "s1", fmt.Sprintf("p%d-%d", p, i), json.RawMessage(`1`)); err != nil {
					e.Errorf("push: %v", err)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	takers.Wait()
	for take() {
	}
	slices.Sort(taken)
	slices.Sort(want)
	same(e, taken, want)
}
