package lifeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/actionflows/lifeline/client"
)

// tailKey is the environment variable that has the key where --key is not given: what
// stands in a command line is seen by everybody on the machine.
const tailKey = "LIFELINE_KEY"

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail <site URL> <session>…",
		Short: "Prints the events of a session as they come",
		Long: `Prints the events of a session, or of several, as they come: one JSON object on each
line. It speaks to the site, not to the admin endpoint, and goes on through whatever
happens to the connection, each event once. Ctrl-C ends it; then it says on standard
error with which --from to go on.

	caddy lifeline tail http://localhost:8080 demo
	caddy lifeline tail https://alice:secret@example.com/hub demo --types 'chain:*,step:failed'

What goes wrong and is tried again is told on standard error. When the hub refuses for
good, the exit code is 1.`,
		Args: takes(2, 1+client.MaxSessions, fmt.Sprintf("the URL of a site and 1 to %d sessions", client.MaxSessions)),
	}
	cmd.Flags().String("key", "", "An API key; better in the environment, as "+tailKey)
	cmd.Flags().String("from", "", "From where on: a cursor, or a time such as 2026-11-26T12:00:00Z; by default from now on")
	cmd.Flags().StringSlice("types", nil, "Only events of these types; chain:* is all of a namespace")
	cmd.RunE = caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		key := fl.String("key")
		if key == "" {
			key = os.Getenv(tailKey)
		}
		types, err := fl.GetStringSlice("types")
		if err != nil {
			return exit(err)
		}
		t := tail{out: cmd.OutOrStdout(), log: cmd.ErrOrStderr()}
		return exit(t.follow(ctx, fl.Arg(0), key, fl.String("from"), client.Subscription{Sessions: fl.Args()[1:], Types: types}))
	})
	return cmd
}

// tail prints events to out, and what else happens to log.
type tail struct{ out, log io.Writer }

func (t tail) follow(ctx context.Context, site, key, from string, s client.Subscription) error {
	hub, err := client.New(site, client.Options{APIKey: key})
	if err != nil {
		return err //nolint:wrapcheck // says what is wrong
	}
	if s.Since, err = beginning(from, s.Sessions); err != nil {
		return err
	}
	s.OnReset = func(id string, why client.Reset) { t.say("events of %s may be missing here: %s", id, why) }
	s.OnError = func(err error) { t.say("%v; trying again", err) }
	s.OnStorage = func(st client.Storage) {
		if st.Degraded {
			t.say("the hub's storage is degraded%s", because(st.Reasons))
		} else {
			t.say("the hub's storage is well again")
		}
	}
	last := ""
	for event, err := range hub.Subscribe(ctx, s) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(t.out, "%s\n", event.Data); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		if event.Cursor != "" {
			last = event.Cursor
		}
	}
	if last != "" && len(s.Sessions) == 1 {
		t.say("to go on here: --from '%s'", last)
	}
	return nil
}

func (t tail) say(format string, args ...any) { fmt.Fprintf(t.log, "lifeline: "+format+"\n", args...) }

func because(reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	return ": " + strings.Join(reasons, ", ")
}

// beginning is what --from says: a time, for all sessions, or a cursor, for one. A time
// is passed on as it stands, since one from the hub is a cursor in all its digits.
func beginning(from string, sessions []string) (map[string]string, error) {
	since := make(map[string]string)
	if from == "" {
		return since, nil
	}
	if _, err := time.Parse(time.RFC3339Nano, from); err != nil && len(sessions) > 1 {
		return nil, fmt.Errorf("--from %q is no time such as 2026-11-26T12:00:00Z, and a cursor is that of one session; here are %d", from, len(sessions))
	}
	for _, id := range sessions {
		since[id] = from
	}
	return since, nil
}
