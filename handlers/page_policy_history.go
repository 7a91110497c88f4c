package handlers

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/views"
)

// historyPerPage is how many changes of the policy one page lists.
const historyPerPage = 50

// pagePolicyHistory lists the changes of the policy, newest first.
func (s *Server) pagePolicyHistory(c echo.Context) error {
	values, err := queryParams(c, "cursor")
	if err != nil {
		return err
	}
	before, err := decodeCursor(values.Get("cursor"))
	if err != nil {
		return err
	}
	changes, next, err := s.service.PolicyHistory(c.Request().Context(), caller(c), before, historyPerPage)
	if err != nil {
		return err
	}
	props := views.PolicyHistoryProps{Page: s.page(c, "Changes of the policy", views.MenuPolicies), Changes: policyChangeRows(changes), Paged: before != 0, CanWrite: s.mayWritePolicies(c)}
	if next != 0 {
		props.NextURL = pageURL("/policies/history", url.Values{}, "cursor", encodeCursor(next))
	}
	return s.render(c, http.StatusOK, views.PolicyHistory(props))
}

func policyChangeRows(changes []security.PolicyChange) []views.PolicyChangeRow {
	rows := make([]views.PolicyChangeRow, 0, len(changes))
	for _, change := range changes {
		rows = append(rows, views.PolicyChangeRow{ID: change.ID, Time: change.Time, By: changedBy(change), Values: valueChanges(change.Changes), Undoes: change.Undoes})
	}
	return rows
}

// changedBy says who made a change.
func changedBy(change security.PolicyChange) string {
	switch {
	case change.Host:
		return "a command of the host"
	case change.Erased:
		return "somebody who was erased"
	case change.KeyID != "":
		return change.Email + ", by an API key"
	}
	return change.Email
}

// valueChanges says in words what a change is of. A setting that this program does
// not know stands there as the log has it.
func valueChanges(changes []policy.Change) []views.ValueChange {
	var values []views.ValueChange
	for _, change := range changes {
		setting, found := policy.Find(change.Setting)
		label := setting.FullLabel()
		if !found {
			label = change.Setting
		}
		values = append(values, views.ValueChange{Name: change.Setting, Label: label, Old: setting.Say(change.Old), New: setting.Say(change.New)})
	}
	return values
}

// undone is the change that the address names, as it is to be taken back over the
// policy of now.
func (s *Server) undone(c echo.Context) (pendingPolicy, error) {
	event, err := eventNumber(c)
	if err != nil {
		return pendingPolicy{}, err
	}
	pending := pendingPolicy{undo: event}
	if c.Request().Method == http.MethodPost {
		form, err := parseForm(c)
		if err != nil {
			return pendingPolicy{}, err
		}
		pending.version = form.One("version")
	}
	return pending, nil
}

// undoPolicy takes one change of the policy back.
func (s *Server) undoPolicy() confirmation {
	return confirmation{action: stepup.WritePolicy, title: "Undo a change of the policy", menu: views.MenuPolicies, button: "Undo it",
		about: always("/policies/history", "Each setting goes back to what it was before this change."),
		more: func(c echo.Context, props *views.ConfirmProps) error {
			pending, err := s.undone(c)
			if err != nil {
				return err
			}
			// Over the policy of now, whatever was seen before: the page shows it.
			if pending.preview, err = s.service.PreviewPolicy(c.Request().Context(), caller(c), security.PolicyPatch{Undo: pending.undo}); err != nil {
				return err
			}
			if again := pending.preview.Again; len(again) > 0 {
				props.Text = append(props.Text, "Some of them were changed again since, as it says below. They go back too, and what was set since is lost. To keep it, change the others by hand.")
			}
			showPreview(props, pending.preview)
			return nil
		},
		check: func(c echo.Context, _ formValues) error {
			pending, err := s.undone(c)
			if err == nil {
				_, err = s.service.PreviewPolicy(c.Request().Context(), caller(c), pending.asked())
			}
			return err
		},
		do: func(c echo.Context, nonce secret.Text) error {
			pending, err := s.undone(c)
			if err != nil {
				return err
			}
			if _, err := s.service.ChangePolicy(c.Request().Context(), caller(c), nonce, pending.asked()); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, policiesPath+"?done=undone")
		}}
}

// submitUndoPolicy undoes a change after the proof. Where the policy is not the one
// that was seen, it asks again.
func (s *Server) submitUndoPolicy(c echo.Context) error {
	what := s.undoPolicy()
	err := s.confirmed(what)(c)
	if !secerr.Is(err, secerr.PreconditionFailed) {
		return err
	}
	page := s.page(c, what.title, what.menu)
	status := s.showProblem(c, &page, err)
	page.Problem = strings.Replace(page.Problem, "Read it again and repeat your change.", "Look at what the undo would do now.", 1)
	return s.renderConfirm(c, status, page, what)
}
