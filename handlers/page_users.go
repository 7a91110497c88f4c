package handlers

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
	"patronus.internal/dashboard/views"
)

// usersPerPage is how many users one page lists.
const usersPerPage = 50

// userEvents is how many of their events the page of a user shows.
const userEvents = 10

// pageUsers lists the users, oldest first.
func (s *Server) pageUsers(c echo.Context) error {
	values, err := queryParams(c, "q", "role", "cursor", "done")
	if err != nil {
		return err
	}
	props := views.UsersProps{Page: s.page(c, "Users", views.MenuUsers), Text: values.Get("q"), Role: values.Get("role"), Form: views.UserForm{Role: string(rbac.User)}}
	switch values.Get("done") {
	case "deleted":
		props.Notice = "The user is deleted."
	case "erased":
		props.Notice = "The user is deleted, and their data is erased from the audit log."
	case "signed-out":
		props.Notice = "Everybody else has to sign in again. The audit log tells how many sessions ended."
	}
	return s.renderUsers(c, http.StatusOK, props, values)
}

// renderUsers fills in the list and the choices of the form.
func (s *Server) renderUsers(c echo.Context, status int, props views.UsersProps, values url.Values) error {
	who := caller(c)
	props.CanAdd, props.SendsMail = who.Reach(rbac.UsersWrite) == rbac.All, s.service.SendsMail()
	props.CanRevokeAll, props.CanReenrollAll = who.MayActOnEveryone(rbac.SessionsWrite), who.MayActOnEveryone(rbac.UsersWrite)
	props.Roles, props.Form.Roles = texts(rbac.Roles), rolesFor(who)
	after, err := decodeIDCursor(values.Get("cursor"))
	if err != nil {
		return err
	}
	users, next, err := s.service.Users(c.Request().Context(), who, user.Filter{Text: values.Get("q"), Role: values.Get("role"), After: after, Limit: usersPerPage})
	if err != nil {
		if status, err = s.formProblem(c, &props.Page, err); err != nil {
			return err
		}
		for i := range props.Summary { // the other form has one of the same name
			props.Summary[i].Field = views.RoleFilterID
		}
	}
	for _, u := range users {
		props.Users = append(props.Users, userRow(u))
	}
	if next != "" {
		props.NextURL = pageURL("/users", values, "cursor", encodeIDCursor(next))
	}
	return s.render(c, status, views.Users(props))
}

// rolesFor are the roles that somebody may give.
func rolesFor(who security.Caller) []string {
	return texts(rbac.UpTo(rbac.Role(who.User.Role)))
}

// submitAddUser adds a user, and shows the link to the first password, this
// once, where it is not in a mail.
func (s *Server) submitAddUser(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	u, link, err := s.service.InviteUser(c.Request().Context(), caller(c), form.One("email"), form.One("role"))
	switch {
	case err != nil:
		return s.renderAddRefused(c, form, err)
	case link.Empty():
		return c.Redirect(http.StatusSeeOther, "/users/"+u.ID+"?done=invited")
	}
	return s.render(c, http.StatusCreated, views.OneTimeLink(views.OneTimeLinkProps{Page: s.page(c, "User added", views.MenuUsers),
		Link: link, About: u.Email + " sets their password by this link. Hand it over in a way that nobody else reads.", Lifetime: "24 hours", Back: "/users/" + u.ID}))
}

// renderAddRefused shows the form again with what was typed.
func (s *Server) renderAddRefused(c echo.Context, form formValues, refused error) error {
	props := views.UsersProps{Page: s.page(c, "Users", views.MenuUsers), Form: views.UserForm{Email: form.One("email"), Role: form.One("role")}}
	status, err := s.formProblem(c, &props.Page, refused)
	if err != nil {
		return err
	}
	for i, refused := range props.Summary {
		if refused.Field == "email" {
			props.Summary[i].Field = views.AddEmailID
		}
	}
	return s.renderUsers(c, status, props, nil)
}

func userRow(u user.User) views.UserRow {
	return views.UserRow{ID: u.ID, Email: u.Email, Role: u.Role, Enabled: u.Enabled, MFAEnabled: u.MFAEnabled, Reenroll: u.Reenroll,
		CreatedAt: u.CreatedAt, LastLoginAt: u.LastLoginAt}
}

// pageUser shows one user and what an admin may do for them.
func (s *Server) pageUser(c echo.Context) error {
	u, err := s.service.User(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	page := s.page(c, u.Email, views.MenuUsers)
	switch c.QueryParam("done") {
	case "invited":
		page.Notice = "The user is added. A link to set their password is on its way to them."
	case "role":
		page.Notice = "Their role is changed, and they are signed out everywhere."
	case "disabled":
		page.Notice = "They are shut out: sessions, tokens and keys stopped working."
	case "enabled":
		page.Notice = "They may sign in again."
	case "device-signed-out":
		page.Notice = "The device is signed out."
	case "signed-out":
		page.Notice = "They are signed out everywhere."
	case "unlocked":
		page.Notice = "The failed sign-ins are forgotten."
	case "granted":
		page.Notice = "It is granted, and counts from now on."
	case "revoked":
		page.Notice = "It is revoked, and counts no longer."
	case "reenroll":
		page.Notice = "At their next sign-in they set up a new second factor."
	}
	return s.renderUser(c, http.StatusOK, page, u, views.GrantForm{})
}

// renderUser fills in what is known of a user and what the caller may do for them.
func (s *Server) renderUser(c echo.Context, status int, page views.Page, u user.User, form views.GrantForm) error {
	ctx, who := c.Request().Context(), caller(c)
	props := views.UserProps{Page: page, User: userRow(u), Grant: form}
	var err error
	if props.CanRevoke, err = s.service.MayActOn(ctx, who, rbac.SessionsWrite, u); err != nil {
		return err
	}
	if props.CanWrite, err = s.service.MayActOn(ctx, who, rbac.UsersWrite, u); err != nil {
		return err
	}
	if props.Grants, err = s.grantRows(ctx, who, u.ID); err != nil {
		return err
	}
	if who.Held().Allow(rbac.SessionsRead, u.ID) {
		live, err := s.service.Sessions(ctx, who, u.ID)
		if err != nil {
			return err
		}
		props.Sessions = sessionRows(live, who)
	}
	keys, next, err := s.service.SeenKeys(ctx, who, u.ID, "", keysPerPage)
	if err != nil {
		return err
	}
	for _, key := range keys {
		props.Keys = append(props.Keys, keyRow(key))
	}
	props.MoreKeys = next != ""
	props.Grant.Choices = grantChoices(who.Grantable(u.ID))
	events, err := s.service.UserLogs(ctx, who, u.ID, userEvents)
	if err != nil {
		return err
	}
	props.Events = eventRows(events)
	return s.render(c, status, views.User(props))
}

// submitUnlock forgets the failed sign-ins of a user.
func (s *Server) submitUnlock(c echo.Context) error {
	if err := s.service.Unlock(c.Request().Context(), caller(c), c.Param("id")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/users/"+c.Param("id")+"?done=unlocked")
}

// aboutUser names the user whom a confirmation is about.
func (s *Server) aboutUser(text ...string) func(echo.Context) ([]string, string, error) {
	return func(c echo.Context) ([]string, string, error) {
		u, err := s.service.User(c.Request().Context(), c.Param("id"))
		if err != nil {
			return nil, "", err
		}
		named := u.Email
		if !caller(c).Held().Allow(rbac.UsersRead, u.ID) {
			named = u.ID // they may change what they may not read
		}
		return append([]string{"User: " + named}, text...), "/users/" + u.ID, nil
	}
}

func (s *Server) signOutUser() confirmation {
	return confirmation{action: stepup.RevokeAllTokens, title: "Sign a user out", menu: views.MenuUsers, button: "Sign them out",
		about: s.aboutUser("Every session and token of theirs ends at once; of your own, all but this one. Their API keys go on working."),
		do: func(c echo.Context, nonce secret.Text) error {
			if _, err := s.service.RevokeAllTokens(c.Request().Context(), caller(c), nonce, c.Param("id"), ""); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/users/"+c.Param("id")+"?done=signed-out")
		}}
}

func (s *Server) signOutEveryone() confirmation {
	return confirmation{action: stepup.RevokeAllTokens, title: "Sign everyone out", menu: views.MenuUsers, button: "Sign everyone out",
		about: always("/users", "Every session and token of everyone ends at once, but this one. API keys go on working."),
		do: func(c echo.Context, nonce secret.Text) error {
			if _, err := s.service.RevokeAllTokens(c.Request().Context(), caller(c), nonce, "", ""); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/users?done=signed-out")
		}}
}

func (s *Server) reenrollUser() confirmation {
	return confirmation{action: stepup.ForceReenrollment, title: "Demand a new second factor", menu: views.MenuUsers, button: "Demand it",
		about: s.aboutUser("They are signed out. At the next sign-in, with the old second factor if they have one, they set up a new one before anything else."),
		do: func(c echo.Context, nonce secret.Text) error {
			if _, err := s.service.ForceReenrollment(c.Request().Context(), caller(c), nonce, c.Param("id")); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/users/"+c.Param("id")+"?done=reenroll")
		}}
}

func (s *Server) reenrollEveryone() confirmation {
	return confirmation{action: stepup.ForceReenrollment, title: "Demand new second factors", menu: views.MenuUsers, button: "Demand them",
		about: always("/users", "Everyone who has a second factor is signed out, you too. At the next sign-in, with the old one, each sets up a new one before anything else."),
		do: func(c echo.Context, nonce secret.Text) error {
			if _, err := s.service.ForceReenrollment(c.Request().Context(), caller(c), nonce, ""); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/users")
		}}
}

func (s *Server) makeEnrolmentLink() confirmation {
	return confirmation{action: stepup.ForceReenrollment, title: "Reset a lost second factor", menu: views.MenuUsers, button: "Make the link",
		about: s.aboutUser("For somebody who has lost their authenticator app and their backup codes. They are signed out, and you get a link that stands in for the old second factor: good once, for 24 hours, behind their password. By it they set up a new one before anything else.",
			"Make sure that it is really they who ask, and hand it over in a way that nobody else reads."),
		do: func(c echo.Context, nonce secret.Text) error {
			link, err := s.service.EnrolmentLink(c.Request().Context(), caller(c), nonce, c.Param("id"))
			if err != nil {
				return err
			}
			return s.render(c, http.StatusOK, views.OneTimeLink(views.OneTimeLinkProps{Page: s.page(c, "Enrolment link", views.MenuUsers), Link: link, Lifetime: "24 hours", Back: "/users/" + c.Param("id")}))
		}}
}

func (s *Server) makeResetLink() confirmation {
	return confirmation{action: stepup.ResetLink, title: "Make a reset link", menu: views.MenuUsers, button: "Make the link",
		about: s.aboutUser("You get a link that sets another password for them: good once, for 30 minutes. Hand it over in a way that nobody else reads. Their second factor is still asked for."),
		do: func(c echo.Context, nonce secret.Text) error {
			link, err := s.service.ResetLink(c.Request().Context(), caller(c), nonce, c.Param("id"))
			if err != nil {
				return err
			}
			return s.render(c, http.StatusOK, views.OneTimeLink(views.OneTimeLinkProps{Page: s.page(c, "Reset link", views.MenuUsers), Link: link, Lifetime: "30 minutes", Back: "/users/" + c.Param("id")}))
		}}
}

func (s *Server) deleteUser(erase bool) confirmation {
	text := []string{"They are signed out at once, and their keys, devices and second factors are gone. This cannot be undone."}
	title, button, done := "Delete a user", "Delete them", "deleted"
	if erase {
		title, button, done = "Delete a user and erase their data", "Delete and erase", "erased"
		text = append(text, "In the audit log, their e-mail address, network addresses, browsers and other personal details are erased for good. That something happened, when, and with what outcome stays, and the log can still be verified.",
			"Copies that left this program are not reached: exports, archives, backups, and what was sent to other log systems.")
	} else {
		text = append(text, "The audit log keeps what they did, with their address.")
	}
	return confirmation{action: stepup.DeleteUser, title: title, menu: views.MenuUsers, button: button,
		about: s.aboutUser(text...),
		do: func(c echo.Context, nonce secret.Text) error {
			if err := s.service.DeleteUser(c.Request().Context(), caller(c), nonce, c.Param("id"), erase); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/users?done="+done)
		}}
}
