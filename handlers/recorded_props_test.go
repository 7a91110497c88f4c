package handlers

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// ask is a call without anything to prepare.
func ask(c call) func(*stage) call { return func(*stage) call { return c } }

// proof is what a page asks for before a critical operation.
func proof(s *stage) map[string]string {
	return fields{"password": stagePassword, "code": s.ada.code()}
}

// confirm sends the form of a critical operation.
func confirm(id func(*stage) string) func(*stage) call {
	return func(s *stage) call { return call{id: id(s), form: proof(s)} }
}

func nobody(*stage) string  { return "" }
func umaID(s *stage) string { return s.uma.ID }

// firstFactor is the admin's authenticator app.
func firstFactor(s *stage) string {
	state, err := s.service.MFA(s.ctx, s.caller(s.ada.Token))
	s.check(err)
	return state.Factors[0].ID
}

// ofUma are the sessions of the user.
func ofUma(s *stage) []session.Session {
	live, err := s.service.Sessions(s.ctx, s.caller(s.uma.Token), "")
	s.check(err)
	return live
}

func umaSession(s *stage) string { return ofUma(s)[0].ID }

// umaKey is a key of the user's.
func umaKey(s *stage) string {
	id, _ := s.key(s.uma, "audit:read")
	return id
}

// seenKey is the entity tag of a key, as its page has it.
func seenKey(s *stage, id string) string {
	key, err := s.service.Key(s.ctx, s.caller(s.ada.Token), id)
	s.check(err)
	tag, err := etagOf(s.web.keyTagged(key))
	s.check(err)
	return tag
}

// blocked is the id of a block that is there.
func blocked(s *stage) string {
	block, err := s.service.BlockIP(s.ctx, s.caller(s.ada.Token), security.BlockRequest{Network: "203.0.113.7", Duration: time.Hour})
	s.check(err)
	return block.ID
}

// granted is the id of something that is granted to the user.
func granted(s *stage) string {
	g, err := s.service.Grant(s.ctx, s.caller(s.ada.Token), s.uma.ID, "metrics:read", "")
	s.check(err)
	return g.ID
}

// begunTOTP is the code of an enrollment that the user began where the token or
// the cookie is.
func begunTOTP(s *stage, who security.Caller) string {
	begun, err := s.service.BeginTOTP(s.ctx, who, "")
	s.check(err)
	return s.totp(begun.Secret)
}

// resetToken is that of a link which an admin made for the user.
func resetToken(s *stage) string {
	admin := s.caller(s.ada.Token)
	nonce, err := s.service.Nonce(s.ctx, admin, "users.reset_link", security.Proof{Password: secret.NewText(stagePassword), Code: s.ada.code()})
	s.check(err)
	link, err := s.service.ResetLink(s.ctx, admin, nonce, s.uma.ID)
	s.check(err)
	_, token, _ := strings.Cut(link.Reveal(), "token=")
	return token
}

// pending signs the admin in with the password alone.
func pending(s *stage, kind session.Kind) *part {
	secret := s.login(kind, s.ada.Email).Secret.Reveal()
	return &part{Token: secret, Cookie: secret}
}

// setupToken is that of the link of the first run.
func setupToken(s *stage) string {
	link, err := s.service.FirstRun(s.ctx)
	s.check(err)
	_, token, _ := strings.Cut(link, "token=")
	return token
}

// enrolmentToken is that of a link in the place of the admin's second factor.
func enrolmentToken(s *stage) string {
	link, err := s.service.ResetMFA(s.ctx, s.ada.Email)
	s.check(err)
	_, token, _ := strings.Cut(link.Reveal(), "token=")
	return token
}

// noticed is the version of a notice that nobody has agreed to.
func noticed(s *stage) int64 {
	set, err := s.service.SetNotice(s.ctx, s.caller(s.ada.Token), "Be kind.", nil)
	s.check(err)
	return set.Version
}

// policyVersion is that of the policy in force.
func policyVersion(s *stage) string {
	return strconv.FormatInt(s.service.StoredPolicy().Version, 10)
}

// changedPolicy is the event of a change of the policy.
func changedPolicy(s *stage) string {
	nonce := secret.NewText(s.nonce("policies.write"))
	_, err := s.service.ChangePolicy(s.ctx, s.caller(s.bearer), nonce, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":30}}`)})
	s.check(err)
	return strconv.FormatInt(s.newest(), 10)
}

// digitsToken is that of a CAPTCHA to look at or to hear.
func digitsToken(s *stage) string {
	token, err := s.service.CaptchaDigits(s.uma.Email)
	s.check(err)
	return url.QueryEscape(token)
}
