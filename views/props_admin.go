package views

import (
	"strconv"
	"strings"
	"time"
)

// UsersProps is the list of users.
type UsersProps struct {
	Page
	Text, Role string    // the filter, as typed
	Roles      []string  // to filter by
	Users      []UserRow // oldest first
	NextURL    string    // empty on the last page
	CanAdd     bool
	// May do so to everybody, admins too.
	CanRevokeAll, CanReenrollAll bool
	Form                         UserForm
	SendsMail                    bool // links go out by mail
}

// AddEmailID is the field of the address in UserForm.
const AddEmailID = "new-email"

// RoleFilterID is the choice of the filter: UserForm has one of the same name.
const RoleFilterID = "role-filter"

// UserForm is the form that adds a user, with what was typed before.
type UserForm struct {
	Email, Role string
	Roles       []string // to choose from
}

// UserProps is one user.
type UserProps struct {
	Page
	User                UserRow
	Events              []EventRow   // what they did last, newest first; of who may read it
	CanRevoke, CanWrite bool         // may do so to them
	Sessions            []SessionRow // newest first; of who may read them
	Keys                []APIKeyRow  // the newest of their keys, of who may read them
	MoreKeys            bool         // there are older ones
	Grants              []GrantRow   // oldest first
	Grant               GrantForm
}

// mayGrant reports whether there is a permission to choose from.
func (p UserProps) mayGrant() bool { return p.CanWrite && len(p.Grant.Choices) > 0 }

// GrantRow is a permission that a user has beyond their role.
type GrantRow struct {
	ID, Permission, ResourceID string // ResourceID is empty for everywhere
	Label                      string // of the permission, in words
	GrantedBy                  string // an address, or the id of somebody who is gone
	CreatedAt                  time.Time
}

// GrantForm is the form that grants a permission, with what was typed before.
type GrantForm struct {
	Permission, ResourceID string
	Choices                []GrantChoice
}

// GrantChoice is a permission to choose.
type GrantChoice struct{ Permission, Label string }

// UserRow is one user in the list.
type UserRow struct {
	ID, Email, Role     string
	Enabled, MFAEnabled bool
	Reenroll            bool // a new second factor is demanded
	CreatedAt           time.Time
	LastLoginAt         *time.Time // nil: never
}

// IPBlocksProps is the blocked addresses, and why one is.
type IPBlocksProps struct {
	Page
	About       string       // what to explain, as typed
	Explanation *Explanation // nil: nothing was asked, or it is not known
	Blocks      []BlockRow   // newest first
	NextURL     string       // empty on the last page
	Form        BlockForm
	CanWrite    bool
}

// BlockForm is the form that blocks an address, with what was typed before.
type BlockForm struct {
	IP, Duration, Reason string
	Force                bool
}

// BlockRow is one block in force.
type BlockRow struct {
	ID, Network, Reason  string
	Automatic            bool // by a rule
	CreatedAt, ExpiresAt time.Time
}

// Explanation is what is known of an address.
type Explanation struct {
	IP              string
	Trusted         bool // a trusted proxy
	Block           *BlockRow
	Login, Requests LimitRow
	Callers         []LimitRow   // of those who were refused and were somebody
	Refusals        []RefusalRow // newest first
	Events          []EventRow   // newest first
	Failed          int          // sign-ins of the last day, as far as they were counted
	FailedAccounts  []string     // whose they were, each once, newest first
	FailedURL       string       // leads to them; empty when there are none
}

// LimitRow is the state of a limiter.
type LimitRow struct {
	Name             string // whose it is, where it is not that of the address
	Limit, Remaining int64
	ResetAfter       time.Duration
}

// RefusalRow is a request that was turned away.
type RefusalRow struct {
	RequestID, Code, Route, Email string
	At                            time.Time
	IP, Peer                      string
	Forwarded                     []string // lines of X-Forwarded-For
}

// derivation says how the address of a request was found.
func (r RefusalRow) derivation() string {
	text := "The connection came from " + r.Peer + "."
	switch {
	case len(r.Forwarded) == 0:
		return text + " There was no X-Forwarded-For."
	case strings.HasPrefix(r.Peer, r.IP+":") || strings.HasPrefix(r.Peer, "["+r.IP+"]:"):
		return text + " Its X-Forwarded-For (" + strings.Join(r.Forwarded, "; ") + ") does not count, since it is no trusted proxy, or names none but such."
	}
	return text + " It is a trusted proxy; of X-Forwarded-For (" + strings.Join(r.Forwarded, "; ") + ") the rightmost address that is not one counts: " + r.IP + "."
}

// shownAccounts is how many accounts an explanation names.
const shownAccounts = 5

// tried says whose accounts the failed sign-ins were for.
func (e Explanation) tried() string {
	switch n := len(e.FailedAccounts); {
	case n == 0:
		return ""
	case n <= shownAccounts:
		return "as " + strings.Join(e.FailedAccounts, ", ")
	default:
		return "as " + strings.Join(e.FailedAccounts[:shownAccounts], ", ") + " and " + strconv.Itoa(n-shownAccounts) + " more"
	}
}

// NoticeProps is what people agree to.
type NoticeProps struct {
	Page
	Version    int64
	Text       string // plain, with paragraphs
	CreatedAt  time.Time
	AcceptedAt *time.Time // when the viewer agreed; nil draws the form
	Next       string     // local path to go to afterwards
}

// EditNoticeProps is the form for another notice, and the one of now.
type EditNoticeProps struct {
	Page
	Version          int64 // of now, 0 for none
	CreatedAt        time.Time
	Accepted, People int    // who agreed to it, of those who may sign in
	Text             string // of now, or as typed
	Seen             string // the version that it was typed over, for the form
	Preview          bool   // shows what was typed, to be confirmed
	Unchanged        bool   // what was typed is the text of now
	TextOfNow        string // where it is another than was seen; empty for none
}
