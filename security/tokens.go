package security

import (
	"time"

	"github.com/gofrs/uuid/v5"

	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/token"
)

// Tokens is what an API client holds of its session.
type Tokens struct {
	Access             secret.Text
	AccessExpiresIn    time.Duration
	Refresh            secret.Text
	RefreshExpiresIn   time.Duration
	EnrollmentRequired bool
}

// Tokens issues an access token for a full API session that was just opened;
// the secret of the session is its refresh token.
func (s *Service) Tokens(in SignIn) (Tokens, error) {
	id, err := uuid.NewGenWithOptions(uuid.WithRandomReader(s.rand)).NewV4()
	if err != nil {
		return Tokens{}, err
	}
	now := s.now()
	lifetime := min(s.Policy().Sessions.AccessToken(), in.Session.ExpiresAt.Sub(now))
	access, err := s.tokens.Issue(token.Claims{UserID: in.User.ID, SessionID: in.Session.ID, ID: id.String(),
		Role: in.User.Role, AMR: in.Session.AMR, Generation: in.generation, IssuedAt: now, ExpiresAt: now.Add(lifetime)})
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, AccessExpiresIn: lifetime, Refresh: in.Secret,
		RefreshExpiresIn: in.Session.ExpiresAt.Sub(now), EnrollmentRequired: in.EnrollmentRequired}, nil
}
