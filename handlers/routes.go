package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/rbac"
)

// access says who may call a route.
type access string

const (
	public access = "public" // anybody
	anyone access = "any"    // any identity
	person access = "person" // a signed-in person, about their own account
	// permitted: who has the route's permission; where the path names one
	// resource, for this one.
	permitted access = "permission"
	// inPart: who has it for any resource; the answer holds only these.
	inPart access = "permission in part"
	// ownOr: a person for what is their own; a key only with the permission.
	ownOr access = "own or permission"
)

// limitClass names the rate limit of the policy that counts a route. Calls
// with an API key count as api_key in the place of api_authenticated.
type limitClass string

const (
	unlimited            limitClass = "none"
	limitLogin           limitClass = "login"
	limitAuthenticated   limitClass = "api_authenticated"
	limitUnauthenticated limitClass = "api_unauthenticated"
	limitWebSocket       limitClass = "websocket"
)

// route is one line of the table. duringEnrollment routes stay open to a person
// who must enrol a second factor first.
type route struct {
	method, path     string
	access           access
	permission       rbac.Permission
	limit            limitClass
	duringEnrollment bool
	handle           echo.HandlerFunc
}

// api lists the JSON API. The identity is a bearer, never a cookie.
func (s *Server) api() []route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	return []route{
		{get, "/healthz", public, "", unlimited, true, s.healthz},
		{get, "/readyz", public, "", unlimited, true, s.readyz},
		{get, "/metrics", permitted, rbac.MetricsRead, limitAuthenticated, false, s.metrics},

		{post, "/api/v1/auth/login", public, "", limitLogin, true, s.apiLogin},
		{post, "/api/v1/auth/mfa", public, "", limitUnauthenticated, true, s.apiSecondFactor},
		{post, "/api/v1/auth/refresh", public, "", limitUnauthenticated, true, s.apiRefresh},
		{post, "/api/v1/auth/forgot-password", public, "", limitUnauthenticated, true, s.apiForgotPassword},
		{post, "/api/v1/auth/reset-password", public, "", limitUnauthenticated, true, s.apiResetPassword},
		{post, "/api/v1/auth/logout", person, "", limitAuthenticated, true, s.apiLogout},
		{post, "/api/v1/auth/nonce", anyone, "", limitAuthenticated, false, s.apiNonce},

		{get, "/api/v1/me", anyone, "", limitAuthenticated, true, s.apiMe},
		{get, "/api/v1/me/export", person, "", limitAuthenticated, false, s.exportOwn},
		{post, "/api/v1/me/password", person, "", limitAuthenticated, false, s.apiChangePassword},
		{get, "/api/v1/mfa", person, "", limitAuthenticated, true, s.apiMFA},
		{del, "/api/v1/mfa", person, "", limitAuthenticated, true, s.apiDisableMFA},
		{del, "/api/v1/mfa/factors/:id", person, "", limitAuthenticated, true, s.apiRemoveFactor},
		{post, "/api/v1/mfa/backup-codes", person, "", limitAuthenticated, true, s.apiRenewBackupCodes},
		{post, "/api/v1/mfa/totp", person, "", limitAuthenticated, true, s.apiBeginTOTP},
		{post, "/api/v1/mfa/totp/verify", person, "", limitAuthenticated, true, s.apiVerifyTOTP},

		{get, "/api/v1/notice", anyone, "", limitAuthenticated, false, s.apiNotice},
		{http.MethodPut, "/api/v1/notice", permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.apiSetNotice},
		{post, "/api/v1/notice/accept", person, "", limitAuthenticated, false, s.apiAcceptNotice},

		{post, "/api/v1/api-keys", person, "", limitAuthenticated, false, s.apiCreateKey},
		{get, "/api/v1/api-keys", ownOr, rbac.APIKeysRead, limitAuthenticated, false, s.apiListKeys},
		{get, "/api/v1/api-keys/:id", ownOr, rbac.APIKeysRead, limitAuthenticated, false, s.apiGetKey},
		{patch, "/api/v1/api-keys/:id", person, "", limitAuthenticated, false, s.apiPatchKey},
		{post, "/api/v1/api-keys/:id/rotate", person, "", limitAuthenticated, false, s.apiRotateKey},
		{del, "/api/v1/api-keys/:id", ownOr, rbac.APIKeysWrite, limitAuthenticated, false, s.apiRevokeKey},

		{get, "/api/v1/sessions", ownOr, rbac.SessionsRead, limitAuthenticated, false, s.apiListSessions},
		{del, "/api/v1/sessions/:id", ownOr, rbac.SessionsWrite, limitAuthenticated, false, s.apiEndSession},

		{get, "/api/v1/audit", permitted, rbac.AuditRead, limitAuthenticated, false, s.apiListEvents},
		{get, "/api/v1/audit/export", permitted, rbac.AuditRead, limitAuthenticated, false, s.exportEvents},
		{get, "/api/v1/audit/checkpoint", permitted, rbac.AuditRead, limitAuthenticated, false, s.apiCheckpoint},
		{get, "/api/v1/audit/:id", permitted, rbac.AuditRead, limitAuthenticated, false, s.apiGetEvent},
		{get, "/api/v1/audit/:id/proof", permitted, rbac.AuditRead, limitAuthenticated, false, s.proofOfEvent},
		{get, "/api/v1/admin/audit/critical", permitted, rbac.AuditRead, limitAuthenticated, false, s.apiCriticalEvents},
		{post, "/api/v1/admin/revoke-all-tokens", permitted, rbac.SessionsWrite, limitAuthenticated, false, s.apiRevokeAllTokens},
		{post, "/api/v1/admin/force-mfa-reenroll", permitted, rbac.UsersWrite, limitAuthenticated, false, s.apiForceReenrollment},

		{post, "/api/v1/admin/block-ip", permitted, rbac.IPBlocksWrite, limitAuthenticated, false, s.apiBlockIP},
		{get, "/api/v1/admin/blocked-ips", inPart, rbac.IPBlocksRead, limitAuthenticated, false, s.apiListBlocks},
		{del, "/api/v1/admin/blocked-ips/:id", permitted, rbac.IPBlocksWrite, limitAuthenticated, false, s.apiUnblockIP},
		{get, "/api/v1/users", inPart, rbac.UsersRead, limitAuthenticated, false, s.apiListUsers},
		{post, "/api/v1/users", permitted, rbac.UsersWrite, limitAuthenticated, false, s.apiInviteUser},
		{get, "/api/v1/users/:id", permitted, rbac.UsersRead, limitAuthenticated, false, s.apiGetUser},
		{get, "/api/v1/users/:id/export", permitted, rbac.UsersRead, limitAuthenticated, false, s.exportUser},
		{patch, "/api/v1/users/:id", permitted, rbac.UsersWrite, limitAuthenticated, false, s.apiPatchUser},
		{del, "/api/v1/users/:id", permitted, rbac.UsersWrite, limitAuthenticated, false, s.apiDeleteUser},
		{get, "/api/v1/users/:id/grants", permitted, rbac.UsersRead, limitAuthenticated, false, s.apiListGrants},
		{post, "/api/v1/users/:id/grants", permitted, rbac.UsersWrite, limitAuthenticated, false, s.apiGrant},
		{del, "/api/v1/users/:id/grants/:grant_id", permitted, rbac.UsersWrite, limitAuthenticated, false, s.apiRevokeGrant},
		{get, "/api/v1/policies", permitted, rbac.PoliciesRead, limitAuthenticated, false, s.apiGetPolicy},
		{patch, "/api/v1/policies", permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.apiPatchPolicy},
		{get, "/api/v1/policies/history", permitted, rbac.PoliciesRead, limitAuthenticated, false, s.apiPolicyHistory},

		{get, documentPath, public, "", limitUnauthenticated, true, s.apiDocument},
		{get, docsPath, public, "", limitUnauthenticated, true, s.pageDocument},
	}
}

// streams lists the WebSockets. The identity is a bearer or the session cookie
// of a page of ours.
func (s *Server) streams() []route {
	return []route{
		{http.MethodGet, "/ws/audit", permitted, rbac.AuditRead, limitWebSocket, false, s.wsAudit},
	}
}

// pages lists what a browser shows. The identity is the session cookie, and
// every POST carries a CSRF token.
func (s *Server) pages() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{get, "/setup", public, "", unlimited, true, s.pageSetup},
		{post, "/setup", public, "", limitUnauthenticated, true, s.submitSetup},
		{get, "/login", public, "", unlimited, true, s.pageLogin},
		{post, "/login", public, "", limitLogin, true, s.submitLogin},
		{get, "/login/captcha.png", public, "", limitUnauthenticated, true, s.captchaImage},
		{get, "/login/captcha.wav", public, "", limitUnauthenticated, true, s.captchaAudio},
		{get, "/login/mfa", public, "", unlimited, true, s.pageSecondFactor},
		{post, "/login/mfa", public, "", limitUnauthenticated, true, s.submitSecondFactor},
		{get, enrollLinkPath, public, "", unlimited, true, s.pageEnrollLink},
		{post, enrollLinkPath, public, "", limitUnauthenticated, true, s.submitEnrollLink},
		{get, "/forgot-password", public, "", unlimited, true, s.pageForgot},
		{post, "/forgot-password", public, "", limitUnauthenticated, true, s.submitForgot},
		{get, "/reset-password", public, "", unlimited, true, s.pageSetPassword},
		{post, "/reset-password", public, "", limitUnauthenticated, true, s.submitSetPassword},
		{post, "/logout", person, "", limitAuthenticated, true, s.submitLogout},

		{get, noticePath, person, "", limitAuthenticated, false, s.pageNotice},
		{post, noticePath, person, "", limitAuthenticated, false, s.submitNotice},
		{get, editNoticePath, permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.pageEditNotice},
		{post, editNoticePath, permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.submitEditNotice},

		{get, "/", person, "", limitAuthenticated, false, s.pageOverview},
		{get, "/audit", permitted, rbac.AuditRead, limitAuthenticated, false, s.pageAudit},
		{get, "/audit/export", permitted, rbac.AuditRead, limitAuthenticated, false, s.exportEvents},
		{get, "/audit/export/progress", permitted, rbac.AuditRead, limitAuthenticated, false, s.exportProgress},
		{post, "/audit/views", permitted, rbac.AuditRead, limitAuthenticated, false, s.submitSaveView},
		{post, "/audit/views/:id/delete", permitted, rbac.AuditRead, limitAuthenticated, false, s.submitDeleteView},
		{get, "/audit/:id", permitted, rbac.AuditRead, limitAuthenticated, false, s.pageAuditEvent},
		{get, proofPath, permitted, rbac.AuditRead, limitAuthenticated, false, s.proofOfEvent},
		{get, "/api-keys", person, "", limitAuthenticated, false, s.pageAPIKeys},
		{post, "/api-keys", person, "", limitAuthenticated, false, s.submitCreateKey},
		{get, "/api-keys/:id", ownOr, rbac.APIKeysRead, limitAuthenticated, false, s.pageAPIKey},
		{post, "/api-keys/:id", person, "", limitAuthenticated, false, s.submitChangeKey},
		{post, "/api-keys/:id/narrow", person, "", limitAuthenticated, false, s.submitNarrowKey},
		{post, "/api-keys/:id/rotate", person, "", limitAuthenticated, false, s.submitRotateKey},
		{post, "/api-keys/:id/revoke", person, "", limitAuthenticated, false, s.submitRevokeKey},
		{get, "/api-keys/:id/delete", person, "", limitAuthenticated, false, s.ask(s.deleteKey())},
		{post, "/api-keys/:id/delete", person, "", limitAuthenticated, false, s.confirmed(s.deleteKey())},
		{get, "/account", person, "", limitAuthenticated, true, s.pageAccount},
		{post, "/account/password", person, "", limitAuthenticated, false, s.submitChangePassword},
		{get, ownExportPath, person, "", limitAuthenticated, false, s.exportOwn},
		{get, alivePath, person, "", limitAuthenticated, true, s.pageAlive},
		{get, "/account/sessions", person, "", limitAuthenticated, false, s.pageSessions},
		{post, "/account/sessions/:id/end", person, "", limitAuthenticated, false, s.submitEndSession},
		{post, "/account/sessions/end-others", person, "", limitAuthenticated, false, s.submitEndOtherSessions},
		{get, "/account/mfa", person, "", limitAuthenticated, true, s.pageMFA},
		{post, "/account/mfa/totp", person, "", limitAuthenticated, true, s.submitBeginTOTP},
		{post, "/account/mfa/totp/verify", person, "", limitAuthenticated, true, s.submitVerifyTOTP},
		{get, "/account/mfa/backup-codes", person, "", limitAuthenticated, false, s.ask(s.newBackupCodes())},
		{post, "/account/mfa/backup-codes", person, "", limitAuthenticated, false, s.confirmed(s.newBackupCodes())},
		{get, "/account/mfa/disable", person, "", limitAuthenticated, false, s.ask(s.turnOffMFA())},
		{post, "/account/mfa/disable", person, "", limitAuthenticated, false, s.confirmed(s.turnOffMFA())},
		{get, "/account/mfa/factors/:id/remove", person, "", limitAuthenticated, false, s.ask(s.removeFactor())},
		{post, "/account/mfa/factors/:id/remove", person, "", limitAuthenticated, false, s.confirmed(s.removeFactor())},

		{get, "/ip-blocks", inPart, rbac.IPBlocksRead, limitAuthenticated, false, s.pageIPBlocks},
		{post, "/ip-blocks", permitted, rbac.IPBlocksWrite, limitAuthenticated, false, s.submitBlockIP},
		{post, "/ip-blocks/forget", permitted, rbac.IPBlocksWrite, limitAuthenticated, false, s.submitForgetAddress},
		{post, "/ip-blocks/:id/remove", permitted, rbac.IPBlocksWrite, limitAuthenticated, false, s.submitUnblockIP},
		{get, "/users", inPart, rbac.UsersRead, limitAuthenticated, false, s.pageUsers},
		{post, "/users", permitted, rbac.UsersWrite, limitAuthenticated, false, s.submitAddUser},
		{get, "/users/:id", permitted, rbac.UsersRead, limitAuthenticated, false, s.pageUser},
		{get, userExportPath, permitted, rbac.UsersRead, limitAuthenticated, false, s.exportUser},
		{post, "/users/:id/unlock", permitted, rbac.UsersWrite, limitAuthenticated, false, s.submitUnlock},
		{get, "/users/everyone/sign-out", permitted, rbac.SessionsWrite, limitAuthenticated, false, s.ask(s.signOutEveryone())},
		{post, "/users/everyone/sign-out", permitted, rbac.SessionsWrite, limitAuthenticated, false, s.confirmed(s.signOutEveryone())},
		{get, "/users/everyone/reenroll", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.reenrollEveryone())},
		{post, "/users/everyone/reenroll", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.reenrollEveryone())},
		{get, "/users/:id/sign-out", permitted, rbac.SessionsWrite, limitAuthenticated, false, s.ask(s.signOutUser())},
		{post, "/users/:id/sign-out", permitted, rbac.SessionsWrite, limitAuthenticated, false, s.confirmed(s.signOutUser())},
		{get, "/users/:id/reenroll", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.reenrollUser())},
		{post, "/users/:id/reenroll", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.reenrollUser())},
		{post, "/users/:id/sessions/:session_id/end", permitted, rbac.SessionsWrite, limitAuthenticated, false, s.submitEndSessionOf},
		{get, "/users/:id/enrolment-link", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.makeEnrolmentLink())},
		{post, "/users/:id/enrolment-link", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.makeEnrolmentLink())},
		{get, "/users/:id/reset-link", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.makeResetLink())},
		{post, "/users/:id/reset-link", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.makeResetLink())},
		{get, "/users/:id/role", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.changeRole())},
		{post, "/users/:id/role", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.changeRole())},
		{get, "/users/:id/disable", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.disableUser())},
		{post, "/users/:id/disable", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.disableUser())},
		{post, "/users/:id/enable", permitted, rbac.UsersWrite, limitAuthenticated, false, s.submitEnable},
		{post, "/users/:id/grants", permitted, rbac.UsersWrite, limitAuthenticated, false, s.submitGrant},
		{post, "/users/:id/grants/:grant_id/revoke", permitted, rbac.UsersWrite, limitAuthenticated, false, s.submitRevokeGrant},
		{get, "/users/:id/delete", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.deleteUser(false))},
		{post, "/users/:id/delete", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.deleteUser(false))},
		{get, "/users/:id/erase", permitted, rbac.UsersWrite, limitAuthenticated, false, s.ask(s.deleteUser(true))},
		{post, "/users/:id/erase", permitted, rbac.UsersWrite, limitAuthenticated, false, s.confirmed(s.deleteUser(true))},
		{get, policiesPath, permitted, rbac.PoliciesRead, limitAuthenticated, false, s.pagePolicies},
		{post, policiesPath, permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.submitPolicy},
		{get, "/policies/history", permitted, rbac.PoliciesRead, limitAuthenticated, false, s.pagePolicyHistory},
		{get, "/policies/history/:id/undo", permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.ask(s.undoPolicy())},
		{post, "/policies/history/:id/undo", permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.submitUndoPolicy},
		{get, "/policies/:id", permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.pagePolicySection},
		{post, "/policies/:id", permitted, rbac.PoliciesWrite, limitAuthenticated, false, s.submitPolicySection},
	}
}
