package security_test

import (
	"context"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secret"
)

// TestPolicyThatStaysIsNoChange: a patch to what is so already writes no event
// and no new version.
func TestPolicyThatStaysIsNoChange(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	for i, c := range []struct {
		patch string
		event bool
	}{{`{"mfa":null}`, false}, {`{"audit":{"retention_days":30}}`, true}, {`{"audit":{"retention_days":30}}`, false}} {
		nonce, err := e.service.Nonce(ctx, e.caller, "policies.write", security.Proof{Password: secret.NewText(pw), Code: e.backup[i].Reveal()})
		if err != nil {
			t.Fatal(err)
		}
		before := e.newest(t)
		if _, err := e.service.ChangePolicy(ctx, e.caller, nonce, security.PolicyPatch{Patch: []byte(c.patch)}); err != nil {
			t.Fatal(err)
		}
		if wrote := e.newest(t) > before; wrote != c.event {
			t.Errorf("%s wrote an event: %t", c.patch, wrote)
		}
	}
	if e.service.Policy().Audit.RetentionDays != 30 {
		t.Error("the change is not in force")
	}
}
