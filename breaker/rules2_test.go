package breaker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// The rules go on here from rules_test.go.

func TestRule9HooksInOrderWithoutLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *breaker.Breaker
		var got []string
		nested := 0
		b = newBreaker(t, breaker.Config{FailureThreshold: 2, Hooks: breaker.Hooks{
			OnFailure: func(f breaker.FailureInfo) {
				got = append(got, fmt.Sprintf("%s failure %d", f.State, f.FailureCount))
			},
			OnTransition: func(tr breaker.Transition) {
				got = append(got, fmt.Sprintf("%s>%s", tr.From, tr.To))
				_ = b.Stats()
				_, _ = b.Acquire()
				if nested++; nested == 1 { // what this sets off comes after this hook
					b.Reset()
					b.Trip(nil)
				}
				got = append(got, "end")
			},
		}})
		play(t, b, "FF")
		pass(30 * time.Second)
		want := "closed failure 1,closed failure 2,closed>open,end,open>closed,end,closed>open,end,open>half-open,end"
		if s := strings.Join(got, ","); s != want {
			t.Errorf("got  %s\nwant %s", s, want)
		}
	})
}

func TestRule10SecondDoneIsANoOp(t *testing.T) {
	again := map[string]func(*breaker.Token){
		"Done":   func(token *breaker.Token) { token.Done(context.Background(), errDown) },
		"Report": func(token *breaker.Token) { token.Report(breaker.Failure) },
	}
	for _, first := range []breaker.Outcome{breaker.Success, breaker.Failure, breaker.Ignore} {
		for name, settle := range again {
			t.Run(fmt.Sprintf("%v/%s", first, name), func(t *testing.T) {
				bubble(t, breaker.Config{FailureThreshold: 3, Probes: 2, ProbeSuccesses: 9}, func(t *testing.T, b *breaker.Breaker) {
					for range 2 { // closed, then half-open
						token := acquire(t, b)
						token.Report(first)
						before := asJSON(t, b.Stats())
						settle(token)
						settle(token)
						if after := asJSON(t, b.Stats()); after != before {
							t.Fatalf("settling again changed\n%s to\n%s", before, after)
						}
						b.Trip(nil)
						pass(30 * time.Second)
					}
				})
			})
		}
	}
	t.Run("zero Token", func(*testing.T) {
		var token breaker.Token
		token.Done(context.Background(), errDown)
		token.Report(breaker.Failure)
	})
}

func TestRule11CountNeverDecaysWithTime(t *testing.T) {
	bubble(t, breaker.Config{FailureThreshold: 200}, func(t *testing.T, b *breaker.Breaker) {
		for range 199 {
			play(t, b, "F")
			pass(19 * time.Second)
		}
		wantState(t, b, breaker.Closed)
		play(t, b, "F")
		wantState(t, b, breaker.Open)
	})
}

func TestRule12SettingsAreValidated(t *testing.T) {
	for _, test := range invalidConfigs {
		t.Run(test.name, func(t *testing.T) {
			_, err := breaker.New(test.cfg)
			if err == nil {
				t.Fatal("New accepted it")
			}
			for field := range strings.FieldsSeq(test.name) {
				if !strings.Contains(err.Error(), field+" is ") {
					t.Errorf("error does not name %s: %v", field, err)
				}
			}
		})
	}
}

func TestRule13CommandsAreIdempotentAndObservable(t *testing.T) {
	tests := []struct {
		name    string
		command func(*breaker.Breaker)
		want    breaker.State
		held    breaker.HoldState
		events  string
	}{
		{"Reset", func(b *breaker.Breaker) { b.Reset() }, breaker.Closed, 0, ""},
		{"Trip", func(b *breaker.Breaker) { b.Trip(errDown) }, breaker.Open, 0, "closed>open trip "},
		{"Hold open", func(b *breaker.Breaker) { b.Hold(breaker.ForcedOpen, 0) }, breaker.Open, breaker.ForcedOpen, "closed>open hold forced-open"},
		{"Hold disabled", func(b *breaker.Breaker) { b.Hold(breaker.Disabled, 0) }, breaker.Closed, breaker.Disabled, "closed>closed hold disabled"},
		{"Release", func(b *breaker.Breaker) { b.Release() }, breaker.Closed, 0, ""},
		{"Close", func(b *breaker.Breaker) { b.Close() }, breaker.Closed, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var events []string
			b := newBreaker(t, breaker.Config{Hooks: breaker.Hooks{OnTransition: func(tr breaker.Transition) {
				events = append(events, fmt.Sprintf("%v>%v %s %v", tr.From, tr.To, tr.Reason, tr.Held))
			}}})
			for range 3 {
				test.command(b)
				wantState(t, b, test.want)
				var held breaker.HoldState
				if h := b.Stats().Held; h != nil {
					held = h.State
				}
				if held != test.held {
					t.Errorf("hold is %v, want %v", held, test.held)
				}
			}
			if got := strings.Join(events, ","); got != test.events {
				t.Errorf("events %q, want %q", got, test.events)
			}
		})
	}
}

// A caller may ask whether its success would close the breaker.
func TestTokenProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{ResetTimeout: time.Second})
		token, err := b.Acquire()
		if err != nil || token.Probe() {
			t.Fatalf("closed: %v %v", token.Probe(), err)
		}
		token.Report(breaker.Success)
		b.Trip(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		token, err = b.Acquire()
		if err != nil || !token.Probe() {
			t.Fatalf("half-open: %v %v", token.Probe(), err)
		}
		if token.Report(breaker.Success); token.Probe() {
			t.Fatal("a settled token is still a probe")
		}
	})
}
