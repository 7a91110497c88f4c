//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestAdminGrants lets a user see another, and no longer, on their page; and an
// admin sees where a user is signed in.
func TestAdminGrants(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		admin := newAdmin(t, s, scripts)
		user := newUser(t, s, data, scripts)
		user.visit("/users", 403)
		user.inspect("users-forbidden")

		admin.clicks("/users")
		admin.fill("q", user.email)
		admin.submit("/users", 200)
		admin.follow(`main tbody a[href^="/users/"]`, 200)
		id := admin.path()
		admin.sees("Where they are signed in")
		admin.sees("Nothing yet.")
		admin.choose("permission", "users:read")
		admin.fill("resource_id", "nobody")
		admin.submit(id+"/grants", 422)
		admin.refuses("resource_id")
		admin.inspect("user-grant-refused")
		admin.fill("resource_id", strings.TrimPrefix(id, "/users/"))
		admin.submit(id+"/grants", 200)
		admin.at(id)
		admin.sees("It is granted")
		admin.sees("Users: read")
		admin.inspect("user-granted")

		user.visit("/", 200)
		user.clicks("/users")
		if rows := user.texts("main tbody tr"); len(rows) != 1 || !strings.Contains(rows[0], user.email) {
			t.Fatalf("the list holds %q", rows)
		}
		user.follow(`main a[href="`+id+`"]`, 200)
		user.seesNot("What you can do")
		user.inspect("user-granted-seen")

		admin.follow(`form[action$="/revoke"] button`, 200)
		admin.sees("It is revoked")
		user.visit("/users", 403)

		admin.follow(`form[action*="/sessions/"] button`, 200)
		admin.sees("The device is signed out.")
		user.isSignedOut()
	})
}
