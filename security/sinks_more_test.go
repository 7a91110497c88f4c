package security_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/user"
)

// TestHeadsOfTheLogAreSent, each once it is kept, behind the events that it covers.
func TestHeadsOfTheLogAreSent(t *testing.T) {
	p := openPushing(t)
	c := &catcher{kind: "webhook", id: "a", confirms: true}
	p.reopen(t, c)
	p.happen(t, 3)
	if err := p.KeepCheckpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.refuse = errors.New("away")
	p.push(t, c, true, "")
	c.refuse = nil
	p.push(t, c, false, "1-3")
	p.push(t, c, false, "")
	if len(c.heads) != 1 {
		t.Fatalf("%d heads were sent", len(c.heads))
	}
	var head struct {
		EventType, Checkpoint string
		Size                  int64
	}
	if err := json.Unmarshal([]byte(c.heads[0]), &head); err != nil || head.Size != 3 {
		t.Errorf("%s, %v", c.heads[0], err)
	}
	// It is one that the log can be held against.
	key, err := security.AuditKeyOf(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	if report, err := security.VerifyLog(context.Background(), p.dir, key, audit.Witness{Name: "the sink's", Signed: head.Checkpoint}); err != nil || report.Checkpoints < 2 {
		t.Errorf("%+v, %v", report, err)
	}
	p.clock.Advance(time.Second)
	p.happen(t, 1)
	p.push(t, c, false, "4-4")
	p.reopen(t, c)
	p.push(t, c, false, "")
	if len(c.heads) != 1 {
		t.Errorf("%d heads were sent, want no more", len(c.heads))
	}
}

// TestLateSinksAreTold to who looks after the whole log, and to nobody else.
func TestLateSinksAreTold(t *testing.T) {
	ctx := context.Background()
	p := openPushing(t)
	c := &catcher{kind: "syslog", id: "a", confirms: true, refuse: errors.New("away")}
	p.reopen(t, c)
	p.happen(t, 2)
	p.push(t, c, true, "")
	admin, reader := security.Caller{User: user.User{Role: "admin"}}, security.Caller{User: user.User{Role: "user"}}
	if late, err := p.LateSinks(ctx, admin); err != nil || len(late) != 0 {
		t.Errorf("at once: %+v, %v", late, err)
	}
	p.clock.Advance(2 * time.Minute)
	if late, err := p.LateSinks(ctx, admin); err != nil || len(late) != 1 || late[0].Events != 2 || late[0].Age < time.Minute {
		t.Errorf("later: %+v, %v", late, err)
	}
	if late, err := p.LateSinks(ctx, reader); err != nil || len(late) != 0 {
		t.Errorf("a user is told of %+v, %v", late, err)
	}
}
