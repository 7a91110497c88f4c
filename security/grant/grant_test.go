package grant

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

func open(t *testing.T) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(t.TempDir(), "patronus.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range []string{"u1", "u2"} {
		err := d.Write(context.Background(), func(tx *db.Tx) error {
			_, err := tx.Exec("INSERT INTO users (id, email, role, created_at_us) VALUES ($1, $1, 'user', 0)", id)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestAddListRemove(t *testing.T) {
	d, ctx := open(t), context.Background()
	add := func(userID, permission, resource string) (g Grant, err error) {
		err = d.Write(ctx, func(tx *db.Tx) error {
			g, err = Add(tx, Grant{UserID: userID, Permission: permission, ResourceID: resource, GrantedBy: "u2"})
			return err
		})
		return g, err
	}
	var ids []string
	for _, g := range [][3]string{{"u1", "users:read", ""}, {"u1", "users:read", "a"}, {"u1", "sites:*", "a"}, {"u2", "users:read", "a"}} {
		added, err := add(g[0], g[1], g[2])
		if err != nil || added.ID == "" || added.CreatedAt.IsZero() {
			t.Fatalf("%v: %+v, %v", g, added, err)
		}
		ids = append(ids, added.ID)
	}
	for _, resource := range []string{"", "a"} {
		if _, err := add("u1", "users:read", resource); !secerr.Is(err, secerr.Conflict) {
			t.Errorf("twice: %v", err)
		}
	}
	first, next, err := List(d.Read(ctx), "u1", "", 2)
	if err != nil || len(first) != 2 || next != first[1].ID || first[0].ID != ids[0] || first[0].GrantedBy != "u2" {
		t.Fatalf("%+v, %q, %v", first, next, err)
	}
	if rest, next, err := List(d.Read(ctx), "u1", next, 2); err != nil || len(rest) != 1 || next != "" || rest[0].ID != ids[2] {
		t.Fatalf("%+v, %q, %v", rest, next, err)
	}
	if _, err := ByID(d.Read(ctx), "u2", ids[0]); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("another's: %v", err)
	}
	remove := func(userID, id string) (done bool) {
		if err := d.Write(ctx, func(tx *db.Tx) (err error) { done, err = Remove(tx, userID, id); return err }); err != nil {
			t.Fatal(err)
		}
		return done
	}
	if remove("u2", ids[0]) || !remove("u1", ids[0]) || remove("u1", ids[0]) {
		t.Error("not removed once")
	}
	if err := d.Write(ctx, func(tx *db.Tx) error { return Forget(tx, "a") }); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"u1", "u2"} {
		if left, err := Of(d.Read(ctx), id); err != nil || len(left) != 0 {
			t.Errorf("%s is left with %+v, %v", id, left, err)
		}
	}
	for i := range MaxPerUser {
		if _, err := add("u1", "sites:read", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := add("u1", "sites:read", "one more"); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("one too many: %v", err)
	}
	if all, err := Of(d.Read(ctx), "u1"); err != nil || len(all) != MaxPerUser {
		t.Errorf("%d grants, %v", len(all), err)
	}
}
