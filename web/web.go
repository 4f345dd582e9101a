// Package web holds what the module serves to browsers, embedded as npm built it: the
// dashboard and the client. It knows nothing about hubs; a page learns everything from
// the hub's own routes.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
)

//go:embed dashboard/dist
var files embed.FS

// built is where npm puts the dashboard.
const built = "dashboard/dist"

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

type file struct {
	body        []byte
	contentType string
	etag        string
}

// Handler serves the files of the dashboard under their bare names, and the page
// itself under the empty path; anything else is 404. Answers carry an ETag of
// their content and a strict content security policy.
func Handler() http.Handler {
	served := make(map[string]file)
	entries, err := fs.ReadDir(files, built)
	if err != nil {
		panic(err) // embedded at build time
	}
	for _, e := range entries {
		body, err := files.ReadFile(path.Join(built, e.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		served[e.Name()] = file{
			body: body, contentType: mime.TypeByExtension(path.Ext(e.Name())),
			etag: `"` + hex.EncodeToString(sum[:8]) + `"`,
		}
	}
	served[""] = served["index.html"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, served) })
}

func serve(w http.ResponseWriter, r *http.Request, served map[string]file) {
	f, ok := served[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	f.serve(w, r, "no-cache")
}

// serve answers with the file, which may be kept as caching says.
func (f file) serve(w http.ResponseWriter, r *http.Request, caching string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed; use GET", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", caching)
	h.Set("Etag", f.etag)
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.body) // a client that has gone needs no answer
}
