package lifeline_test

import (
	"net/http"
	"testing"
	"time"
)

const noOverviewMessage = "the status of the whole hub is for API keys, local clients and the users of breaker_admin"

// operatorSite has a key, users, and those users who operate.
func operatorSite(options string) string {
	return site("lifeline {\n storage disk DIR/hub\n}", "user {http.request.header.Remote-User}\n"+options)
}

// TestStatusIsForOperators: keys see it, and users whom breaker_admin names, who alone
// may operate; a reload takes it away from streams that are open.
func TestStatusIsForOperators(t *testing.T) {
	s := start(t, operatorSite("api_key secret other\nbreaker_admin ann\ndashboard"))
	if st := s.status(withSecret); st.May.Operate || st.May.User != "" {
		t.Errorf("a key may %+v", st.May)
	}
	if st := s.status(asAnn); !st.May.Operate || st.May.User != "ann" {
		t.Errorf("ann may %+v", st.May)
	}
	for _, path := range []string{statusPath, statusStream} {
		if a := s.get(path, asBob); a.status != http.StatusForbidden || a.text("message") != noOverviewMessage {
			t.Errorf("%s as bob: %v", path, a)
		}
		if a := s.get(path); a.status != http.StatusUnauthorized {
			t.Errorf("%s as nobody: %v", path, a)
		}
		if a := s.do(http.MethodPost, path, "", withSecret); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") == "" {
			t.Errorf("POST %s: %v", path, a)
		}
	}
	open := func(who string) *statusEvents {
		t.Helper()
		st := s.watchStatus(statusStream, who)
		if _, _, ok := st.next(); !ok {
			t.Fatalf("%s: %d", who, st.status)
		}
		return st
	}
	ended := func(who string, st *statusEvents) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; {
			if _, _, more := st.next(); !more {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s still sees it", who)
			}
		}
	}
	reload := func(options string) {
		t.Helper()
		if output, code := s.reload(operatorSite(options)); code != 0 {
			t.Fatal(output)
		}
	}
	secret, other, ann := open(withSecret), open("Authorization: Bearer other"), open(asAnn)
	reload("api_key secret\nbreaker_admin bob\ndashboard")
	ended("the other key", other)
	ended("ann", ann)
	if st := s.status(asBob); !st.May.Operate {
		t.Errorf("bob may %+v", st.May)
	}
	for range 3 {
		if _, _, more := secret.next(); !more {
			t.Fatal("the key's stream has ended")
		}
	}
	reload("api_key secret\nbreaker_admin bob")
	ended("the key", secret)
	if a := s.get(statusPath, withSecret); a.raw != "" {
		t.Errorf("without dashboard: %v", a)
	}
}

// TestStatusReadersAreBounded: the 33rd is told to come later, and no reader keeps the
// server from ending.
func TestStatusReadersAreBounded(t *testing.T) {
	s := start(t, site("lifeline {\n storage memory\n}", "dashboard"))
	for range 32 {
		if st := s.watchStatus(statusStream); st.status != http.StatusOK {
			t.Fatal(st.status)
		}
	}
	if a := s.get(statusStream); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %v", a)
	}
	s.limited("status_readers", 1)
	admin := s.watchStatus(s.admin + "/lifeline/status/default/stream") // counts apart
	if _, _, ok := admin.next(); !ok {
		t.Errorf("on the admin endpoint: %d", admin.status)
	}
	if took := s.terminate(); took > 8*time.Second {
		t.Errorf("the end took %v", took)
	}
}
