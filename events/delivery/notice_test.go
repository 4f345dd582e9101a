package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// Another server's events, of which no message arrives, are noticed by their missing
// numbers as soon as this server appends one itself: they come first, and in order,
// to whoever follows by WebSocket, stream or long poll.
func TestLostNoticeIsNoticed(t *testing.T) {
	redis := redistest.Start(t)
	here, there := onRedis(t, redis, patience), onRedis(t, redis, patience)
	here.backend.deaf.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	local := &publisher{t: t, node: here, name: "local"}
	remote := &publisher{t: t, node: there, name: "remote"}
	local.run(ctx, 1)
	first := history(t, here.backend.Store, session)[0].Cursor.String()

	for _, how := range []transport{webSocket, stream, longPoll} {
		t.Run(how.String(), func(t *testing.T) {
			began := make(chan struct{})
			var once sync.Once
			var following sync.WaitGroup
			defer following.Wait()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			seen := make(chan string, 100)
			v := visit{node: here, who: "192.0.2.1", how: how, interest: all(session), at: map[string]string{session: first}}
			v.saw = func(s sight) bool {
				once.Do(func() { close(began) })
				if s.id != "" {
					seen <- s.id
				}
				if s.cursor != "" {
					v.at[session] = s.cursor // for the next poll
				}
				return true
			}
			following.Go(func() {
				for ctx.Err() == nil {
					_ = v.make(ctx)
				}
			})
			if how != longPoll { // which says nothing before there is something
				<-began
			}
			n := local.acked.Load()
			want := idsOf(history(t, here.backend.Store, session))[1:]
			remote.run(ctx, remote.acked.Load()+3)
			for i := range 3 {
				want = append(want, fmt.Sprintf("remote-%d", remote.acked.Load()-2+int64(i)))
			}
			local.run(ctx, n+1)
			want = append(want, fmt.Sprintf("local-%d", n+1))
			var got []string
			for len(got) < len(want) {
				select {
				case id := <-seen:
					got = append(got, id)
				case <-time.After(patience / 2): // sooner than all logs are read anyway
					t.Fatalf("got %v, want %v", got, want)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
