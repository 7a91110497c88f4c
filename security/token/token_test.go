package token

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

const issuer = "https://dashboard.example.org"

var born = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type ring map[string][]byte

func (r ring) Signing() (string, []byte)            { return "k2", r["k2"] }
func (r ring) SigningKey(kid string) ([]byte, bool) { key, ok := r[kid]; return key, ok }
func key(fill string) []byte                        { return []byte(strings.Repeat(fill, 32)) }
func testRing() ring                                { return ring{"k1": key("1"), "k2": key("2")} }
func at(now time.Time) *Issuer                      { return NewIssuer(testRing(), issuer, func() time.Time { return now }) }
func testClaims() Claims {
	return Claims{UserID: "u", SessionID: "s", ID: "j", Role: "admin", AMR: []string{"pwd", "otp"}, Generation: 7, IssuedAt: born, ExpiresAt: born.Add(15 * time.Minute)}
}

func TestRoundTrip(t *testing.T) {
	signed, err := at(born).Issue(testClaims())
	if err != nil {
		t.Fatal(err)
	}
	got, err := at(born.Add(time.Minute)).Verify(signed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testClaims(), got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Error(diff)
	}
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(signed.Reveal(), ".")[0])
	var h map[string]string
	if err := json.Unmarshal(header, &h); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"alg": "HS256", "typ": "at+jwt", "kid": "k2"}, h); diff != "" {
		t.Error(diff)
	}
}

// TestClaimsAreTheContracts looks at what is inside, as another program does.
func TestClaimsAreTheContracts(t *testing.T) {
	signed, err := at(born).Issue(testClaims())
	if err != nil {
		t.Fatal(err)
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(signed.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"iss": issuer, "aud": "patronus-api", "sub": "u", "sid": "s", "jti": "j", "role": "admin", "amr": []any{"pwd", "otp"}, "gen": float64(7),
		"iat": float64(born.Unix()), "nbf": float64(born.Unix()), "exp": float64(born.Unix() + 900)}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

// forge signs whatever it is given, with a key that is really one of ours, so
// that only the checks stand between it and an identity.
func forge(t *testing.T, method jwt.SigningMethod, signing any, header, override map[string]any) string {
	t.Helper()
	c := jwt.MapClaims{"iss": issuer, "aud": Audience, "sub": "u", "sid": "s", "jti": "j", "role": "admin", "amr": []string{"pwd"},
		"iat": born.Unix(), "nbf": born.Unix(), "exp": born.Add(15 * time.Minute).Unix()}
	for name, value := range override {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	forged := jwt.NewWithClaims(method, c)
	forged.Header["typ"], forged.Header["kid"] = Type, "k2"
	for name, value := range header {
		if forged.Header[name] = value; value == nil {
			delete(forged.Header, name)
		}
	}
	signed, err := forged.SignedString(signing)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestForgeryIsGoodWhenNothingIsWrong(t *testing.T) {
	if _, err := at(born).Verify(secret.NewText(forge(t, jwt.SigningMethodHS256, key("2"), nil, nil))); err != nil {
		t.Fatal(err)
	}
	if _, err := at(born).Verify(secret.NewText(forge(t, jwt.SigningMethodHS256, key("1"), map[string]any{"kid": "k1"}, nil))); err != nil {
		t.Fatalf("a token of the older key: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	hs := jwt.SigningMethodHS256
	header := func(name string, value any) string { return forge(t, hs, key("2"), map[string]any{name: value}, nil) }
	claim := func(name string, value any) string { return forge(t, hs, key("2"), nil, map[string]any{name: value}) }
	good := forge(t, hs, key("2"), nil, nil)
	parts := strings.Split(good, ".")
	for name, bearer := range map[string]string{
		"empty":             "",
		"not a token":       "abc",
		"two parts":         parts[0] + "." + parts[1],
		"alg none":          forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil),
		"HS384":             forge(t, jwt.SigningMethodHS384, key("2"), nil, nil),
		"foreign key":       forge(t, hs, key("x"), nil, nil),
		"unknown kid":       header("kid", "k9"),
		"kid is a number":   header("kid", 2),
		"no kid":            header("kid", nil),
		"typ JWT":           header("typ", "JWT"),
		"no typ":            header("typ", nil),
		"jwk":               header("jwk", map[string]any{"kty": "oct", "k": "Mg"}),
		"jku":               header("jku", "http://127.0.0.1:1/keys"),
		"x5u":               header("x5u", "http://127.0.0.1:1/cert"),
		"crit":              header("crit", []string{"exp"}),
		"other issuer":      claim("iss", "https://evil.example"),
		"no issuer":         claim("iss", nil),
		"other audience":    claim("aud", "other"),
		"no audience":       claim("aud", nil),
		"no exp":            claim("exp", nil),
		"no nbf":            claim("nbf", nil),
		"no iat":            claim("iat", nil),
		"nbf to come":       claim("nbf", born.Add(time.Minute).Unix()),
		"iat to come":       claim("iat", born.Add(time.Minute).Unix()),
		"no jti":            claim("jti", nil),
		"no sid":            claim("sid", nil),
		"no sub":            claim("sub", nil),
		"exp is a text":     claim("exp", "tomorrow"),
		"cut signature":     good[:len(good)-1],
		"padded":            good + "=",
		"non-canonical end": parts[0] + "." + parts[1] + "." + nonCanonical(parts[2]),
		"swapped claims":    parts[0] + "." + strings.Split(claim("role", "user"), ".")[1] + "." + parts[2],
		"100 KB":            good + strings.Repeat("A", 100_000),
	} {
		if _, err := at(born).Verify(secret.NewText(bearer)); !secerr.Is(err, secerr.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nonCanonical changes bits of the last character that no byte holds, so that
// a lenient decoder sees the same signature.
func nonCanonical(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last^1])
}

func TestExpiry(t *testing.T) {
	good := secret.NewText(forge(t, jwt.SigningMethodHS256, key("2"), nil, nil))
	end := born.Add(15 * time.Minute)
	if _, err := at(end.Add(-time.Second)).Verify(good); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	if _, err := at(end).Verify(good); !secerr.Is(err, secerr.TokenExpired) {
		t.Errorf("at its end: %v", err)
	}
	foreign := secret.NewText(forge(t, jwt.SigningMethodHS256, key("x"), nil, nil))
	if _, err := at(end).Verify(foreign); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("an expired forgery is told that it expired: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	signed, err := at(born).Issue(testClaims())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Reveal())
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, bearer string) {
		c, err := at(born).Verify(secret.NewText(bearer))
		if err == nil && (bearer != signed.Reveal() || c.UserID != "u") {
			t.Errorf("%q is an identity: %+v", bearer, c)
		}
	})
}

// TestVerifiedBeforeIsStillHeldAgainstTheClock: what is remembered of a token
// is what it says, never that it is good.
func TestVerifiedBeforeIsStillHeldAgainstTheClock(t *testing.T) {
	now := born.Add(time.Minute)
	i := NewIssuer(testRing(), issuer, func() time.Time { return now })
	signed, err := i.Issue(testClaims())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := i.Verify(signed); err != nil {
			t.Fatal(err)
		}
	}
	now = born.Add(15 * time.Minute)
	if _, err := i.Verify(signed); !secerr.Is(err, secerr.TokenExpired) {
		t.Errorf("at its end: %v", err)
	}
	now = born.Add(-time.Second)
	if _, err := i.Verify(signed); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("before its beginning: %v", err)
	}
	now = born.Add(time.Minute)
	if _, err := i.Verify(secret.NewText(signed.Reveal() + "A")); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("one byte more: %v", err)
	}
}

// TestForgottenTokensNeedTheirKey: after a key is gone so is what it signed.
func TestForgottenTokensNeedTheirKey(t *testing.T) {
	keys := testRing()
	i := NewIssuer(keys, issuer, func() time.Time { return born.Add(time.Minute) })
	signed, err := i.Issue(testClaims())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Verify(signed); err != nil {
		t.Fatal(err)
	}
	delete(keys, "k2")
	i.Forget()
	if _, err := i.Verify(signed); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("%v", err)
	}
}

func TestVerifiedTokensAreBounded(t *testing.T) {
	i := at(born.Add(time.Minute))
	for range maxVerified + 100 {
		c := testClaims()
		c.Generation = int64(len(i.verified))
		signed, err := i.Issue(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Verify(signed); err != nil {
			t.Fatal(err)
		}
	}
	if len(i.verified) > maxVerified {
		t.Errorf("%d are kept", len(i.verified))
	}
}

// revoking is a ring whose key goes while a token is being verified with it.
type revoking struct {
	ring
	gone func()
}

func (r revoking) SigningKey(kid string) ([]byte, bool) {
	r.gone()
	return r.ring.SigningKey(kid)
}

// TestAKeyThatGoesDuringAVerification: what it verified is not believed later.
func TestAKeyThatGoesDuringAVerification(t *testing.T) {
	signed, err := at(born).Issue(testClaims())
	if err != nil {
		t.Fatal(err)
	}
	var i *Issuer
	i = NewIssuer(revoking{testRing(), func() { i.Forget() }}, issuer, func() time.Time { return born.Add(time.Minute) })
	if _, err := i.Verify(signed); err != nil {
		t.Fatal(err)
	}
	if len(i.verified) != 0 {
		t.Error("it is remembered")
	}
}

// TestNoTokenOutlivesItsRevocation: who holds a key forges no token that is
// good for longer than revocations are remembered.
func TestNoTokenOutlivesItsRevocation(t *testing.T) {
	c := testClaims()
	c.ExpiresAt = born.Add(MaxLifetime + time.Second)
	signed, err := at(born).Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := at(born.Add(time.Minute)).Verify(signed); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("%v", err)
	}
}
