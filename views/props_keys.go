package views

import (
	"strconv"
	"strings"
	"time"
)

// KeyLimitForm is the fields of a limit of a key's own, as typed; all are empty
// where there is none.
type KeyLimitForm struct{ MaxRequests, WindowSecs, Burst string }

func (f KeyLimitForm) empty() bool { return f == KeyLimitForm{} }

// The names of its fields.
const (
	LimitRequestsField = "rate_limit.max_requests"
	LimitWindowField   = "rate_limit.window_secs"
	LimitBurstField    = "rate_limit.burst"
)

// refusedLimit reports whether a field of the limit was refused.
func (p Page) refusedLimit() bool {
	return len(p.errorsOf(LimitRequestsField))+len(p.errorsOf(LimitWindowField))+len(p.errorsOf(LimitBurstField)) > 0
}

// APIKeyProps is the page of one key.
type APIKeyProps struct {
	Page
	Key       APIKeyRow
	Networks  []string // none: usable from anywhere
	Limit     KeyLimitForm
	Owner     string // an address; empty on the page of one's own key
	OwnerID   string // where the owner's page is for the viewer to see, too
	Scopes    []KeyScopeRow
	Narrowing *Narrowing
	// CanChange: it is the viewer's own and works. CanEnd: may be ended by them.
	CanChange, CanEnd bool
	Form              APIKeyChangeForm
}

// APIKeyChangeForm is the form that changes a key, with what was typed before.
type APIKeyChangeForm struct {
	Name, Networks string
	Limit          KeyLimitForm
	Seen           string // the key that was seen, by its entity tag
}

// KeyScopeRow is a scope of a key, and what was used of it.
type KeyScopeRow struct {
	Scope string
	Star  bool // it stands for several permissions
	Used  []PermissionUse
	// Covers is how many permissions it stands for; Lost are those of them that the
	// owner may not use any more.
	Covers int
	Lost   []string
}

// PermissionUse is a permission that let a key in, on a day.
type PermissionUse struct {
	Permission string
	On         time.Time
	Recent     bool
}

// day is a day in words: without a clock, it is the same in every zone.
func day(t time.Time) string { return t.UTC().Format("2 Jan 2006") }

// state says in a few words what was used of the scope lately.
func (r KeyScopeRow) state(days int) (words, colour string) {
	recent := 0
	for _, u := range r.Used {
		if u.Recent {
			recent++
		}
	}
	within := " within " + strconv.Itoa(days) + " days"
	switch {
	case recent == 0:
		return "not used" + within, ""
	case recent < r.Covers:
		return strconv.Itoa(recent) + " of " + strconv.Itoa(r.Covers) + " used" + within, "yellow"
	default:
		return "used" + within, "green"
	}
}

// lost says which permissions count no longer, since the owner has none of them
// any more.
func (r KeyScopeRow) lost(owner bool) string {
	who := "you may"
	if !owner {
		who = "its owner may"
	}
	what := "do this"
	if len(r.Lost) < r.Covers {
		what = "use " + strings.Join(r.Lost, ", ")
	}
	return "granted, but " + who + " not " + what + " any more"
}

// Narrowing is what could be taken from a key.
type Narrowing struct {
	Days        int
	Kept, Taken []string   // Taken is empty where there is nothing to take
	Used        bool       // the key used something of its scopes lately
	Since       *time.Time // the day of its first use, where that is not long ago
}

// idle says why nothing is known of what a key used.
func (p APIKeyProps) idle(n Narrowing) string {
	since := p.Now.AddDate(0, 0, -n.Days)
	switch {
	case p.Key.CreatedAt.After(since):
		return "It has used nothing of this yet."
	case p.Key.LastUsedAt != nil && p.Key.LastUsedAt.After(since):
		return "It was used, but which of this it needed is not known yet."
	default:
		return "It used nothing of this in the last " + strconv.Itoa(n.Days) + " days. If nobody needs it any more, revoke it."
	}
}
