package events

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// preflightAge is how long a browser may remember a preflight, in seconds.
const preflightAge = "600"

// normalOrigin is an origin as scheme://host[:port], in lower case and without
// the scheme's default port, so that equal origins are equal strings.
func normalOrigin(s string) (string, error) {
	if strings.Contains(s, "*") {
		return "", errors.New("wildcards are not allowed, list each origin")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", errors.New("is not scheme://host[:port]")
	case u.Scheme == "" || u.Hostname() == "" || u.Opaque != "":
		return "", errors.New("is not scheme://host[:port]")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return "", errors.New("has more than scheme://host[:port]")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }):
		return "", errors.New("write the host as browsers do, in ASCII (xn--…)")
	}
	scheme := strings.ToLower(u.Scheme)
	return scheme + "://" + normalHost(u.Host, scheme), nil
}

// normalHost is host[:port] in lower case and without the scheme's default port.
func normalHost(host, scheme string) string {
	host = strings.ToLower(host)
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":")
}

// sameOrigin reports whether a normal origin is that of the request itself.
//
// Host and port must be those the request was sent to. Over TLS the scheme must
// be https. Without TLS it may be http or https, since the proxy in front may
// have ended TLS and its headers are not ours to trust. What this accepts too
// much is a page of http://host calling https://host behind such a proxy: only
// somebody who controls the network can forge that page, and he gains only what
// the browser adds by itself, cookies without Secure or basic authentication;
// an API key it does not add. HSTS on the proxy closes even that.
func sameOrigin(origin string, r *http.Request) bool {
	scheme, host, _ := strings.Cut(origin, "://")
	switch scheme {
	case "https":
	case "http":
		if r.TLS != nil {
			return false
		}
	default:
		return false
	}
	return r.Host != "" && host == normalHost(r.Host, scheme)
}

// IsLoopbackHost reports whether a Host header names this machine: localhost, a
// name below it, or a loopback address, with or without port.
func IsLoopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// setCORS sets what lets a page of the site's own or a listed origin read the
// answer, errors included. Credentials are allowed because a listed page is one
// that the operator trusts to act for its user, as it could by WebSocket anyway.
func (s *Site) setCORS(h http.Header, p Peer) {
	h.Add("Vary", "Origin")
	if !p.HasOrigin || s.access.foreign(p) {
		return
	}
	h.Set("Access-Control-Allow-Origin", p.Origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", "Retry-After, Lifeline-Degraded, ETag")
}

// preflight answers OPTIONS: what methods a path has, and to a browser that asks
// on behalf of an admitted page, what it may send. It carries no credentials, so
// it is answered before they are asked for.
func (s *Site) preflight(w http.ResponseWriter, r *http.Request, p Peer, allow string) {
	h := w.Header()
	h.Set("Allow", allow)
	if p.HasOrigin && r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", allow)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
		h.Set("Access-Control-Max-Age", preflightAge)
	}
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}
