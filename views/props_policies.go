package views

import (
	"slices"
	"time"
)

// PoliciesProps is the policy in force.
type PoliciesProps struct {
	Page
	Sections []PolicySection
	CanWrite bool
}

// PolicySection is a part of the policy.
type PolicySection struct {
	Name, Title, Meaning string
	Settings             []PolicySetting
}

func (s PolicySection) hasDurations() bool {
	return slices.ContainsFunc(s.Settings, func(one PolicySetting) bool { return one.Duration })
}

// PolicySetting is one setting, in words.
type PolicySetting struct {
	Name, Group, Label    string
	FullLabel             string // where the group is not seen
	Meaning, Counts       string
	Value, Default, Range string
	Changed               bool   // it differs from its default
	Kind                  string // one of the Policy constants
	Typed, Was            string // of a number, as people type it, and as it was when the form was drawn
	On                    bool   // of a switch
	Roles                 []RoleBox
	Duration              bool // a number of seconds
}

// The values of PolicySetting.Kind.
const (
	PolicyNumber = "number"
	PolicySwitch = "switch"
	PolicyRoles  = "roles"
)

// RoleBox is a role to tick.
type RoleBox struct {
	Field, Role string
	Checked     bool
}

// PolicyFormProps is the form of one section.
type PolicyFormProps struct {
	Page
	Section PolicySection
	Version string
	// Between are the changes that others made since the form was drawn.
	Between []PolicyChangeRow
}

// PolicyHistoryProps is the changes of the policy.
type PolicyHistoryProps struct {
	Page
	Changes  []PolicyChangeRow // newest first
	NextURL  string            // empty on the last page
	Paged    bool              // this is not the first page
	CanWrite bool
}

// PolicyChangeRow is one change of the policy.
type PolicyChangeRow struct {
	ID     int64 // of its event
	Time   time.Time
	By     string // who made it, in words
	Values []ValueChange
	Undoes int64 // the event of the change that it took back; 0: none
}

// ValueChange is a setting with what it was and what it is or will be.
type ValueChange struct {
	Name, Label, Old, New string
	Counts                string // from when on it counts; empty of what is past
	Again                 bool   // it was changed again since the change that is taken back
}
