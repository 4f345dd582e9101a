// Command caddy is Caddy with the standard modules and Lifeline, for plain
// `go build ./cmd/caddy`. An xcaddy build of the module gives the same binary.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/actionflows/lifeline"
)

func main() { caddycmd.Main() }
