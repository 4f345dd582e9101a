package matrix

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/actionflows/lifeline/internal/faultmatrix"
)

// posted reads the answer to a post: of one event, or of many, each of which has its
// result. What the status, the header and the counts say must be what the results say.
func posted(q faultmatrix.Request, resp *http.Response, a answer, raw []byte) faultmatrix.Reply {
	later := resp.Header.Get("Retry-After") != ""
	many := a.Results != nil
	if !many && resp.StatusCode >= http.StatusBadRequest {
		return refused(resp.StatusCode, later, raw)
	}
	ids := []string{q.ID}
	if q.Batch != nil {
		ids = nil
		for _, item := range q.Batch {
			ids = append(ids, item.ID)
		}
	}
	results := []answer{a}
	if many {
		results = a.Results
	} else {
		results[0].Status = json.RawMessage(strconv.Itoa(resp.StatusCode))
	}
	if len(results) != len(ids) {
		return wrong("%s: %d results for %d events: %s", resp.Status, len(results), len(ids), raw)
	}
	var sum summary
	r := faultmatrix.Reply{Results: make([]faultmatrix.Reply, len(results))}
	for i, result := range results {
		one := sum.add(ids[i], result)
		r.Results[i] = one
	}
	if problem := sum.check(resp, a, many, later); problem != "" {
		return wrong("%s: %s: %s", resp.Status, problem, raw)
	}
	if q.Batch != nil {
		return r
	}
	return r.Results[0]
}

func wrong(format string, args ...any) faultmatrix.Reply {
	return faultmatrix.Reply{Error: brief(fmt.Appendf(nil, format, args...))}
}

// summary is what the results of a post have in common.
type summary struct {
	accepted, refused     int
	pending, volatile     bool
	unavailable, mismatch bool
}

// add reads the result for the event of that id.
func (s *summary) add(id string, a answer) (r faultmatrix.Reply) {
	status, err := strconv.Atoi(string(a.Status))
	if err != nil || status >= http.StatusBadRequest {
		s.refused++
		s.unavailable = s.unavailable || status == http.StatusServiceUnavailable
		return refused(status, true, fmt.Append(nil, a.Error))
	}
	s.accepted++
	s.pending = s.pending || a.Pending
	r.Pending, r.Duplicate = a.Pending, a.Duplicate
	r.Volatile = a.Durable != nil && !*a.Durable
	s.volatile = s.volatile || r.Volatile
	s.mismatch = s.mismatch || a.EventID != id || !a.Success || a.Cursor == "" ||
		a.Duplicate != (status == http.StatusOK) || !a.Duplicate && r.Volatile != (status == http.StatusAccepted)
	if !r.Pending {
		r.Received = a.Received.UnixMicro()
	}
	return r
}

// check says what is wrong about an answer as a whole, or nothing.
func (s *summary) check(resp *http.Response, a answer, many, later bool) string {
	status := resp.StatusCode
	switch {
	case s.mismatch:
		return "a result is not that of its event"
	case s.pending && resp.Header.Get("Lifeline-Degraded") != "true":
		return "an event is pending and the header does not say so"
	case s.unavailable && !later:
		return "503 without Retry-After"
	case !many:
		return ""
	case a.Accepted != s.accepted || a.Success != (s.refused == 0):
		return "the counts are wrong"
	case s.refused == 0 && s.volatile != (status == http.StatusAccepted),
		s.refused == 0 && !s.volatile && status != http.StatusCreated,
		s.refused > 0 && s.accepted > 0 && status != http.StatusMultiStatus,
		s.accepted == 0 && s.unavailable && status != http.StatusServiceUnavailable:
		return "the status is not that of the results"
	}
	return ""
}
