package handlers

import (
	"net/http"
	"strconv"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// example is a request that succeeds.
type example struct {
	status int          // 200 when it is not said
	events []audit.Type // what it must write, in this order
	// why there is no event, of a route whose method says that it may change
	// something
	why   string
	empty bool // on an installation without a user
	call  func(s *stage) call
}

// bookkeeping is what a request may note about itself without an event: when a
// session or key was used last and from where, and that a notice was shown.
var bookkeeping = []string{"sessions.last_seen_at_us", "sessions.new_device", "api_keys.last_used_at_us", "api_keys.last_used_ip", "api_key_networks", "api_key_uses"}

type fields = map[string]string

const newStagePassword = "walnut gravel theorem 7"

// examples has one for each route: for every one that may change something, and
// for every one that needs more than its address. A GET that is not named here is
// asked for as it stands, by the admin, and may neither change nor write anything.
var examples = map[string]example{
	"POST /api/v1/auth/login": {events: []audit.Type{audit.LoginAttempt, audit.NewDevice}, call: func(s *stage) call {
		return call{json: fields{"email": s.uma.Email, "password": stagePassword}, header: fields{"User-Agent": "another/1"}}
	}},
	"POST /api/v1/auth/mfa": {events: []audit.Type{audit.MFAVerify, audit.NewDevice}, call: func(s *stage) call {
		return call{json: fields{"mfa_token": pending(s, session.API).Token, "method": "backup_code", "code": s.ada.code()}, header: fields{"User-Agent": "another/1"}}
	}},
	"POST /api/v1/auth/refresh": {events: []audit.Type{audit.TokenRefresh}, call: func(s *stage) call {
		return call{json: fields{"refresh_token": s.uma.Refresh}}
	}},
	"POST /api/v1/auth/forgot-password": {status: 202, events: []audit.Type{audit.PasswordReset}, call: func(s *stage) call {
		return call{json: fields{"email": s.uma.Email}}
	}},
	"POST /api/v1/auth/reset-password": {status: 204, events: []audit.Type{audit.SessionEnd, audit.SessionEnd, audit.PasswordChange}, call: func(s *stage) call {
		return call{json: fields{"token": resetToken(s), "new_password": newStagePassword}}
	}},
	"POST /api/v1/auth/logout": {status: 204, events: []audit.Type{audit.Logout}},
	"POST /api/v1/auth/nonce": {events: []audit.Type{audit.MFAVerify}, call: func(s *stage) call {
		return call{json: fields{"action": "users.delete", "password": stagePassword, "code": s.ada.code()}}
	}},
	"GET /api/v1/me/export": {events: []audit.Type{audit.DataExport}},
	"POST /api/v1/me/password": {status: 204, events: []audit.Type{audit.SessionEnd, audit.PasswordChange}, call: func(s *stage) call {
		return call{as: &s.uma, json: fields{"current_password": stagePassword, "new_password": newStagePassword}}
	}},
	"DELETE /api/v1/mfa": {status: 204, events: []audit.Type{audit.MFADisable, audit.SessionEnd}, call: func(s *stage) call {
		return call{nonce: s.nonce("mfa.disable")}
	}},
	"DELETE /api/v1/mfa/factors/:id": {status: 204, events: []audit.Type{audit.MFADisable, audit.SessionEnd}, call: func(s *stage) call {
		return call{id: firstFactor(s), nonce: s.nonce("mfa.remove")}
	}},
	"POST /api/v1/mfa/backup-codes": {events: []audit.Type{audit.MFAEnroll}, call: func(s *stage) call {
		return call{nonce: s.nonce("mfa.backup_codes")}
	}},
	"POST /api/v1/mfa/totp": {events: []audit.Type{audit.MFAEnroll}, call: func(s *stage) call { return call{as: &s.uma} }},
	"POST /api/v1/mfa/totp/verify": {events: []audit.Type{audit.SessionEnd, audit.MFAEnroll}, call: func(s *stage) call {
		return call{as: &s.uma, json: fields{"code": begunTOTP(s, s.caller(s.uma.Token))}}
	}},
	"GET /api/v1/notice": {call: func(s *stage) call {
		noticed(s)
		return call{}
	}},
	"PUT /api/v1/notice": {events: []audit.Type{audit.PolicyChange}, call: ask(call{json: fields{"text": "Be kind."}})},
	"POST /api/v1/notice/accept": {status: 204, events: []audit.Type{audit.Consent}, call: func(s *stage) call {
		return call{as: &s.uma, json: map[string]any{"version": noticed(s)}}
	}},
	"POST /api/v1/api-keys": {status: 201, events: []audit.Type{audit.APIKeyCreate},
		call: ask(call{json: map[string]any{"name": "x", "scopes": []string{"audit:read"}}})},
	"GET /api/v1/api-keys/:id": {call: func(s *stage) call { return call{id: umaKey(s)} }},
	"PATCH /api/v1/api-keys/:id": {events: []audit.Type{audit.APIKeyUpdate}, call: func(s *stage) call {
		return call{id: umaKey(s), as: &s.uma, json: map[string]any{"name": "y", "rate_limit": map[string]any{"max_requests": 5, "window_secs": 60}}}
	}},
	"POST /api/v1/api-keys/:id/rotate": {status: 201, events: []audit.Type{audit.KeyRotate}, call: func(s *stage) call {
		return call{id: umaKey(s), as: &s.uma, json: map[string]any{"overlap_secs": 60}}
	}},
	"DELETE /api/v1/api-keys/:id": {status: 204, events: []audit.Type{audit.APIKeyRevoke}, call: func(s *stage) call { return call{id: umaKey(s)} }},
	"DELETE /api/v1/sessions/:id": {status: 204, events: []audit.Type{audit.SessionEnd}, call: func(s *stage) call { return call{id: umaSession(s)} }},
	"GET /api/v1/audit/export":    {events: []audit.Type{audit.DataExport}},
	"GET /api/v1/audit/:id":       {call: ask(call{id: "1"})},
	"GET /api/v1/audit/:id/proof": {call: ask(call{id: "1"})},
	"POST /api/v1/admin/revoke-all-tokens": {events: []audit.Type{audit.TokenRevoke}, call: func(s *stage) call {
		return call{nonce: s.nonce("admin.revoke_all_tokens")}
	}},
	"POST /api/v1/admin/force-mfa-reenroll": {events: []audit.Type{audit.UserUpdate, audit.SessionEnd, audit.SessionEnd}, call: func(s *stage) call {
		return call{nonce: s.nonce("admin.force_mfa_reenroll"), json: fields{"user_id": s.uma.ID}}
	}},
	"POST /api/v1/admin/block-ip": {status: 201, events: []audit.Type{audit.IPBlock}, call: ask(call{json: fields{"ip": "203.0.113.7", "duration": "1h"}})},
	"DELETE /api/v1/admin/blocked-ips/:id": {status: 204, events: []audit.Type{audit.IPUnblock}, call: func(s *stage) call {
		return call{id: blocked(s)}
	}},
	"POST /api/v1/users":           {status: 201, events: []audit.Type{audit.UserCreate}, call: ask(call{json: fields{"email": "new@example.org", "role": "user"}})},
	"GET /api/v1/users/:id":        {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"GET /api/v1/users/:id/export": {events: []audit.Type{audit.DataExport}, call: func(s *stage) call { return call{id: s.uma.ID} }},
	"PATCH /api/v1/users/:id": {events: []audit.Type{audit.UserUpdate, audit.SessionEnd, audit.SessionEnd}, call: func(s *stage) call {
		return call{id: s.uma.ID, json: map[string]bool{"enabled": false}}
	}},
	"DELETE /api/v1/users/:id": {status: 204, events: []audit.Type{audit.UserDelete, audit.SessionEnd, audit.SessionEnd, audit.AuditErase}, call: func(s *stage) call {
		return call{path: "/api/v1/users/" + s.uma.ID + "?erase=true", nonce: s.nonce("users.delete")}
	}},
	"PATCH /api/v1/policies": {events: []audit.Type{audit.PolicyChange}, call: func(s *stage) call {
		return call{json: map[string]any{"audit": map[string]any{"retention_days": 30}}, nonce: s.nonce("policies.write")}
	}},

	"GET /policies/:id": {call: ask(call{id: "audit"})},
	"POST /policies/:id": {why: "it shows what would change and asks", call: func(s *stage) call {
		return call{id: "audit", form: fields{"version": policyVersion(s), "audit.retention_days": "30", "was.audit.retention_days": "90"}}
	}},
	"POST /policies": {status: 303, events: []audit.Type{audit.MFAVerify, audit.PolicyChange}, call: func(s *stage) call {
		form := proof(s)
		form["section"], form["version"], form["patch"] = "audit", policyVersion(s), `{"audit":{"retention_days":30}}`
		return call{form: form}
	}},
	"GET /policies/history/:id/undo": {call: func(s *stage) call { return call{id: changedPolicy(s)} }},
	"POST /policies/history/:id/undo": {status: 303, events: []audit.Type{audit.MFAVerify, audit.PolicyChange}, call: func(s *stage) call {
		id, form := changedPolicy(s), proof(s)
		form["version"] = policyVersion(s)
		return call{id: id, form: form}
	}},

	"GET /ws/audit": {status: http.StatusSwitchingProtocols, call: ask(call{header: fields{"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}})},

	"GET /setup": {empty: true, call: func(s *stage) call { return call{path: "/setup?token=" + setupToken(s)} }},
	"POST /setup": {empty: true, status: 303, events: []audit.Type{audit.UserCreate, audit.LoginAttempt}, call: func(s *stage) call {
		return call{form: fields{"token": setupToken(s), "email": "ada@example.org", "password": stagePassword, "password_confirm": stagePassword}}
	}},
	"POST /login": {status: 303, events: []audit.Type{audit.LoginAttempt, audit.NewDevice}, call: func(s *stage) call {
		return call{form: fields{"email": s.uma.Email, "password": stagePassword}}
	}},
	"GET /login/captcha.png": {call: func(s *stage) call { return call{path: "/login/captcha.png?token=" + digitsToken(s)} }},
	"GET /login/captcha.wav": {call: func(s *stage) call { return call{path: "/login/captcha.wav?token=" + digitsToken(s)} }},
	"GET /login/mfa":         {call: func(s *stage) call { return call{as: pending(s, session.Browser)} }},
	"POST /login/mfa": {status: 303, events: []audit.Type{audit.MFAVerify, audit.NewDevice}, call: func(s *stage) call {
		return call{as: pending(s, session.Browser), form: fields{"method": "backup_code", "code": s.ada.code()}}
	}},
	"GET " + enrollLinkPath: {call: func(s *stage) call {
		token := enrolmentToken(s)
		return call{path: enrollLinkPath + "?token=" + token, as: pending(s, session.Browser)}
	}},
	"POST " + enrollLinkPath: {status: 303, events: []audit.Type{audit.MFAVerify, audit.NewDevice}, call: func(s *stage) call {
		token := enrolmentToken(s)
		return call{as: pending(s, session.Browser), form: fields{"token": token}}
	}},
	"POST /forgot-password": {events: []audit.Type{audit.PasswordReset}, call: func(s *stage) call {
		return call{form: fields{"email": s.uma.Email}}
	}},
	"GET /reset-password": {call: func(s *stage) call { return call{path: "/reset-password?token=" + resetToken(s)} }},
	"POST /reset-password": {status: 303, events: []audit.Type{audit.SessionEnd, audit.SessionEnd, audit.PasswordChange}, call: func(s *stage) call {
		return call{form: fields{"token": resetToken(s), "password": newStagePassword, "password_confirm": newStagePassword}}
	}},
	"POST /logout": {status: 303, events: []audit.Type{audit.Logout}, call: ask(call{form: fields{}})},

	"GET " + noticePath: {call: func(s *stage) call {
		noticed(s)
		return call{}
	}},
	"POST " + noticePath: {status: 303, events: []audit.Type{audit.Consent}, call: func(s *stage) call {
		return call{as: &s.uma, form: fields{"version": strconv.FormatInt(noticed(s), 10)}}
	}},
	"POST " + editNoticePath: {status: 303, events: []audit.Type{audit.PolicyChange}, call: ask(call{form: fields{"version": "0", "text": "Be kind.", "confirmed": "yes"}})},

	"GET /audit/export": {events: []audit.Type{audit.DataExport}},
	"GET /audit/:id":    {call: ask(call{id: "1"})},
	"GET " + proofPath:  {call: ask(call{id: "1"})},
	"POST /audit/views": {status: 303, events: []audit.Type{audit.UserUpdate}, call: ask(call{form: fields{"name": "x", "severity": "critical"}})},
	"POST /audit/views/:id/delete": {status: 303, events: []audit.Type{audit.UserUpdate}, call: func(s *stage) call {
		view, err := s.service.SaveView(s.ctx, s.caller(s.ada.Token), "x", "severity=critical")
		s.check(err)
		return call{id: view.ID, form: fields{}}
	}},
	"POST /api-keys":    {status: 201, events: []audit.Type{audit.APIKeyCreate}, call: ask(call{form: fields{"name": "x", "scopes": "audit:read", "expires_in_days": "90"}})},
	"GET /api-keys/:id": {call: func(s *stage) call { return call{id: umaKey(s)} }},
	"POST /api-keys/:id": {status: 303, events: []audit.Type{audit.APIKeyUpdate}, call: func(s *stage) call {
		id := umaKey(s)
		return call{id: id, as: &s.uma, form: fields{"name": "y", "networks": "192.0.2.0/24", "seen": seenKey(s, id)}}
	}},
	"POST /api-keys/:id/narrow": {status: 303, events: []audit.Type{audit.APIKeyUpdate}, call: func(s *stage) call {
		id, token := s.key(s.ada, "audit:*", "users:read")
		s.check(s.service.Authorize(s.ctx, s.caller(token), rbac.AuditRead))
		return call{id: id, form: fields{"seen": seenKey(s, id)}}
	}},
	"GET /api-keys/:id/delete":  {call: func(s *stage) call { return call{id: umaKey(s)} }},
	"POST /api-keys/:id/delete": {status: 303, events: []audit.Type{audit.APIKeyRevoke}, call: func(s *stage) call { return call{id: umaKey(s), as: &s.uma, form: fields{}} }},
	"POST /api-keys/:id/rotate": {status: 201, events: []audit.Type{audit.KeyRotate}, call: func(s *stage) call {
		return call{id: umaKey(s), as: &s.uma, form: fields{"overlap_secs": "60"}}
	}},
	"POST /api-keys/:id/revoke": {status: 303, events: []audit.Type{audit.APIKeyRevoke}, call: func(s *stage) call {
		return call{id: umaKey(s), as: &s.uma, form: fields{}}
	}},
	"POST /account/password": {status: 303, events: []audit.Type{audit.SessionEnd, audit.PasswordChange}, call: func(s *stage) call {
		return call{as: &s.uma, form: fields{"current_password": stagePassword, "password": newStagePassword, "password_confirm": newStagePassword}}
	}},
	"GET " + ownExportPath:  {events: []audit.Type{audit.DataExport}},
	"GET " + userExportPath: {events: []audit.Type{audit.DataExport}, call: func(s *stage) call { return call{id: s.uma.ID} }},
	"GET " + alivePath:      {status: 204},
	"POST /account/sessions/:id/end": {status: 303, events: []audit.Type{audit.SessionEnd}, call: func(s *stage) call {
		return call{id: umaSession(s), as: &s.uma, form: fields{}}
	}},
	"POST /account/sessions/end-others": {status: 303, events: []audit.Type{audit.SessionEnd}, call: func(s *stage) call {
		return call{as: &s.uma, form: fields{}}
	}},
	"POST /account/mfa/totp": {status: 303, events: []audit.Type{audit.MFAEnroll}, call: func(s *stage) call { return call{as: &s.uma, form: fields{}} }},
	"POST /account/mfa/totp/verify": {events: []audit.Type{audit.SessionEnd, audit.MFAEnroll}, call: func(s *stage) call {
		who, err := s.service.IdentifyCookie(s.ctx, stageRequest, secret.NewText(s.uma.Cookie))
		s.check(err)
		return call{as: &s.uma, form: fields{"code": begunTOTP(s, who)}}
	}},
	"POST /account/mfa/backup-codes":       {events: []audit.Type{audit.MFAVerify, audit.MFAEnroll}, call: confirm(nobody)},
	"POST /account/mfa/disable":            {status: 303, events: []audit.Type{audit.MFAVerify, audit.MFADisable, audit.SessionEnd}, call: confirm(nobody)},
	"GET /account/mfa/factors/:id/remove":  {call: func(s *stage) call { return call{id: firstFactor(s)} }},
	"POST /account/mfa/factors/:id/remove": {status: 303, events: []audit.Type{audit.MFAVerify, audit.MFADisable, audit.SessionEnd}, call: confirm(firstFactor)},
	"POST /ip-blocks":                      {status: 303, events: []audit.Type{audit.IPBlock}, call: ask(call{form: fields{"ip": "203.0.113.7", "duration": "1h"}})},
	"POST /ip-blocks/forget":               {status: 303, events: []audit.Type{audit.IPUnblock}, call: ask(call{form: fields{"about": "203.0.113.7"}})},
	"POST /ip-blocks/:id/remove":           {status: 303, events: []audit.Type{audit.IPUnblock}, call: func(s *stage) call { return call{id: blocked(s), form: fields{}} }},
	"POST /users":                          {status: 201, events: []audit.Type{audit.UserCreate}, call: ask(call{form: fields{"email": "new@example.org", "role": "viewer"}})},
	"GET /users/:id":                       {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/unlock":               {status: 303, events: []audit.Type{audit.AccountUnlock}, call: func(s *stage) call { return call{id: s.uma.ID, form: fields{}} }},
	"POST /users/everyone/sign-out":        {status: 303, events: []audit.Type{audit.MFAVerify, audit.TokenRevoke}, call: confirm(nobody)},
	"POST /users/everyone/reenroll":        {status: 303, events: []audit.Type{audit.MFAVerify, audit.UserUpdate, audit.SessionEnd, audit.SessionEnd}, call: confirm(nobody)},
	"GET /users/:id/sign-out":              {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/sign-out":             {status: 303, events: []audit.Type{audit.MFAVerify, audit.TokenRevoke}, call: confirm(umaID)},
	"GET /users/:id/reenroll":              {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/reenroll":             {status: 303, events: []audit.Type{audit.MFAVerify, audit.UserUpdate, audit.SessionEnd, audit.SessionEnd}, call: confirm(umaID)},
	"POST /users/:id/sessions/:session_id/end": {status: 303, events: []audit.Type{audit.SessionEnd}, call: func(s *stage) call {
		return call{path: "/users/" + s.uma.ID + "/sessions/" + umaSession(s) + "/end", form: fields{}}
	}},
	"GET /users/:id/enrolment-link":  {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/enrolment-link": {events: []audit.Type{audit.MFAVerify, audit.UserUpdate, audit.SessionEnd, audit.SessionEnd}, call: confirm(umaID)},
	"GET /users/:id/reset-link":      {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/reset-link":     {events: []audit.Type{audit.MFAVerify, audit.PasswordReset}, call: confirm(umaID)},
	"GET /users/:id/role":            {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/role": {status: 303, events: []audit.Type{audit.MFAVerify, audit.UserUpdate, audit.SessionEnd, audit.SessionEnd}, call: func(s *stage) call {
		form := proof(s)
		form["role"] = "viewer"
		return call{id: s.uma.ID, form: form}
	}},
	"GET /users/:id/disable":  {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/disable": {status: 303, events: []audit.Type{audit.UserUpdate, audit.SessionEnd, audit.SessionEnd}, call: func(s *stage) call { return call{id: s.uma.ID, form: fields{}} }},
	"POST /users/:id/enable": {status: 303, events: []audit.Type{audit.UserUpdate}, call: func(s *stage) call {
		_, err := s.service.UpdateUser(s.ctx, s.caller(s.ada.Token), secret.Text{}, s.uma.ID, security.UserPatch{Enabled: new(bool)})
		s.check(err)
		return call{id: s.uma.ID, form: fields{}}
	}},
	"GET /api/v1/users/:id/grants": {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /api/v1/users/:id/grants": {status: 201, events: []audit.Type{audit.PermissionGrant}, call: func(s *stage) call {
		return call{id: s.uma.ID, json: fields{"permission": "users:write", "resource_id": s.ada.ID}}
	}},
	"DELETE /api/v1/users/:id/grants/:grant_id": {status: 204, events: []audit.Type{audit.PermissionRevoke}, call: func(s *stage) call {
		return call{path: "/api/v1/users/" + s.uma.ID + "/grants/" + granted(s)}
	}},
	"POST /users/:id/grants": {status: 303, events: []audit.Type{audit.PermissionGrant}, call: func(s *stage) call {
		return call{id: s.uma.ID, form: fields{"permission": "users:write"}}
	}},
	"POST /users/:id/grants/:grant_id/revoke": {status: 303, events: []audit.Type{audit.PermissionRevoke}, call: func(s *stage) call {
		return call{path: "/users/" + s.uma.ID + "/grants/" + granted(s) + "/revoke", form: fields{}}
	}},
	"GET /users/:id/delete":  {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/delete": {status: 303, events: []audit.Type{audit.MFAVerify, audit.UserDelete, audit.SessionEnd, audit.SessionEnd}, call: confirm(umaID)},
	"GET /users/:id/erase":   {call: func(s *stage) call { return call{id: s.uma.ID} }},
	"POST /users/:id/erase":  {status: 303, events: []audit.Type{audit.MFAVerify, audit.UserDelete, audit.SessionEnd, audit.SessionEnd, audit.AuditErase}, call: confirm(umaID)},
}
