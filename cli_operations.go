package lifeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/actionflows/lifeline/breaker"
)

// operationCommands are reset, trip, hold and release.
func operationCommands() []*cobra.Command {
	reset := operationCommand("reset", "Closes a circuit breaker as if it were new", "", nil)
	trip := operationCommand("trip", "Opens a circuit breaker until a probe succeeds",
		"With a storage that works that is within 300 ms; to keep it open, hold it.",
		func(fl caddycmd.Flags) any { return map[string]string{"cause": fl.String("cause")} })
	trip.Flags().String("cause", "", "Why, for the log; at most 200 bytes")
	hold := operationCommand("hold", "Holds a circuit breaker open, or out of use",
		"It stays so through reloads, until the time is over or it is released.",
		func(fl caddycmd.Flags) any {
			return map[string]string{"state": fl.String("state"), "for": fl.String("for")}
		})
	hold.Flags().String("state", "", "forced-open, or disabled: everything passes (required)")
	hold.Flags().String("for", "", "How long: a duration such as 10m, or forever (required)")
	release := operationCommand("release", "Ends a hold on a circuit breaker", "", nil)
	return []*cobra.Command{reset, trip, hold, release}
}

// operationCommand is a command that operates on a breaker with a body, nil: none.
func operationCommand(name, short, more string, body func(caddycmd.Flags) any) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " <breaker>",
		Short: short,
		Long: short + ". " + more + `
In a hub with several breakers the storage's name, such as redis, means all of them.
"caddy lifeline breakers" lists them. Prints what the breaker then is.`,
		Args: takes(1, 1, "the name of a breaker"),
	}
	cmd.Flags().String("hub", DefaultHub, "The hub that the breaker is of")
	cmd.RunE = caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
		var send any
		if body != nil {
			send = body(fl)
		}
		hub := fl.String("hub")
		path := breakersPath + "/" + url.PathEscape(hub) + "/" + url.PathEscape(fl.Arg(0)) + "/" + name
		var answer json.RawMessage
		printed, err := askJSON(fl, cmd.OutOrStdout(), http.MethodPost, path, send, &answer)
		if err != nil || printed {
			return exit(err)
		}
		stats, err := oneOrMore(answer)
		if err != nil {
			return exit(err)
		}
		return exit(table(cmd.OutOrStdout(), breakerRows(map[string][]breaker.Stats{hub: stats})))
	})
	return cmd
}

// oneOrMore reads the answer to an operation: the Stats of a breaker, or a list.
func oneOrMore(answer json.RawMessage) (list []breaker.Stats, err error) {
	if bytes.HasPrefix(answer, []byte("{")) {
		answer = append(append([]byte("["), answer...), ']')
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("read the answer of the admin endpoint: %w", err)
	}
	return list, nil
}
