package lifeline

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// adaptAndValidate is `caddy validate` in this process.
func adaptAndValidate(caddyfile string) error {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	return validate(config)
}

// validate is the same for JSON, without a log.
func validate(config []byte) error {
	config = bytes.Replace(config, []byte("{"), []byte(`{"logging":{"logs":{"default":{"level":"PANIC"}}},`), 1)
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(config, cfg); err != nil {
		return err
	}
	return caddy.Validate(cfg)
}

// TestRefusedWhenLoaded: what the parser cannot know is refused when Caddy loads the
// configuration, and no error tells a secret.
func TestRefusedWhenLoaded(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	t.Setenv("JOURNAL", "somewhere")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	hub := func(options string) string { return "{\nlifeline {\n" + options + "\n}\n}\n" }
	site := func(options string) string { return "http://localhost:1 {\nlifeline {\n" + options + "\n}\n}\n" }
	redis := func(url, options string) string { return hub("storage redis " + url + " {\n" + options + "\n}") }
	for name, c := range map[string]struct{ caddyfile, want string }{
		"journal directory":       {redis("redis://localhost", "") + "", ""},
		"journal, variable":       {hub("storage redis redis://localhost\njournal {env.JOURNAL}"), ""},
		"journal, no variable":    {hub("storage redis redis://localhost\njournal {env.NOT_SET_ANYWHERE}"), "journal: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
		"disk, no variable":       {hub("storage disk {env.NOT_SET_ANYWHERE}"), "hub default: storage: "},
		"disk, no file":           {hub("storage disk {file./nowhere/at/all}"), "directory: "},
		"journal with disk":       {hub("storage disk\njournal x"), "hub default: journal: the disk storage has none"},
		"journal with memory":     {hub("storage memory\njournal off"), "hub default: journal: the memory storage has none"},
		"watch, no variable":      {hub("watch s {env.NOT_SET_ANYWHERE}"), "watch s: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
		"one session twice":       {hub("watch s /tmp\nwatch s /var"), "session s watches /tmp already, by "},
		"key, no variable":        {site("api_key {env.NOT_SET_ANYWHERE}"), "api_key: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
		"password, no variable":   {redis("redis://localhost", "password {env.NOT_SET_ANYWHERE}"), "password: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty"},
		"sentinel's password":     {redis("redis://", "sentinel m a\nsentinel_password {env.NOT_SET_ANYWHERE}"), "sentinel_password: "},
		"sentinel, no variable":   {redis("redis://", "sentinel m {env.NOT_SET_ANYWHERE}"), "sentinel: "},
		"cluster, no variable":    {redis("redis://", "cluster {env.NOT_SET_ANYWHERE}"), "cluster: "},
		"tls, no variable":        {redis("rediss://localhost", "tls {\nca {env.NOT_SET_ANYWHERE}\n}"), "ca: "},
		"address with a secret":   {redis("redis://", "sentinel m redis://:{env.SECRET}@h"), "address 1 is not of the form host:port"},
		"URL with a secret":       {redis("redis://:{env.SECRET}/x@localhost", ""), "redis URL cannot be read"},
		"prefix from a variable":  {redis("redis://localhost", "key_prefix {env.SECRET}{x}"), "key_prefix: "},
		"secret in an address":    {redis("redis://", "cluster {env.SECRET}:x"), "redis cluster: address 1 is not of the form host:port"},
		"db beside that of a URL": {redis("redis://:{env.SECRET}@localhost/3", "db 4"), "redis database 4: the URL says 3"},
	} {
		err := adaptAndValidate(c.caddyfile)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: it tells the password: %v", name, err)
		}
	}
}

// TestWatchesInJSON: the Caddyfile's reader refuses these with file and line.
func TestWatchesInJSON(t *testing.T) {
	for watches, want := range map[string]string{
		`null`:                                 "watches: entry 0 is null",
		`{"session":"s"}`:                      "watch s: the directory is empty",
		`{"dir":"/tmp"}`:                       `watch: session "" is empty`,
		`{"session":"poll","dir":"/tmp"}`:      `watch: session "poll" "poll" is reserved`,
		`{"session":"s","dir":"/a","poll":-1}`: "watch s: watcher: poll: -1ns is negative",
		`{"session":"s","dir":"/a"},{"session":"s","dir":"/b"}`: "watch s: the session watches /a already; use another session for /b",
	} {
		config := fmt.Appendf(nil, `{"apps":{"lifeline":{"hubs":{"default":{"watches":[%s]}}}}}`, watches)
		if err := validate(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", watches, err, want)
		}
	}
}

// TestNegativeInJSON: the Caddyfile has no negative values, JSON may.
func TestNegativeInJSON(t *testing.T) {
	for setting, want := range map[string]string{
		`"history":{"count":-1}`:                                                         "history: -1 and 0s must not be negative",
		`"breaker":{"probe_every":-1}`:                                                   "breaker: probe_every -1ns is negative",
		`"breaker":{"failure_threshold":-1}`:                                             "FailureThreshold",
		`"reload_close_delay":-1`:                                                        "reload_close_delay: -1ns is negative",
		`"storage":{"driver":"disk","max_size":-1}`:                                      "max_size: -1 is negative",
		`"storage":{"driver":"memory","max_size":-1}`:                                    "max_size: -1 is negative",
		`"storage":{"driver":"redis","url":"redis://localhost","timeout":-1}`:            "redis timeout -1ns",
		`"storage":{"driver":"redis","url":"redis://localhost","pool":-1}`:               "redis pool size -1",
		`"storage":{"driver":"redis","url":"redis://localhost"},"journal":{"retain":-1}`: "journal: retain -1ns is negative",
	} {
		config := fmt.Appendf(nil, `{"apps":{"lifeline":{"hubs":{"default":{%s}}}}}`, setting)
		if err := validate(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", setting, err, want)
		}
	}
	for _, limit := range []string{
		"max_message", "message_rate", "max_connections", "max_per_ip", "max_subscriptions", "max_queue_bytes",
		"max_queue_frames", "max_replays", "max_polls", "max_sessions", "max_logs",
	} {
		config := fmt.Appendf(nil, `{"apps":{"lifeline":{"hubs":{"default":{%q:-1}}}}}`, limit)
		if err := validate(config); err == nil || !strings.Contains(err.Error(), limit+": -1 is negative") {
			t.Errorf("%s: %v", limit, err)
		}
	}
}
