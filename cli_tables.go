package lifeline

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/watcher"
)

// table prints rows of cells beneath each other.
func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t "))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [<hub>]",
		Short: "Shows how the hubs are",
		Long: `Shows how the hubs are, or one of them: storage and what waits for it, connections,
circuit breakers. The exit code is 2 when one of them is degraded.`,
		Args: takes(0, 1, "the name of a hub, or nothing for all"),
	}
	cmd.RunE = caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
		hubs, printed, err := hubsOf[hubStatus](fl, cmd.OutOrStdout(), hubsPath)
		if err != nil {
			return exit(err)
		}
		if !printed {
			if err := table(cmd.OutOrStdout(), hubRows(hubs)); err != nil {
				return exit(err)
			}
		}
		if why := degradedHubs(hubs); why != "" {
			return exitDegraded, errors.New(why)
		}
		return exit(nil)
	})
	return cmd
}

func hubRows(hubs map[string]hubStatus) [][]string {
	rows := make([][]string, 0, len(hubs)+1)
	rows = append(rows, []string{"HUB", "STORAGE", "STATE", "PENDING", "JOURNAL", "CONNECTIONS", "BREAKERS"})
	for _, name := range slices.Sorted(maps.Keys(hubs)) {
		s := hubs[name]
		state := "ok"
		if s.Degraded {
			state = "degraded"
		}
		connections := make([]string, 0, len(s.Connections))
		breakers := make([]string, 0, len(s.Breakers))
		for _, transport := range slices.Sorted(maps.Keys(s.Connections)) {
			connections = append(connections, fmt.Sprintf("%d %s", s.Connections[transport], transport))
		}
		for _, b := range slices.Sorted(maps.Keys(s.Breakers)) {
			breakers = append(breakers, b+" "+s.Breakers[b])
		}
		rows = append(rows, []string{
			name, s.Storage, state, fmt.Sprint(s.Pending), humanize.IBytes(uint64(max(0, s.JournalBytes))), //nolint:gosec // not negative
			orDash(strings.Join(connections, ", ")), orDash(strings.Join(breakers, ", ")),
		})
	}
	return rows
}

func degradedHubs(hubs map[string]hubStatus) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(hubs)) {
		if s := hubs[name]; s.Degraded {
			list = append(list, fmt.Sprintf("hub %s is degraded: %s", name, strings.Join(s.Reasons, ", ")))
		}
	}
	return strings.Join(list, "; ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func breakersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breakers [<hub>]",
		Short: "Shows the circuit breakers of the hubs",
		Args:  takes(0, 1, "the name of a hub, or nothing for all"),
	}
	cmd.RunE = caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
		hubs, printed, err := hubsOf[[]breaker.Stats](fl, cmd.OutOrStdout(), breakersPath)
		if err != nil || printed {
			return exit(err)
		}
		return exit(table(cmd.OutOrStdout(), breakerRows(hubs)))
	})
	return cmd
}

// hubsOf asks what there is of each hub, or of the one that is the argument.
func hubsOf[T any](fl caddycmd.Flags, out io.Writer, path string) (hubs map[string]T, printed bool, err error) {
	if hub := fl.Arg(0); hub != "" {
		var one T
		printed, err = askJSON(fl, out, http.MethodGet, path+"/"+url.PathEscape(hub), nil, &one)
		return map[string]T{hub: one}, printed, err
	}
	var answer struct{ Hubs map[string]T }
	printed, err = askJSON(fl, out, http.MethodGet, path, nil, &answer)
	return answer.Hubs, printed, err
}

func breakerRows(hubs map[string][]breaker.Stats) [][]string {
	rows := [][]string{{"HUB", "BREAKER", "STATE", "FAILURES", "TRIPS", "REJECTED", "RETRY IN", "HELD UNTIL"}}
	for _, hub := range slices.Sorted(maps.Keys(hubs)) {
		for _, s := range hubs[hub] {
			retry, held := "", ""
			if s.RetryIn > 0 {
				retry = (time.Duration(s.RetryIn) * time.Millisecond).Round(time.Second).String()
			}
			switch {
			case s.Held != nil && s.Held.Until == nil:
				held = "forever"
			case s.Held != nil:
				held = s.Held.Until.Local().Format(time.DateTime)
			}
			rows = append(rows, []string{
				hub, s.Name, stateOf(s), fmt.Sprint(s.FailureCount), fmt.Sprint(s.TotalTrips), fmt.Sprint(s.Rejected), orDash(retry), orDash(held),
			})
		}
	}
	return rows
}

func watchersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watchers [<hub>]",
		Short: "Shows the watched directories of the hubs",
		Args:  takes(0, 1, "the name of a hub, or nothing for all"),
	}
	cmd.RunE = caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
		hubs, printed, err := hubsOf[[]watcher.Status](fl, cmd.OutOrStdout(), watchersPath)
		if err != nil || printed {
			return exit(err)
		}
		return exit(table(cmd.OutOrStdout(), watcherRows(hubs)))
	})
	restart := &cobra.Command{
		Use:   "restart <session>",
		Short: "Starts a watcher again that was given up",
		Long:  "Starts the watcher of a session again that was given up. One that works is left alone.",
		Args:  takes(1, 1, "the id of a session"),
	}
	restart.Flags().String("hub", DefaultHub, "The hub that the session is of")
	restart.RunE = caddycmd.WrapCommandFuncForCobra(func(fl caddycmd.Flags) (int, error) {
		hub := fl.String("hub")
		var state watcher.Status
		path := watchersPath + "/" + url.PathEscape(hub) + "/" + url.PathEscape(fl.Arg(0)) + "/restart"
		printed, err := askJSON(fl, cmd.OutOrStdout(), http.MethodPost, path, nil, &state)
		if err != nil || printed {
			return exit(err)
		}
		return exit(table(cmd.OutOrStdout(), watcherRows(map[string][]watcher.Status{hub: {state}})))
	})
	cmd.AddCommand(restart)
	return cmd
}

func watcherRows(hubs map[string][]watcher.Status) [][]string {
	rows := [][]string{{"HUB", "SESSION", "STATE", "ATTEMPTS", "ENTRIES", "WATCHES", "LAST EVENT", "DIRECTORY", "LAST ERROR"}}
	for _, hub := range slices.Sorted(maps.Keys(hubs)) {
		for _, s := range hubs[hub] {
			last := ""
			if s.LastEvent != nil {
				last = s.LastEvent.Local().Format(time.DateTime)
			}
			rows = append(rows, []string{
				hub, s.Session, string(s.State), fmt.Sprintf("%d of %d", s.Attempts, s.MaxAttempts), fmt.Sprint(s.Entries),
				fmt.Sprint(s.Watches), orDash(last), orDash(s.Root), s.LastError,
			})
		}
	}
	return rows
}
