package user

import (
	"strings"
	"testing"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

func TestTwinsAreRefused(t *testing.T) {
	s := open(t)
	add := func(typed string) error {
		email, err := CanonicalEmail(typed)
		if err != nil {
			t.Fatalf("%q: %v", typed, err)
		}
		return s.try(func(tx *db.Tx) error {
			_, err := Create(tx, email, "user", secret.Text{})
			return err
		})
	}
	for _, first := range []string{"molly@apple.com", "ann0@example.org"} {
		if err := add(first); err != nil {
			t.Fatal(err)
		}
	}
	for _, twin := range []string{
		"rnolly@apple.com", "mo1ly@apple.com", "MOLLY@app1e.com", "m0lly@apple.com",
		"molly@аррӏе.com", // all Cyrillic
		"molly@аpple.com", // one Cyrillic letter
		"anno@example.org", "ann0@exarnple.org",
	} {
		err := add(twin)
		if !secerr.Is(err, secerr.Conflict) || !strings.Contains(err.Error(), "looks like") {
			t.Errorf("%q is taken: %v", twin, err)
		}
	}
	if err := add("molly@apple.com"); !secerr.Is(err, secerr.Conflict) || strings.Contains(err.Error(), "looks like") {
		t.Errorf("the same address: %v", err)
	}
	for _, other := range []string{"polly@apple.com", "molly@apple.org", "molly.a@apple.com", "molly@äpple.com", "ann1@example.org", "ann2@example.org"} {
		if err := add(other); err != nil {
			t.Errorf("%q is refused: %v", other, err)
		}
	}
}

// TestSkeletonsAreFilled: of users from before, the older of two who look alike
// gets one, and both stay.
func TestSkeletonsAreFilled(t *testing.T) {
	s := open(t)
	s.write(func(tx *db.Tx) error {
		for _, email := range []string{"mo1ly@apple.com", "molly@apple.com", "ann@example.org"} {
			u, err := Create(tx, strings.Repeat("x", len(email))+email, "user", secret.Text{})
			if err != nil {
				return err
			}
			if _, err := tx.Exec("UPDATE users SET email = $1, email_skeleton = NULL WHERE id = $2", email, u.ID); err != nil {
				return err
			}
		}
		return nil
	})
	s.write(FillSkeletons)
	var first, second, third *string
	for email, into := range map[string]**string{"mo1ly@apple.com": &first, "molly@apple.com": &second, "ann@example.org": &third} {
		if err := s.read().QueryRow("SELECT email_skeleton FROM users WHERE email = $1", email).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	if first == nil || second != nil || third == nil {
		t.Errorf("skeletons: %v, %v, %v", first, second, third)
	}
	if some, err := LackSkeleton(s.read()); err != nil || !some {
		t.Errorf("%t, %v", some, err)
	}
	s.write(FillSkeletons) // and again at the next start
}

func FuzzSkeleton(f *testing.F) {
	for _, seed := range []string{"ann@example.org", "molly@аррӏе.com", "a@xn--pple-43d.com", "m@mm.mm"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		email, err := CanonicalEmail(typed)
		if err != nil {
			return
		}
		if found := skeleton(email); found == "" || found != skeleton(email) || len(found) > 64*len(email) {
			t.Errorf("the skeleton of %q is %q", email, found)
		}
	})
}
