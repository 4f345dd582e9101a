package lifeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// authentication names how the site that is being provisioned learns who its users
// are: by the placeholder of the option `user`, and by Caddy's own authentication
// handlers in the same route. Two sites have the same name only when these are
// configured alike, so a reload that changes an account or takes the
// authentication away gives another name.
func authentication(ctx caddy.Context, placeholder string) string {
	hash := sha256.New()
	if srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		for _, raw := range currentRoute(srv).HandlersRaw {
			var handler any
			if json.Unmarshal(raw, &handler) == nil {
				collectAuthentication(handler, func(b []byte) { hash.Write(b) })
			}
		}
	}
	return placeholder + " " + hex.EncodeToString(hash.Sum(nil))
}

// collectAuthentication finds authentication handlers in v, however deep they stand
// in subroutes, in an order that depends on v alone.
func collectAuthentication(v any, found func([]byte)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			collectAuthentication(e, found)
		}
	case map[string]any:
		if v["handler"] == "authentication" {
			b, err := json.Marshal(v) // with sorted keys
			if err == nil {
				found(b)
			}
			return
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			collectAuthentication(v[key], found)
		}
	}
}
