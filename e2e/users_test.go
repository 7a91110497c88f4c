//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestAdminHelps has a user without a password and an admin who helps, on a
// server that sends no mail; then the admin answers to a breach.
func TestAdminHelps(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		admin := newAdmin(t, s, scripts) // first: the link of the first run is good only without any user
		user := newUser(t, s, data, scripts)
		user.enrols(s)

		user.asksWithoutMail()
		id := admin.findsUser(user.email)
		link := admin.makesResetLink(s, id)
		user.setsPasswordByLink(s, link, "orchard velvet compass 48")
		user.visit("/account", 200)
		user.at("/login")
		user.signsInWithApp()
		user.at("/")

		admin.clicks("/users")
		admin.follow(`main a[href="`+id+`"]`, 200)
		admin.sees("What they did last")
		admin.follow(`main a[href^="/audit?user_id="]`, 200)
		admin.sees("mfa_enroll")
		admin.visit(id, 200)
		admin.asksFor(id + "/sign-out")
		admin.confirms(s, id+"/sign-out")
		admin.at(id)
		admin.sees("They are signed out everywhere.")
		user.isSignedOut()

		user.signsIn()
		user.at("/")
		admin.asksFor(id + "/reenroll")
		admin.confirms(s, id+"/reenroll")
		admin.at(id)
		admin.sees("new one demanded")
		admin.inspect("user-reenroll")
		user.reenrols(s)

		admin.clicks("/users")
		admin.asksFor("/users/everyone/sign-out")
		admin.inspect("confirm-everyone")
		admin.confirms(s, "/users/everyone/sign-out")
		admin.at("/users")
		admin.sees("Everybody else has to sign in again")
		user.isSignedOut()
		admin.clicks("/api-keys")
		admin.at("/api-keys")

		admin.visit(id, 200)
		admin.asksFor(id + "/delete")
		admin.sees("The audit log keeps what they did")
		admin.visit(id, 200)
		admin.asksFor(id + "/erase")
		admin.inspect("confirm-erase")
		admin.confirms(s, id+"/erase")
		admin.at("/users")
		admin.sees("erased from the audit log")
		admin.visit(id, 404)
		admin.visit("/audit?user_id="+strings.TrimPrefix(id, "/users/"), 200)
		admin.seesNot(user.email)
		admin.follow(`main a[href^="/audit/"]`, 200)
		admin.follow(`form[action$="#proof"] button`, 200)
		admin.sees("Verified")
		admin.inspect("audit-event-erased")
	})
}

// TestAdminAddsUsers on the page: the link stands there once, or goes by mail.
func TestAdminAddsUsers(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		s := startServer(t, t.TempDir())
		admin := newAdmin(t, s, scripts)
		grace := &person{visitor: newVisitor(t, s, scripts), email: userEmail, password: userPassword}
		s.keepsSecret("password of the user", grace.password)

		admin.clicks("/users")
		admin.sees("You get a link for them")
		admin.addsUser("grace@192.0.2.1", "viewer", 422)
		admin.sees("Write an e-mail address")
		admin.inspect("user-add-refused")
		admin.addsUser(adminEmail, "viewer", 409)
		admin.sees("There is a user with this e-mail address already")
		admin.addsUser(grace.email, "viewer", 201)
		admin.inspect("user-added")
		link := admin.text("#one-time-link")
		_, token, _ := strings.Cut(link, s.url+"/reset-password?token=")
		s.keepsSecret("token of the invitation", token)
		admin.follow(`main a[href^="/users/"]`, 200)
		admin.sees(grace.email)
		admin.seesNot(token)

		grace.visit(link, 200)
		grace.setsPassword("/reset-password")
		grace.at("/login")
		grace.typesPassword()
		grace.at("/")
		grace.visit("/users", 403)

		admin.changesRole(s, grace)
		admin.shutsOut(grace)
	})
}

// changesRole makes a user an operator, and cannot step down alone.
func (p *person) changesRole(s *server, of *person) {
	p.t.Helper()
	id := p.path()
	p.asksFor(id + "/role")
	p.sees(of.email)
	p.inspect("user-role")
	p.proves(id+"/role", p.password, p.spends(), 422)
	p.sees("This is the role that they have.")
	p.refuses("role")
	p.inspect("user-role-refused")
	p.choose("role", "operator")
	p.confirms(s, id+"/role")
	p.at(id)
	p.sees("Their role is changed")
	p.inspect("user-role-changed")
	of.isSignedOut()
	of.typesPassword()
	of.clicks("/users")
	of.seesNot("Add a user")

	p.visit("/users", 200)
	p.fill("email", p.email)
	p.submit("/users", 200)
	p.follow("main tbody a", 200)
	own := p.path()
	p.asksFor(own + "/role")
	p.choose("role", "viewer")
	p.proves(own+"/role", p.password, p.spends(), 409)
	p.sees("This is the last admin who can sign in.")
	p.visit(id, 200)
}

// shutsOut disables a user and enables them again.
func (p *person) shutsOut(of *person) {
	p.t.Helper()
	id := p.path()
	p.asksFor(id + "/disable")
	p.inspect("user-disable")
	p.submit(id+"/disable", 200)
	p.at(id)
	p.sees("They are shut out")
	p.inspect("user-disabled")
	of.isSignedOut()
	of.fill("email", of.email)
	of.fill("password", of.password)
	of.submit("/login", 401)
	p.submit(id+"/enable", 200)
	p.sees("They may sign in again.")
	of.visit("/login", 200)
	of.typesPassword()
	of.at("/")
}

// TestAdminAddsUsersByMail shows no link.
func TestAdminAddsUsersByMail(t *testing.T) {
	post := openPost(t)
	s := startServer(t, t.TempDir(), post.flags()...)
	admin := newAdmin(t, s, true)
	admin.clicks("/users")
	admin.sees("They get a link by mail")
	admin.addsUser(userEmail, "user", 200)
	admin.sees("on its way to them")
	admin.inspect("user-added-by-mail")
	link := resetLink.FindString(post.next(userEmail, "Your account at localhost").text)
	_, token, _ := strings.Cut(link, "token=")
	s.keepsSecret("token of the invitation", token)
	admin.seesNot(token)
	grace := &person{visitor: newVisitor(t, s, true), email: userEmail, password: userPassword}
	grace.visit(link, 200)
	grace.setsPassword("/reset-password")
	grace.at("/login")
}

// addsUser fills in the form below the list.
func (p *person) addsUser(email, role string, status int64) {
	p.t.Helper()
	const form = `form[method=post][action="/users"]`
	p.fillIn(form+" [name=email]", email)
	p.choose("role", role)
	p.follow(form+" button", status)
}

// asksWithoutMail is told whom to ask.
func (p *person) asksWithoutMail() {
	p.t.Helper()
	p.visit("/forgot-password", 200)
	p.sees("This server sends no mail")
	p.inspect("forgot-without-mail")
	p.fill("email", p.email)
	p.submit("/forgot-password", 200)
	p.sees("ask an admin")
	p.inspect("forgot-asked-without-mail")
}

// findsUser finds a user, who has asked for a link, and returns the path of
// their page.
func (p *person) findsUser(email string) string {
	p.t.Helper()
	p.visit("/audit?event_type=password_reset_request", 200)
	p.row(email)
	p.clicks("/users")
	p.inspect("users")
	p.fill("q", "nobody@example.org")
	p.submit("/users", 200)
	p.sees("no such user")
	p.inspect("users-none")
	p.fill("q", email)
	p.submit("/users", 200)
	if rows := p.texts("main tbody tr"); len(rows) != 1 || !strings.Contains(rows[0], email) {
		p.t.Fatalf("for %s the list holds %q", email, rows)
	}
	p.follow("main tbody a", 200)
	p.sees(email)
	p.inspect("user")
	return p.path()
}

// makesResetLink makes a link to another password of a user, after a wrong
// password and a wrong code.
func (p *person) makesResetLink(s *server, id string) string {
	p.t.Helper()
	path := id + "/reset-link"
	p.asksFor(path)
	p.sees(userEmail)
	p.inspect("confirm")
	p.proves(path, p.password+"x", p.spends(), 401)
	p.refuses("password")
	p.inspect("confirm-refused")
	p.proves(path, p.password, p.app.wrongCode(), 401)
	p.refuses("code")
	p.inspect("confirm-refused-code")
	p.confirms(s, path)
	link := p.text("#one-time-link")
	_, token, _ := strings.Cut(link, s.url+"/reset-password?token=")
	s.keepsSecret("token of the reset link", token)
	p.inspect("reset-link")
	p.follow(`main a[href="`+id+`"]`, 200)
	p.at(id)
	p.seesNot(token)
	return link
}

// reenrols is signed out by the admin and comes back with the old second
// factor, after which nothing opens before there is a new one.
func (p *person) reenrols(s *server) {
	p.t.Helper()
	p.isSignedOut()
	old := p.app
	p.signsIn()
	p.at("/account/mfa")
	for _, path := range []string{"/", "/api-keys", "/account/sessions"} {
		p.visit(path, 200)
		p.at("/account/mfa")
	}
	p.sees("set up your second factor anew")
	p.inspect("mfa-reenrol")
	p.enrols(s)
	if p.app.secret == old.secret {
		p.t.Error("the new second factor has the secret of the old one")
	}
	p.visit("/", 200)
	p.at("/")
}
