package handlers

import (
	"slices"
	"strconv"
	"strings"

	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/views"
)

// policyEdit is what was typed into the form of a section: the values that differ
// from those that the form was drawn with, by the names of their settings, and the
// texts of the fields that were typed into.
type policyEdit struct {
	values map[string]any
	texts  map[string]string
}

// patchedEdit is the edit that a merge patch came from.
func patchedEdit(now policy.Policy, patch []byte) (policyEdit, error) {
	next, err := policy.Merged(now, patch)
	if err != nil {
		return policyEdit{}, err
	}
	edit := policyEdit{values: map[string]any{}}
	for _, change := range policy.Diff(now, next) {
		edit.values[change.Setting] = change.New
	}
	return edit, nil
}

// readPolicyEdit reads the form of a section and names each field that is no value
// of its setting. Whether the values are good is for the policy to say.
func readPolicyEdit(form formValues, section policy.Section) (policyEdit, error) {
	edit := policyEdit{values: map[string]any{}, texts: map[string]string{}}
	var fields []secerr.Field
	for _, setting := range policy.Settings() {
		if setting.Section() != section.Name {
			continue
		}
		var value, was any
		var ok bool
		switch setting.Kind() {
		case policy.Switch:
			value, ok = form.One(setting.Name) == "on", true
			was = form.One("was."+setting.Name) == "on"
		case policy.Roles:
			ticked := []string{}
			for _, role := range rbac.Roles {
				if form.One(setting.Name+"."+string(role)) == "on" {
					ticked = append(ticked, string(role))
				}
			}
			value, ok = strings.Join(ticked, ","), true
			if was = form.One("was." + setting.Name); value != was {
				edit.values[setting.Name] = ticked
			}
			continue
		default:
			edit.texts[setting.Name] = strings.TrimSpace(form.One(setting.Name))
			value, ok = parseSetting(setting, edit.texts[setting.Name])
			was, _ = parseSetting(setting, form.One("was."+setting.Name))
		}
		if !ok {
			fields = append(fields, secerr.Field{Field: setting.Name, Detail: typedWrong(setting)})
		} else if value != was {
			edit.values[setting.Name] = value
		} else {
			delete(edit.texts, setting.Name) // as it was: the value of now is shown
		}
	}
	if fields != nil {
		return edit, secerr.InvalidFields(fields...)
	}
	return edit, nil
}

// parseSetting reads a number as people type it; of seconds also with a unit.
func parseSetting(setting policy.Setting, text string) (any, bool) {
	if setting.Unit == policy.Seconds {
		if d, ok := parseDuration(text); ok {
			return seconds(d), true
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func typedWrong(setting policy.Setting) string {
	if setting.Unit == policy.Seconds {
		return "Write it as 90s, 15m, 12h or 7d: " + setting.Range() + "."
	}
	return setting.Wanted()
}

// policySection is a section as the pages show it.
func policySection(section policy.Section, now policy.Policy, edit policyEdit) views.PolicySection {
	shown := views.PolicySection{Name: section.Name, Title: section.Title, Meaning: section.Meaning}
	for _, setting := range policy.Settings() {
		if setting.Section() == section.Name {
			shown.Settings = append(shown.Settings, policySetting(setting, now, edit))
		}
	}
	return shown
}

func policySetting(setting policy.Setting, now policy.Policy, edit policyEdit) views.PolicySetting {
	value := setting.Of(now)
	shown := views.PolicySetting{Name: setting.Name, Group: setting.Group, Label: setting.Label, FullLabel: setting.FullLabel(), Meaning: setting.Meaning, Counts: setting.Counts,
		Value: setting.Say(value), Default: setting.Say(setting.Of(policy.Default())), Range: setting.Range(), Duration: setting.Unit == policy.Seconds}
	shown.Changed = shown.Value != shown.Default
	typed, edited := edit.values[setting.Name]
	if !edited {
		typed = value
	}
	switch setting.Kind() {
	case policy.Switch:
		shown.Kind = views.PolicySwitch
		shown.On, _ = typed.(bool)
		shown.Was = onOff(value == true)
	case policy.Roles:
		shown.Kind = views.PolicyRoles
		ticked, _ := typed.([]string)
		var was []string
		for _, role := range rbac.Roles {
			name := string(role)
			shown.Roles = append(shown.Roles, views.RoleBox{Field: setting.Name + "." + name, Role: name, Checked: slices.Contains(ticked, name)})
			if slices.Contains(now.MFA.RequiredRoles, name) {
				was = append(was, name)
			}
		}
		shown.Was = strings.Join(was, ",")
	default:
		shown.Kind, shown.Was, shown.Typed = views.PolicyNumber, typedNumber(setting, value), typedNumber(setting, typed)
		if text, is := edit.texts[setting.Name]; is {
			shown.Typed = text
		}
	}
	return shown
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// typedNumber writes a number as people type it.
func typedNumber(setting policy.Setting, value any) string {
	n, _ := value.(int64)
	if setting.Unit == policy.Seconds {
		return policy.Short(n)
	}
	return strconv.FormatInt(n, 10)
}
