package captcha_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "patronus.internal/dashboard/security/captcha"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/securitytest"
)

func TestSpentOnce(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	store, err := db.Open(ctx, db.Options{Path: filepath.Join(t.TempDir(), "x.db"), Now: clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	spend := func(ticket Ticket) (good bool) {
		t.Helper()
		if err := store.Write(ctx, func(tx *db.Tx) (err error) {
			good, err = Spend(tx, ticket)
			return err
		}); err != nil {
			t.Error(err)
		}
		return good
	}
	work, err := Verify(mac, alice, securitytest.SolveCaptcha(t, issue(t, alice)), now)
	if err != nil {
		t.Fatal(err)
	}
	token := issueDigits(t, alice)
	wrong, right, err := VerifyDigits(mac, alice, token, "", now)
	if err != nil || right {
		t.Fatal(right, err)
	}
	for name, ticket := range map[string]Ticket{"work": work, "digits": wrong} {
		var good atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if spend(ticket) {
					good.Add(1)
				}
			})
		}
		all.Wait()
		if n := good.Load(); n != 1 {
			t.Errorf("%s: %d of 20 were good", name, n)
		}
	}
	// A wrong answer has burned the challenge for the right one.
	again, right, err := VerifyDigits(mac, alice, token, securitytest.CaptchaDigits(t, mac, token), now)
	if err != nil || !right || spend(again) {
		t.Errorf("the right digits after wrong ones: %t, %v", right, err)
	}

	clean := func() (left int) {
		t.Helper()
		if err := store.Write(ctx, func(tx *db.Tx) error { return DeleteExpired(tx, 1) }); err != nil {
			t.Fatal(err)
		}
		if err := store.Read(ctx).QueryRow("SELECT COUNT(*) FROM captcha_spent").Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left
	}
	if left := clean(); left != 2 {
		t.Errorf("%d are left of 2 that are still good", left)
	}
	late := Ticket{ID: []byte("late"), ExpiresAt: clock.Now().Add(Lifetime)}
	clock.Advance(Lifetime)
	for _, want := range []int{1, 0} {
		if left := clean(); left != want {
			t.Errorf("%d are left, not %d", left, want)
		}
	}
	if spend(work) || spend(late) {
		t.Error("a ticket is good behind its time")
	}
	clock.Advance(-time.Microsecond)
	if !spend(late) {
		t.Error("a ticket is not good until its time")
	}
}
