package security

import (
	"encoding/hex"

	"patronus.internal/dashboard/security/captcha"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// CaptchaAnswer is what came with an attempt to sign in: the work of a browser
// or a program, or digits that a person read or heard.
type CaptchaAnswer struct {
	Work          string
	Token, Digits string
}

// captchaUse binds a challenge to the sign-in of one account.
func (s *Service) captchaUse(email string) captcha.Use {
	if canonical, err := user.CanonicalEmail(email); err == nil {
		email = canonical
	}
	return captcha.Use{Purpose: captcha.Login, Subject: hex.EncodeToString(s.accountMAC(email))}
}

// checkCaptcha takes an answer once, or demands one with a new challenge. A
// genuine challenge is spent whether its answer is right or not.
func (s *Service) checkCaptcha(tx *db.Tx, email string, a CaptchaAnswer) (refusal, err error) {
	use, right := s.captchaUse(email), true
	var ticket captcha.Ticket
	detail := ""
	switch {
	case a.Work != "":
		ticket, refusal = captcha.Verify(s.keys.MAC, use, a.Work, tx.Now())
	case a.Token != "":
		ticket, right, refusal = captcha.VerifyDigits(s.keys.MAC, use, a.Token, a.Digits, tx.Now())
	default:
		return s.demandCaptcha(email, demandDetail)
	}
	if refusal == nil {
		fresh, err := captcha.Spend(tx, ticket)
		if err != nil {
			return nil, err
		}
		if fresh && right {
			return nil, nil
		}
		detail = "The check was not passed, or was used before. Do the new one."
	} else if fields := secerr.FieldsOf(refusal); len(fields) > 0 {
		detail = fields[0].Detail
	}
	return s.demandCaptcha(email, detail)
}

const demandDetail = "There were several wrong passwords for this account. Do the check first."

func (s *Service) demandCaptcha(email, detail string) (refusal, err error) {
	challenge, err := captcha.Issue(s.rand, s.keys.MAC, s.captchaUse(email), s.now())
	if err != nil {
		return nil, err
	}
	return &secerr.Error{Code: secerr.CaptchaRequired, Detail: detail, Captcha: challenge}, nil
}

// CaptchaDigits draws six digits for the sign-in of an account, and returns the
// token by which CaptchaImage and CaptchaAudio find them.
func (s *Service) CaptchaDigits(email string) (string, error) {
	return captcha.IssueDigits(s.rand, s.keys.MAC, s.captchaUse(email), s.now())
}

// CaptchaImage draws the digits of a token as PNG, CaptchaAudio speaks them as
// WAV. They return secerr.ValidationFailed for what is no token of now.
func (s *Service) CaptchaImage(token string) ([]byte, error) {
	return captcha.Image(s.keys.MAC, token, s.now())
}

// CaptchaAudio is described at CaptchaImage.
func (s *Service) CaptchaAudio(token string) ([]byte, error) {
	return captcha.Audio(s.keys.MAC, token, s.now())
}
