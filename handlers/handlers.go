// Package handlers turns HTTP into calls of package security and their answers
// into pages and JSON. It decides nothing itself: routes.go says who may call
// what, errors.go what a refusal looks like.
package handlers

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/static"
	"patronus.internal/dashboard/views"
)

// Options is what a Server is made of.
type Options struct {
	Service        *security.Service
	PublicURL      *url.URL
	TrustedProxies []netip.Prefix
	Now            func() time.Time // default time.Now
	Rand           io.Reader        // default crypto/rand
	Version        string           // of the program, as exports name it
	Log            *slog.Logger     // default slog.Default()
}

// Server answers every request. It is safe for concurrent use.
type Server struct {
	service  *security.Service
	site     Site
	sessions sessionStore
	device   deviceCookie
	csrf     csrf
	now      func() time.Time
	log      *slog.Logger
	version  string
	figures  http.Handler // of GET /metrics
	echo     *echo.Echo

	stopping context.Context // ends when Stop is called
	stop     context.CancelFunc
}

// New builds the Server: middleware in the order in which a request meets it,
// then every route of the two tables.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	site, err := NewSite(o.PublicURL.String())
	if err != nil {
		return nil, err
	}
	s := &Server{service: o.Service, site: site, sessions: sessionStore{secure: site.HTTPS()}, device: deviceCookie{secure: site.HTTPS()}, now: o.Now, log: o.Log, version: o.Version,
		csrf: newCSRF(o.Service.MAC, o.Rand, site), figures: newMetrics(o.Service, o.Log), echo: echo.New()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	answer := ErrorHandler(s.pageProblem, o.Log)
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) {
		answer(err, c)
		s.rememberRefusal(c, err)
	}
	s.echo.Use(Base(BaseOptions{Site: site, TrustedProxies: o.TrustedProxies, Now: o.Now, Rand: o.Rand, Log: o.Log})...)
	s.echo.Use(s.refuseBlocked)
	for _, r := range s.api() {
		s.add(r, s.guardAPI(r))
	}
	for _, r := range s.streams() {
		s.add(r, s.guardStream(r))
	}
	for _, r := range s.pages() {
		s.add(r, s.guardPage(r))
	}
	s.add(route{method: http.MethodGet, path: static.Prefix + "*"}, serveStatic)
	return s, nil
}

// add registers a route. A HEAD is a GET whose answer has no body (RFC 9110
// §9.3.2), so it goes wherever a GET does.
func (s *Server) add(r route, handle echo.HandlerFunc) {
	s.echo.Add(r.method, r.path, handle)
	if r.method == http.MethodGet {
		s.echo.Add(http.MethodHead, r.path, handle)
	}
}

// Stop ends the live connections, which a server that drains does not wait for.
func (s *Server) Stop() { s.stop() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

func serveStatic(c echo.Context) error {
	if !static.Serve(c.Response(), c.Request()) {
		return echo.ErrNotFound
	}
	return nil
}

// page is what every page shows around its content.
func (s *Server) page(c echo.Context, title, active string) views.Page {
	p := views.Page{Title: title, Active: active, CSRF: s.formToken(c), RequestID: RequestIDFrom(c.Request().Context()), Now: s.now()}
	if who := caller(c); who.User.ID != "" {
		p.User = &views.Viewer{Email: who.User.Email, Role: who.User.Role, EnrollmentRequired: who.EnrollmentRequired, ConsentRequired: who.ConsentRequired,
			CanReadAudit: who.Reach(rbac.AuditRead) == rbac.All, CanReadUsers: who.Reach(rbac.UsersRead) != rbac.None, CanReadBlocks: who.Reach(rbac.IPBlocksRead) != rbac.None,
			CanReadPolicies: who.Reach(rbac.PoliciesRead) == rbac.All, CanWritePolicies: who.Reach(rbac.PoliciesWrite) == rbac.All}
		p.NewDevice = who.Session.NewDevice
	}
	return p
}

// render writes a page, whole or not at all: a failure in the middle becomes
// an error page and not half of the one that was meant.
func (s *Server) render(c echo.Context, status int, page templ.Component) error {
	var body bytes.Buffer
	if err := page.Render(c.Request().Context(), &body); err != nil {
		return err
	}
	return c.HTMLBlob(status, body.Bytes())
}

// pageProblem shows a refusal to a person. It stands on a page of its own, so
// what is refused of an address is named in the sentence.
func (s *Server) pageProblem(c echo.Context, p Problem) error {
	page := s.page(c, p.Title, "")
	page.Problem = p.Detail
	for _, f := range p.Errors {
		label := fieldLabel(f.Field)
		if label == "" {
			label = f.Field
		}
		page.Problem += " " + label + ": " + f.Detail
	}
	return s.render(c, p.Status, views.Error(views.ErrorProps{Page: page, Status: p.Status}))
}

// formProblem puts a refusal of a form on its page: beside the fields that it
// names, and those that the page does not have into the summary. A refusal
// that is not about the form is returned as the error. The status is that of
// the refusal.
func (s *Server) formProblem(c echo.Context, p *views.Page, err error) (int, error) {
	refusal := asRefusal(err)
	switch refusal.Code {
	case secerr.ValidationFailed, secerr.InvalidCredentials, secerr.InvalidCode, secerr.Unauthenticated,
		secerr.Conflict, secerr.Forbidden, secerr.RateLimited, secerr.Unavailable, secerr.CaptchaRequired, secerr.AccountLocked:
	default:
		return 0, err
	}
	problem := ToProblem(err, p.RequestID)
	prepareErrorHeader(c, problem)
	logProblem(c.Request().Context(), s.log, problem, err)
	s.rememberRefusal(c, err)
	p.Problem = refusal.Detail
	if refusal.Code == secerr.InvalidCode {
		p.Problem = ""
		p.Summary = append(p.Summary, views.FieldError{Field: "code", Label: fieldLabels["code"], Detail: refusal.Detail})
	}
	for _, f := range refusal.Fields {
		p.Summary = append(p.Summary, views.FieldError{Field: f.Field, Label: fieldLabel(f.Field), Detail: f.Detail})
	}
	return problem.Status, nil
}

// showProblem puts a refusal of the whole of what was asked on a page, and returns
// its status.
func (s *Server) showProblem(c echo.Context, p *views.Page, refused error) int {
	problem := ToProblem(refused, p.RequestID)
	logProblem(c.Request().Context(), s.log, problem, refused)
	p.Problem = problem.Detail
	return problem.Status
}

// fieldLabels are the names of the fields as the pages show them.
var fieldLabels = map[string]string{
	"email": "E-mail address", "password": "Password", "password_confirm": "Password, once more", "current_password": "Current password", "code": "Code",
	"name": "Name", "role": "Role", "scopes": "Scopes", "expires_in_days": "Expires", "overlap_secs": "Overlap", "networks": "Networks",
	"event_type": "Type", "severity": "Severity", "success": "Outcome", "ip": "Address", "since": "From", "until": "Until", "q": "Contains",
	"duration": "For how long", "reason": "Reason", "about": "Address or request id", "text": "Text",
	"limit": "How many", "cursor": "Page of the list", "format": "Format", "user_id": "User id", "key_id": "API key id",
	"permission": "Permission", "resource_id": "Only for one",
	views.LimitRequestsField: "Requests", views.LimitWindowField: "In how many seconds", views.LimitBurstField: "Burst",
}

// fieldLabel is the name of a field, or of a setting of the policy; "" for another.
func fieldLabel(name string) string {
	if label := fieldLabels[name]; label != "" {
		return label
	}
	s, _ := policy.Find(name)
	return s.FullLabel()
}

// parseSwitch reads a parameter that is true or false; without it, it is false.
func parseSwitch(name, value string) (bool, error) {
	switch value {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, secerr.New(secerr.BadRequest, "The parameter "+name+" is true or false.")
}
