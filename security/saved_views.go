package security

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/savedview"
	"patronus.internal/dashboard/security/secerr"
)

// Bounds of a saved view.
const (
	maxViewName  = 60   // characters: a link among others
	maxViewQuery = 2000 // bytes: every filter at its longest
)

// SavedViews lists the caller's own views of the log, by name.
func (s *Service) SavedViews(ctx context.Context, c Caller) ([]savedview.View, error) {
	return savedview.List(s.db.Read(ctx), c.User.ID)
}

// SaveView keeps filters of the log for the caller under a name. It returns
// secerr.ValidationFailed for a name that cannot be, secerr.Conflict for one that
// they use already or one view too many.
func (s *Service) SaveView(ctx context.Context, c Caller, name, query string) (savedview.View, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return savedview.View{}, secerr.Invalid("name", "Give the view a name.")
	case utf8.RuneCountInString(name) > maxViewName:
		return savedview.View{}, secerr.Invalid("name", "Use 60 characters at most.")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return savedview.View{}, secerr.Invalid("name", "Use letters, digits and signs that can be seen.")
	case query == "":
		return savedview.View{}, secerr.Invalid("name", "Filter the log first: there is nothing to save.")
	case len(query) > maxViewQuery:
		return savedview.View{}, secerr.Invalid("name", "These filters are too long to be saved.")
	}
	if err := s.AuthorizePerson(ctx, c); err != nil {
		return savedview.View{}, err
	}
	var view savedview.View
	err := s.change(ctx, c, func(tx *db.Tx) (err error) {
		if view, err = savedview.Add(tx, c.User.ID, name, query); err != nil {
			return err
		}
		return record(tx, c, audit.UserUpdate, viewDetails(c, "saved", view))
	})
	return view, err
}

// DeleteView removes one of the caller's views, or returns secerr.NotFound.
func (s *Service) DeleteView(ctx context.Context, c Caller, id string) error {
	if err := s.AuthorizePerson(ctx, c); err != nil {
		return err
	}
	return s.change(ctx, c, func(tx *db.Tx) error {
		name, err := savedview.Delete(tx, c.User.ID, id)
		if err != nil {
			return err
		}
		return record(tx, c, audit.UserUpdate, viewDetails(c, "deleted", savedview.View{ID: id, Name: name}))
	})
}

func viewDetails(c Caller, what string, v savedview.View) audit.Details {
	return audit.Details{"saved_view": what, "target_view_id": v.ID, "name": v.Name, "target_user_id": c.User.ID, "target_email": c.User.Email}
}
