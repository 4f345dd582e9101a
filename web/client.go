package web

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
)

//go:embed client/dist/client.js
var client []byte

// clientHash names this build of the client.
var clientHash = func() string {
	sum := sha256.Sum256(client)
	return hex.EncodeToString(sum[:8])
}()

// Client serves the browser client under its two names, `client.js`, which is asked
// about each time, and `client-<hash>.js`, which never changes. It is nil for every
// other name. Pages of any origin may import it: it is the same everywhere.
func Client(name string) http.Handler {
	caching := "no-cache"
	switch name {
	case "client.js":
	case "client-" + clientHash + ".js":
		caching = "public, max-age=31536000, immutable"
	default:
		return nil
	}
	f := file{body: client, contentType: "text/javascript; charset=utf-8", etag: `"` + clientHash + `"`}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		f.serve(w, r, caching)
	})
}
