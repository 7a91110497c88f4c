package handlers

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// TestOneOfManyPatchesOfOnePolicy: of those who all have seen the same policy one
// changes it. The others are told, and nothing of theirs is done.
func TestOneOfManyPatchesOfOnePolicy(t *testing.T) {
	from, of := rehearse(t)
	s := setStage(t, from, of, false)
	_, s.bearer = s.key(s.ada, "policies:*")
	const path = "/api/v1/policies"
	seen := s.send(route{method: http.MethodGet, path: path}, call{}).header.Get("ETag")
	var calls []call
	for i := range 8 {
		calls = append(calls, call{json: map[string]any{"audit": map[string]any{"retention_days": 30 + i}}, nonce: s.nonce("policies.write"), header: fields{"If-Match": seen}})
	}
	newest := s.newest()
	answers := make([]answered, len(calls))
	var wg sync.WaitGroup
	for i, c := range calls {
		wg.Go(func() { answers[i] = s.send(route{method: http.MethodPatch, path: path}, c) })
	}
	wg.Wait()
	var done []int
	for i, a := range answers {
		switch a.status {
		case http.StatusOK:
			done = append(done, i)
			if tag := a.header.Get("ETag"); tag == "" || tag == seen {
				t.Errorf("the new policy has the tag %q", tag)
			}
		case http.StatusPreconditionFailed:
		default:
			t.Errorf("the answer is %d: %s", a.status, a.text)
		}
	}
	if len(done) != 1 || s.service.Policy().Audit.RetentionDays != int64(30+done[0]) {
		t.Fatalf("those of %v are done, and events are kept for %s days", done, strconv.FormatInt(s.service.Policy().Audit.RetentionDays, 10))
	}
	changes := 0
	for _, event := range s.events(newest) {
		if event.Type == "policy_change" {
			changes++
		}
	}
	if changes != 1 {
		t.Errorf("%d events tell of one change", changes)
	}
}
