package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Setting describes one leaf of the document. The page of the policy, the
// validation and its messages are all made of it, so none can say anything else
// than the others.
type Setting struct {
	Name    string // its path in the document
	Group   string // what it belongs to inside of its section; empty in most
	Label   string // its name in words
	Meaning string // what it does, in a sentence
	Counts  string // from when on a change of it counts, in a sentence
	Unit    Unit   // of a number

	// Min and Max are the ends of the range of a number. A value outside of it
	// would lock everybody out or switch the protection off.
	Min, Max int64
	// least is what earlier versions took for Min. A policy that is stored may
	// have it still; a change may not come to it. 0: it was Min.
	least int64

	// Exactly one of these finds the value.
	number func(*Policy) *int64
	flag   func(*Policy) *bool
	roles  func(*Policy) *[]string
}

// Unit is what a number counts.
type Unit string

// The units. Seconds are told in the larger ones too.
const (
	Seconds Unit = "seconds"
	Days    Unit = "days"
	Count   Unit = ""
)

// Kind says how a setting is written.
type Kind int

// The kinds.
const (
	Number Kind = iota
	Switch      // on or off
	Roles       // a list of roles
)

// Kind is that of the value.
func (s Setting) Kind() Kind {
	switch {
	case s.flag != nil:
		return Switch
	case s.roles != nil:
		return Roles
	}
	return Number
}

// Section is the part of the document that the setting lies in.
func (s Setting) Section() string {
	section, _, _ := strings.Cut(s.Name, ".")
	return section
}

// FullLabel is the label where the group is not seen: "Sign-in: requests".
func (s Setting) FullLabel() string {
	if s.Group == "" {
		return s.Label
	}
	return s.Group + ": " + strings.ToLower(s.Label)
}

// Of is the value of the setting in a policy: an int64, a bool or a []string.
func (s Setting) Of(p Policy) any {
	switch s.Kind() {
	case Switch:
		return *s.flag(&p)
	case Roles:
		return *s.roles(&p)
	}
	return *s.number(&p)
}

// set puts a value into a policy, and reports whether it is one of the kind. A
// list of roles that is null is the empty one.
func (s Setting) set(p *Policy, value any) bool {
	switch value := plain(value).(type) {
	case int64:
		if s.Kind() == Number {
			*s.number(p) = value
			return true
		}
	case bool:
		if s.Kind() == Switch {
			*s.flag(p) = value
			return true
		}
	case []string:
		if s.Kind() == Roles {
			*s.roles(p) = slices.Clone(value)
			return true
		}
	case nil:
		if s.Kind() == Roles {
			*s.roles(p) = []string{}
			return true
		}
	}
	return false
}

// plain is a value as a policy holds it, of one that was read from JSON.
func plain(value any) any {
	switch value := value.(type) {
	case float64:
		if n := int64(value); float64(n) == value {
			return n
		}
	case []any:
		list := make([]string, 0, len(value))
		for _, one := range value {
			text, ok := one.(string)
			if !ok {
				return value
			}
			list = append(list, text)
		}
		return list
	case []string:
		if value == nil {
			return []string{}
		}
	}
	return value
}

// Say writes a value of the setting for people. What is no such value, in a log
// of an older program, is written as it is.
func (s Setting) Say(value any) string {
	switch value := plain(value).(type) {
	case int64:
		switch s.Unit {
		case Seconds:
			return Words(value)
		case Days:
			return counted(value, "day")
		}
		return thousands(value)
	case bool:
		if value {
			return "on"
		}
		return "off"
	case []string:
		if len(value) == 0 {
			return "nobody"
		}
		return strings.Join(value, ", ")
	case nil:
		return "nobody"
	default:
		return fmt.Sprint(value)
	}
}

// Range says in words which values there are.
func (s Setting) Range() string {
	switch s.Kind() {
	case Switch:
		return "on or off"
	case Roles:
		return "any of the roles, or none"
	}
	return s.Say(s.Min) + " to " + s.Say(s.Max)
}

// Wanted is the refusal of what is no number or out of its range.
func (s Setting) Wanted() string {
	wanted := fmt.Sprintf("Use a whole number from %d to %d", s.Min, s.Max)
	switch s.Unit {
	case Seconds:
		return wanted + " (" + s.Range() + ")."
	case Days:
		return wanted + " (days)."
	}
	return wanted + "."
}

// Settings lists every leaf of the document, in its order.
func Settings() []Setting { return slices.Clone(settings) }

// Find returns the setting of a name.
func Find(name string) (Setting, bool) {
	at := slices.IndexFunc(settings, func(s Setting) bool { return s.Name == name })
	if at < 0 {
		return Setting{}, false
	}
	return settings[at], true
}

// Section is a part of the document.
type Section struct {
	Name    string // of the member
	Title   string
	Meaning string
}

// Sections lists the parts of the document, in its order.
func Sections() []Section { return slices.Clone(sections) }

// span is a unit of time in words.
type span struct {
	seconds int64
	word    string
	letter  string
}

var spans = []span{{day, "day", "d"}, {60 * 60, "hour", "h"}, {60, "minute", "m"}, {1, "second", "s"}}

// Words says a number of seconds in units that people use: "12 hours", "1 hour 30
// minutes".
func Words(seconds int64) string {
	var parts []string
	for _, u := range spans {
		if n := seconds / u.seconds; n > 0 {
			parts = append(parts, counted(n, u.word))
			seconds -= n * u.seconds
		}
	}
	if parts == nil {
		return "0 seconds"
	}
	return strings.Join(parts, " ")
}

// Short writes a number of seconds as a person types it: in the largest unit that
// it is a whole number of, "12h" or "90m".
func Short(seconds int64) string {
	for _, u := range spans {
		if seconds != 0 && seconds%u.seconds == 0 {
			return strconv.FormatInt(seconds/u.seconds, 10) + u.letter
		}
	}
	return strconv.FormatInt(seconds, 10) + "s"
}

func counted(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return thousands(n) + " " + word + "s"
}

// thousands parts the digits of a number that is read by people.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
