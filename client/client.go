package client

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Transport is a way in which events come.
type Transport string

// The transports, the best first. A client falls back in this order.
const (
	WebSocket Transport = "websocket"
	SSE       Transport = "sse"
	Poll      Transport = "poll"
)

// Options of a Client. The zero value is for a hub that lets everybody in.
type Options struct {
	// APIKey travels as a Bearer token, never in an address, so that no log shows it.
	APIKey string
	// Header is sent with every request and handshake.
	Header http.Header
	// HTTP is how the hub is reached. WebSockets use its DialContext and
	// TLSClientConfig, but not its Proxy: where there is one, events come by the other
	// transports. Default: http.DefaultTransport.
	HTTP *http.Transport
	// Transports are those that may be used. Default: all.
	Transports []Transport

	// ReconnectInterval is the pause before the next attempt; it doubles with each
	// failure up to MaxReconnectInterval. Half of it is certain, half drawn by lot. When
	// the hub says when to come again, that counts, up to an hour. Defaults: 3s and 30s.
	ReconnectInterval, MaxReconnectInterval time.Duration
	// FailuresBeforeFallback is how many attempts in a row at the best transport fail
	// until the next one is used. Default: 3.
	FailuresBeforeFallback int
	// PollInterval is the pause after a poll that failed, or that the hub did not hold.
	// Default: 5s.
	PollInterval time.Duration
	// ConnectTimeout bounds an attempt, from its beginning to the hub's first word.
	// Default: 10s.
	ConnectTimeout time.Duration
	// HeartbeatInterval is the silence after which the hub is asked for a sign of life,
	// and HeartbeatTimeout how long that may take. A stream, in which nothing can be
	// asked and a sign comes every 15s, ends after the sum of both and at least 15s of
	// silence. Defaults: 30s and 10s.
	HeartbeatInterval, HeartbeatTimeout time.Duration
	// PublishTimeout bounds one attempt at posting. Default: 30s.
	PublishTimeout time.Duration
}

// Client speaks to one hub. Its methods are safe for concurrent use.
type Client struct {
	base    url.URL
	header  http.Header
	options Options
	http    *http.Client // for posts
}

// New makes a client of the hub at the address of its site, with its prefix where it
// has one: "https://example.com", "https://alice:secret@example.com/hub". It does not
// connect; an error says what is wrong with its arguments.
func New(site string, o Options) (*Client, error) {
	u, err := url.Parse(site)
	if err != nil {
		// The error of net/url repeats the address, password included.
		return nil, fmt.Errorf("the site's address is no URL; it is like https://example.com")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the site's address is %q; it begins with http:// or https:// and a host", u.Redacted())
	}
	for _, t := range o.Transports {
		if !slices.Contains(allTransports, t) {
			return nil, fmt.Errorf("unknown transport %q; there are %v", t, allTransports)
		}
	}
	c := &Client{
		base:    url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")},
		options: o.withDefaults(), header: o.Header.Clone(),
	}
	if c.header == nil {
		c.header = make(http.Header)
	}
	switch password, _ := u.User.Password(); {
	case o.APIKey != "":
		c.header.Set("Authorization", "Bearer "+o.APIKey)
	case u.User != nil:
		r := http.Request{Header: c.header}
		r.SetBasicAuth(u.User.Username(), password)
	}
	c.http = c.newHTTP()
	return c, nil
}

var allTransports = []Transport{WebSocket, SSE, Poll}

func (o Options) withDefaults() Options {
	if o.HTTP == nil {
		o.HTTP = http.DefaultTransport.(*http.Transport) //nolint:forcetypeassert // documented to be one
	}
	if len(o.Transports) == 0 {
		o.Transports = allTransports
	}
	for d, byDefault := range map[*time.Duration]time.Duration{
		&o.ReconnectInterval: 3 * time.Second, &o.MaxReconnectInterval: 30 * time.Second,
		&o.PollInterval: 5 * time.Second, &o.ConnectTimeout: 10 * time.Second,
		&o.HeartbeatInterval: 30 * time.Second, &o.HeartbeatTimeout: 10 * time.Second,
		&o.PublishTimeout: 30 * time.Second,
	} {
		if *d <= 0 {
			*d = byDefault
		}
	}
	if o.FailuresBeforeFallback <= 0 {
		o.FailuresBeforeFallback = 3
	}
	return o
}

// newHTTP makes an HTTP client whose connections are its own, so that its user can
// end them all. A redirect is not followed: it would lose a body, or take a key along.
func (c *Client) newHTTP() *http.Client {
	return &http.Client{
		Transport:     c.options.HTTP.Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close closes the connections that posts have left open for others to come. The
// client can be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// address is that of a path below the site; escaped is as it stands in the URL.
func (c *Client) address(scheme, escaped string, query url.Values) string {
	u := url.URL{Scheme: scheme, Host: c.base.Host}
	return u.String() + c.base.EscapedPath() + escaped + suffix(query)
}

func suffix(query url.Values) string {
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}
