package handlers

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/views"
)

const policiesPath = "/policies"

// pagePolicies shows every setting of the policy.
func (s *Server) pagePolicies(c echo.Context) error {
	values, err := queryParams(c, "done")
	if err != nil {
		return err
	}
	props := views.PoliciesProps{Page: s.page(c, "Policies", views.MenuPolicies), CanWrite: s.mayWritePolicies(c)}
	switch values.Get("done") {
	case "changed":
		props.Notice = "The policy is changed."
	case "undone":
		props.Notice = "The change is undone."
	}
	now := s.service.StoredPolicy().Policy
	for _, section := range policy.Sections() {
		props.Sections = append(props.Sections, policySection(section, now, policyEdit{}))
	}
	return s.render(c, http.StatusOK, views.Policies(props))
}

func (s *Server) mayWritePolicies(c echo.Context) bool {
	return caller(c).Reach(rbac.PoliciesWrite) == rbac.All
}

// sectionOf is the section that the address names.
func sectionOf(c echo.Context) (policy.Section, error) {
	sections := policy.Sections()
	at := slices.IndexFunc(sections, func(s policy.Section) bool { return s.Name == c.Param("id") })
	if at < 0 {
		return policy.Section{}, secerr.New(secerr.NotFound, "The policy has no such part.")
	}
	return sections[at], nil
}

// pagePolicySection is the form of one section.
func (s *Server) pagePolicySection(c echo.Context) error {
	section, err := sectionOf(c)
	if err != nil {
		return err
	}
	return s.renderPolicyForm(c, http.StatusOK, s.policyPage(c, section), section, policyEdit{}, nil)
}

func (s *Server) policyPage(c echo.Context, section policy.Section) views.Page {
	return s.page(c, "Change: "+section.Title, views.MenuPolicies)
}

// renderPolicyForm shows the form with the policy of now and what was typed over
// it.
func (s *Server) renderPolicyForm(c echo.Context, status int, page views.Page, section policy.Section, edit policyEdit, between []security.PolicyChange) error {
	now := s.service.StoredPolicy()
	return s.render(c, status, views.PolicyForm(views.PolicyFormProps{Page: page, Section: policySection(section, now.Policy, edit),
		Version: strconv.FormatInt(now.Version, 10), Between: policyChangeRows(between)}))
}

// submitPolicySection shows what the typed values would change, and asks. It
// changes nothing.
func (s *Server) submitPolicySection(c echo.Context) error {
	section, err := sectionOf(c)
	if err != nil {
		return err
	}
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	edit, err := readPolicyEdit(form, section)
	pending := pendingPolicy{section: section.Name, version: form.One("version")}
	if err == nil {
		pending.patch, err = policy.Patch(edit.values)
	}
	if err == nil {
		pending.preview, err = s.service.PreviewPolicy(c.Request().Context(), caller(c), pending.asked())
	}
	if err == nil && len(pending.preview.Changes) == 0 {
		err = &secerr.Error{Code: secerr.ValidationFailed, Detail: "You have changed nothing yet."}
	}
	if secerr.Is(err, secerr.PreconditionFailed) {
		return s.renderStalePolicy(c, section, edit, pending.version)
	}
	if err != nil {
		page := s.policyPage(c, section)
		status, err := s.formProblem(c, &page, err)
		if err != nil {
			return err
		}
		return s.renderPolicyForm(c, status, page, section, edit, nil)
	}
	c.Set(pendingKey, pending)
	what := s.changePolicy()
	return s.renderConfirm(c, http.StatusOK, s.page(c, what.title, what.menu), what)
}

// renderStalePolicy shows what others have changed since the form was drawn, and
// the form with what was typed over the policy of now.
func (s *Server) renderStalePolicy(c echo.Context, section policy.Section, edit policyEdit, version string) error {
	page := s.policyPage(c, section)
	refusal := secerr.New(secerr.PreconditionFailed, "Somebody else changed the policy in the meantime. Nothing of yours is lost: it stands in the fields below, over the values of now. Look at it, and send it again.")
	status := s.showProblem(c, &page, refusal)
	seen, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return secerr.Wrap(secerr.BadRequest, "The form does not say which policy it is about.", err)
	}
	between, err := s.service.PolicyChangesSince(c.Request().Context(), caller(c), seen, historyPerPage)
	if err != nil {
		return err
	}
	return s.renderPolicyForm(c, status, page, section, edit, between)
}

// pendingPolicy is a change that waits for its confirmation. It travels in fields
// of the form: nothing is kept of it here.
type pendingPolicy struct {
	section string // where the form was; empty of an undo
	version string // that was seen
	patch   []byte
	undo    int64
	preview security.PolicyPreview
}

const pendingKey = "pending policy"

func (p pendingPolicy) asked() security.PolicyPatch {
	return security.PolicyPatch{Patch: p.patch, Undo: p.undo, Expected: func(now policy.Stored) bool { return strconv.FormatInt(now.Version, 10) == p.version }}
}

// pendingOf reads it back from the form.
func pendingOf(c echo.Context) (pendingPolicy, error) {
	form, err := parseForm(c)
	if err != nil {
		return pendingPolicy{}, err
	}
	p := pendingPolicy{section: form.One("section"), version: form.One("version"), patch: []byte(form.One("patch"))}
	if !slices.ContainsFunc(policy.Sections(), func(s policy.Section) bool { return s.Name == p.section }) {
		return pendingPolicy{}, secerr.New(secerr.BadRequest, "The form does not say which part of the policy it is about.")
	}
	return p, nil
}

// changePolicy is the question of submitPolicySection.
func (s *Server) changePolicy() confirmation {
	return confirmation{action: stepup.WritePolicy, title: "Change the policy", menu: views.MenuPolicies, button: "Change it",
		about: func(c echo.Context) ([]string, string, error) {
			if pending, known := c.Get(pendingKey).(pendingPolicy); known {
				return nil, policiesPath + "/" + pending.section, nil
			}
			pending, err := pendingOf(c)
			return nil, policiesPath + "/" + pending.section, err
		},
		more: func(c echo.Context, props *views.ConfirmProps) error {
			pending, known := c.Get(pendingKey).(pendingPolicy)
			if !known {
				var err error
				if pending, err = pendingOf(c); err != nil {
					return err
				}
				if pending.preview, err = s.service.PreviewPolicy(c.Request().Context(), caller(c), pending.asked()); err != nil {
					return err
				}
			}
			props.Path = policiesPath
			showPreview(props, pending.preview)
			props.Hidden = append(props.Hidden, views.KeyValue{Key: "section", Value: pending.section}, views.KeyValue{Key: "patch", Value: string(pending.patch)})
			return nil
		},
		check: func(c echo.Context, _ formValues) error {
			pending, err := pendingOf(c)
			if err == nil {
				_, err = s.service.PreviewPolicy(c.Request().Context(), caller(c), pending.asked())
			}
			return err
		},
		do: func(c echo.Context, nonce secret.Text) error {
			pending, err := pendingOf(c)
			if err != nil {
				return err
			}
			if _, err := s.service.ChangePolicy(c.Request().Context(), caller(c), nonce, pending.asked()); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, policiesPath+"?done=changed#"+pending.section)
		}}
}

// showPreview puts on the page of a confirmation what it will change.
func showPreview(props *views.ConfirmProps, p security.PolicyPreview) {
	props.Values, props.Effects = valueChanges(p.Changes), p.Effects
	for i, v := range props.Values {
		props.Values[i].Again = slices.Contains(p.Again, v.Name)
		setting, _ := policy.Find(v.Name)
		props.Values[i].Counts = setting.Counts
	}
	props.Hidden = append(props.Hidden, views.KeyValue{Key: "version", Value: strconv.FormatInt(p.Now.Version, 10)})
}

// submitPolicy changes the policy after the proof. Where it is not the one that was
// seen, it shows what has become of it.
func (s *Server) submitPolicy(c echo.Context) error {
	err := s.confirmed(s.changePolicy())(c)
	if !secerr.Is(err, secerr.PreconditionFailed) {
		return err
	}
	pending, formErr := pendingOf(c)
	if formErr != nil {
		return formErr
	}
	edit, mergeErr := patchedEdit(s.service.StoredPolicy().Policy, pending.patch)
	if mergeErr != nil {
		return mergeErr
	}
	for _, section := range policy.Sections() {
		if section.Name == pending.section {
			return s.renderStalePolicy(c, section, edit, pending.version)
		}
	}
	return err
}
