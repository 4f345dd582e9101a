package redis

import (
	"strconv"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// commandCalls is how often the server has run a command.
func commandCalls(t *testing.T, s *redistest.Server, command string) int {
	t.Helper()
	stats := s.MustDo("INFO", "commandstats").(string)
	_, rest, _ := strings.Cut(stats, "cmdstat_"+command+":calls=")
	n, _, _ := strings.Cut(rest, ",")
	calls, _ := strconv.Atoi(n)
	return calls
}

func logged(o *Options) *observer.ObservedLogs {
	core, logs := observer.New(zap.InfoLevel)
	o.Logger = zap.New(core)
	return logs
}

func TestServerIsLookedAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		acl  []any
		want string // part of the only message
	}{
		"good":      {args: nil},
		"evicting":  {args: []string{"--maxmemory-policy", "allkeys-lru"}, want: "MAY THROW EVENTS AWAY"},
		"forbidden": {acl: []any{"ACL", "SETUSER", "default", "-info", "-config"}, want: "does not tell"},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t, tt.args...)
			var logs *observer.ObservedLogs
			d := open(t, s, func(o *Options) { logs = logged(o) })
			if tt.acl != nil {
				s.MustDo(tt.acl...)
			}
			for _, id := range []string{"a", "b"} {
				apply(t, d, entry(id))
			}
			if tt.want != "" {
				eventually(t, "a message", func() bool { return logs.Len() > 0 })
			}
			if err := d.Close(); err != nil { // waits for the look
				t.Fatal(err)
			}
			for _, l := range logs.All() {
				if tt.want == "" || !strings.Contains(l.Message, tt.want) {
					t.Errorf("logged %q", l.Message)
				}
			}
			if tt.want != "" && logs.Len() != 1 {
				t.Errorf("logged %d times", logs.Len())
			}
		})
	}
}

func TestReportOfOldAndOtherServers(t *testing.T) {
	for info, want := range map[string]string{
		"redis_version:5.0.14\r\n":                                    "too old",
		"redis_version:6.0.9\r\nmaxmemory_policy:noeviction\r\n":      "too old",
		"redis_version:7.2.4\r\nvalkey_version:8.0.1\r\nrole:slave\n": "not a master",
		"redis_version:6.2.0\r\nrole:master\r\n":                      "",
	} {
		var o Options
		logs := logged(&o)
		d := &Driver{log: o.Logger}
		d.report("h:1", info, nil)
		if want == "" && logs.Len() > 0 || want != "" && (logs.Len() != 1 || !strings.Contains(logs.All()[0].Message, want)) {
			t.Errorf("%q: logged %v", info, logs.All())
		}
	}
}

func TestNoticesThatAreForbiddenAreAWarning(t *testing.T) {
	s := redistest.Start(t)
	var logs *observer.ObservedLogs
	d := open(t, s, func(o *Options) { logs = logged(o) })
	s.MustDo("ACL", "SETUSER", "default", "resetchannels")
	for _, id := range []string{"a", "b", "c"} {
		apply(t, d, entry(id)) // must not fail
	}
	if n := logs.FilterMessageSnippet("notices").Len(); n != 1 {
		t.Errorf("warned %d times: %v", n, logs.All())
	}
	wantIDs(t, read(t, d, storage.LogQuery{}), "a", "b", "c")
}
