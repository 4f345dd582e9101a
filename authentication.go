package lifeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// authentication names how the site that is being provisioned learns who its users
// are: by the placeholder of the option `user`, and by what stands in the same route:
// Caddy's own authentication handlers, forward_auth, and for users with certificates
// which of these the server accepts. Two sites have the same name only when these are
// configured alike, so a reload that changes an account or takes the authentication
// away gives another name.
func authentication(ctx caddy.Context, placeholder string) string {
	hash := sha256.New()
	write := func(b []byte) { hash.Write(b) }
	if srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		collectAuthentication(currentHandlers(srv), write)
		if strings.HasPrefix(placeholder, "{http.request.tls.client.") {
			for _, policy := range srv.TLSConnPolicies {
				writeJSONTo(write, policy.ClientAuthentication)
			}
		}
	}
	return placeholder + " " + hex.EncodeToString(hash.Sum(nil))
}

// currentHandlers are the handlers of the route that is being provisioned, as JSON
// values.
func currentHandlers(srv *caddyhttp.Server) []any {
	var handlers []any
	for _, raw := range currentRoute(srv).HandlersRaw {
		var handler any
		if json.Unmarshal(raw, &handler) == nil {
			handlers = append(handlers, handler)
		}
	}
	return handlers
}

// isAuthentication reports whether a handler is one of Caddy's own authentication, or
// a forward_auth: a proxy that goes on when the answer is good.
func isAuthentication(handler map[string]any) bool {
	if handler["handler"] == "reverse_proxy" {
		return handler["handle_response"] != nil
	}
	return handler["handler"] == "authentication"
}

func writeJSONTo(write func([]byte), v any) {
	if b, err := json.Marshal(v); err == nil { // with sorted keys
		write(b)
	}
}

// collectAuthentication finds what authenticates in v, however deep it stands in
// subroutes, in an order that depends on v alone.
func collectAuthentication(v any, found func([]byte)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			collectAuthentication(e, found)
		}
	case map[string]any:
		if isAuthentication(v) {
			writeJSONTo(found, v)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			collectAuthentication(v[key], found)
		}
	}
}

// warnIfForgeable says at start that a client may say himself who he is: the header
// that names the user is not taken away from every request before it comes to us.
func (h *Handler) warnIfForgeable(ctx caddy.Context) {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	header, isHeader := strings.CutPrefix(strings.TrimSuffix(h.User, "}"), "{http.request.header.")
	if !ok || !isHeader || removesHeader(currentHandlers(srv), header) {
		return
	}
	h.logger.Warn("the option user believes a header that any client can send, since nothing in this site removes it from "+
		"every request; use `copy_headers` of forward_auth without a matcher, or put `request_header -"+header+"` first in a "+
		"`route` block, unless only a proxy that sets the header can reach this site",
		zap.String("header", http.CanonicalHeaderKey(header)))
}

// removesHeader reports whether something in v, handlers as JSON, removes a header of
// the request, and does so for every request that comes to a handler of ours.
func removesHeader(v any, name string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return removesHeader(e, name) })
	case map[string]any:
		// The match of a route is a list. That of an answer, an object, is forward_auth's:
		// no other answer lets a request go on.
		if _, conditional := v["match"].([]any); conditional && !hasHandler(v, "lifeline") {
			return false
		}
		if v["handler"] == "headers" && deletes(v["request"], name) {
			return true
		}
		for _, e := range v {
			if removesHeader(e, name) {
				return true
			}
		}
	}
	return false
}

// deletes reports whether operations on headers delete one of that name.
func deletes(operations any, name string) bool {
	o, _ := operations.(map[string]any)
	list, _ := o["delete"].([]any)
	return slices.ContainsFunc(list, func(e any) bool {
		pattern, _ := e.(string)
		ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(name))
		return err == nil && ok
	})
}

// hasHandler reports whether a handler of that name stands in v.
func hasHandler(v any, name string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return hasHandler(e, name) })
	case map[string]any:
		if v["handler"] == name {
			return true
		}
		for _, e := range v {
			if hasHandler(e, name) {
				return true
			}
		}
	}
	return false
}
