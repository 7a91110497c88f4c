package security

import (
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

// TestExportsAreBounded over all people.
func TestExportsAreBounded(t *testing.T) {
	var e exports
	var leave func()
	for _, user := range []string{"a", "b", "c", "d"} {
		var err error
		if _, leave, err = e.enter(user); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := e.enter("e"); !secerr.Is(err, secerr.Unavailable) {
		t.Errorf("the fifth: %v", err)
	}
	leave()
	if _, _, err := e.enter("e"); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}
