package lifeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "lifeline",
		Usage: "<command>",
		Short: "Looks after the hubs of a running Caddy",
		Long: `
Looks after the hubs of a running Caddy through its admin endpoint, and shows the
events of a session.

The endpoint's address is given by --address, or taken from the configuration that
--config names; otherwise it is Caddy's default, localhost:2019. Sockets are
addresses too: unix//run/caddy-admin.sock.

Each command prints a table for people, or with --json what the endpoint answers.
The exit code is 0 when all is well, 1 when the command failed, and 2 when it did not
and "status" found a hub that is degraded.
`,
		CobraFunc: func(cmd *cobra.Command) {
			flags := cmd.PersistentFlags()
			flags.String("address", "", "Address of Caddy's admin endpoint")
			flags.StringP("config", "c", "", "Configuration file to take that address from")
			flags.StringP("adapter", "a", "", "Name of the config adapter to apply to it")
			flags.Bool("json", false, "Print JSON")
			cmd.Args = cobra.ArbitraryArgs
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) > 0 {
					return fmt.Errorf("there is no command %q; `caddy lifeline --help` lists them", args[0])
				}
				return cmd.Help()
			}
			cmd.AddCommand(statusCommand(), breakersCommand(), watchersCommand(), tailCommand())
			cmd.AddCommand(operationCommands()...)
		},
	})
}

// takes has a command take from least to most arguments, and name them otherwise.
func takes(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("`%s` takes %s, not %d arguments; see `%s --help`", cmd.CommandPath(), names, len(args), cmd.CommandPath())
		}
		return nil
	}
}

// askAdmin makes a request of the admin endpoint and answers its body.
func askAdmin(fl caddycmd.Flags, method, path string, body any) ([]byte, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(fl.String("address"), nil, fl.String("config"), fl.String("adapter"))
	if err != nil {
		return nil, fmt.Errorf("find Caddy's admin endpoint: %w", err)
	}
	var send io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		send = strings.NewReader(string(raw))
	}
	resp, err := caddycmd.AdminAPIRequest(address, method, path, nil, send)
	if err != nil {
		return nil, adminError(address, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return raw, nil
}

// adminError says what an error of caddycmd.AdminAPIRequest means.
func adminError(address string, err error) error {
	_, answer, answered := strings.Cut(err.Error(), "HTTP ")
	if !answered {
		return fmt.Errorf("no answer from Caddy's admin endpoint at %s: %w; is Caddy running there? --address or --config tell another address", address, err)
	}
	status, body, _ := strings.Cut(answer, ": ")
	var said struct{ Error string }
	if json.Unmarshal([]byte(body), &said) == nil && said.Error != "" {
		return errors.New(said.Error)
	}
	if status == fmt.Sprint(http.StatusNotFound) {
		return fmt.Errorf("the Caddy at %s knows no hubs: its build has no module lifeline, or one without this command", address)
	}
	return err
}

// askJSON makes a request of the admin endpoint. With --json it prints the answer, and
// answers true; else it reads it.
func askJSON(fl caddycmd.Flags, out io.Writer, method, path string, body, into any) (printed bool, err error) {
	raw, err := askAdmin(fl, method, path, body)
	if err != nil {
		return false, err
	}
	if fl.Bool("json") {
		_, err := out.Write(raw)
		if err != nil {
			return false, fmt.Errorf("print: %w", err)
		}
		printed = true
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return printed, fmt.Errorf("read the answer of the admin endpoint: %w", err)
	}
	return printed, nil
}

// exit is what a command answers for an error.
func exit(err error) (int, error) {
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

// exitDegraded is the exit code of `caddy lifeline status` while a hub is degraded.
const exitDegraded = 2
