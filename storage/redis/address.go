package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// address is what a URL says.
type address struct {
	network, addr      string
	host               string // as it was given, "" if it was not
	username, password string
	db                 int
	secure             bool
}

// errURL quotes nothing: what cannot be parsed may hold a password anywhere.
var errURL = errors.New("redis URL cannot be read: want redis://, rediss:// or unix://, " +
	"and special characters in the password as %XX")

func parseURL(s string) (address, error) {
	if s == "" {
		return address{}, errors.New("redis URL is missing")
	}
	u, err := url.Parse(s)
	if err != nil {
		return address{}, errURL //nolint:errorlint // the cause quotes the URL
	}
	switch u.Scheme {
	case "redis", "rediss", "unix":
	default:
		return address{}, errURL
	}
	// An @ behind the host, or a fragment, is the rest of a password that was
	// not escaped.
	if u.Opaque != "" || u.Fragment != "" || strings.Contains(u.Path+u.RawQuery, "@") {
		return address{}, errURL
	}
	for name := range u.Query() {
		if name != "db" {
			return address{}, fmt.Errorf("redis URL: unknown parameter %q", name)
		}
	}
	c, err := goredis.ParseURL(s)
	if err != nil {
		return address{}, fmt.Errorf("redis URL for %s: %s", u.Redacted(), strings.TrimPrefix(err.Error(), "redis: "))
	}
	if c.DB < 0 {
		return address{}, fmt.Errorf("redis database %d: must not be negative", c.DB)
	}
	return address{
		network: c.Network, addr: c.Addr, host: u.Host, username: c.Username, password: c.Password,
		db: c.DB, secure: u.Scheme == "rediss",
	}, nil
}

// hostPorts checks the addresses of an option and completes them by the port.
func hostPorts(option string, addrs []string, port string) ([]string, error) {
	if len(addrs) == 0 {
		return nil, fmt.Errorf("redis %s: no address is given", option)
	}
	all := make([]string, len(addrs))
	for i, addr := range addrs {
		if strings.ContainsAny(addr, "/@? \t") {
			// Likely a URL, and then it may hold a password.
			return nil, fmt.Errorf("redis %s: address %d is not of the form host:port", option, i+1)
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			addr = net.JoinHostPort(strings.Trim(addr, "[]"), port)
		}
		host, p, err := net.SplitHostPort(addr)
		if number, bad := net.LookupPort("tcp", p); err != nil || host == "" || bad != nil || number == 0 {
			return nil, fmt.Errorf("redis %s: address %d is not of the form host:port", option, i+1)
		}
		all[i] = addr
	}
	return all, nil
}
