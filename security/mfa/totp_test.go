package mfa

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"patronus.internal/dashboard/security/secret"
)

func key(ascii string) secret.Text { return secret.NewText(encoding.EncodeToString([]byte(ascii))) }

// rfcSecret is the seed of RFC 4226 Appendix D and, for SHA-1, of RFC 6238
// Appendix B.
const rfcSecret = "12345678901234567890"

// TestRFC4226AppendixD checks the library that computes the codes.
func TestRFC4226AppendixD(t *testing.T) {
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		got, err := hotp.GenerateCodeCustom(key(rfcSecret).Reveal(), uint64(counter), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err != nil || got != want {
			t.Errorf("counter %d gives %s, want %s (%v)", counter, got, want, err)
		}
	}
}

var appendixB = []struct {
	seconds              int64
	sha1, sha256, sha512 string
}{
	{59, "94287082", "46119246", "90693936"},
	{1111111109, "07081804", "68084774", "25091201"},
	{1111111111, "14050471", "67062674", "99943326"},
	{1234567890, "89005924", "91819424", "93441116"},
	{2000000000, "69279037", "90698825", "38618901"},
	{20000000000, "65353130", "77737706", "47863826"},
}

// TestRFC6238AppendixB checks the library with eight digits and every hash, and
// Match with the last six of SHA-1, which are the same code cut short.
func TestRFC6238AppendixB(t *testing.T) {
	seeds := map[otp.Algorithm]string{otp.AlgorithmSHA1: rfcSecret, otp.AlgorithmSHA256: rfcSecret + "123456789012",
		otp.AlgorithmSHA512: strings.Repeat("1234567890", 6) + "1234"}
	for _, v := range appendixB {
		for algorithm, want := range map[otp.Algorithm]string{otp.AlgorithmSHA1: v.sha1, otp.AlgorithmSHA256: v.sha256, otp.AlgorithmSHA512: v.sha512} {
			got, err := hotp.GenerateCodeCustom(key(seeds[algorithm]).Reveal(), uint64(v.seconds/period), hotp.ValidateOpts{Digits: otp.DigitsEight, Algorithm: algorithm})
			if err != nil || got != want {
				t.Errorf("%s at %d gives %s, want %s (%v)", algorithm, v.seconds, got, want, err)
			}
		}
		step, ok, err := Match(key(rfcSecret), v.sha1[2:], time.Unix(v.seconds, 0), 0)
		if err != nil || !ok || step != v.seconds/period {
			t.Errorf("Match at %d: step %d, %t, %v", v.seconds, step, ok, err)
		}
	}
}

// codeAt is the code of a step.
func codeAt(t *testing.T, step int64) string {
	t.Helper()
	code, err := hotp.GenerateCodeCustom(key(rfcSecret).Reveal(), uint64(step), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestMatchTakesOneStepEitherWayAndNoneTwice(t *testing.T) {
	const step = 1_000_000
	now := time.Unix(step*period+29, 0)
	for _, c := range []struct {
		name       string
		code, last int64
		want       bool
	}{
		{"now", step, 0, true}, {"the one before", step - 1, 0, true}, {"the one to come", step + 1, 0, true},
		{"two before", step - 2, 0, false}, {"two to come", step + 2, 0, false},
		{"used", step, step, false}, {"an older one after a newer", step - 1, step, false}, {"a newer one after it", step + 1, step, true},
		{"used in advance", step, step + 1, false},
	} {
		got, ok, err := Match(key(rfcSecret), codeAt(t, c.code), now, c.last)
		if err != nil || ok != c.want || ok && got != c.code {
			t.Errorf("%s: step %d, %t, %v", c.name, got, ok, err)
		}
	}
}

func TestMatchReadsWhatPeopleType(t *testing.T) {
	now := time.Unix(59, 0)
	for typed, want := range map[string]bool{
		"287082": true, "287 082": true, " 287082 ": true, "2 8 7 0 8 2": true,
		"": false, "28708": false, "2870822": false, "28708a": false, "２８７０８２": false, "287082\n": false, "-87082": false,
		"28 7082" + strings.Repeat(" ", 100): false, "94287082": false,
	} {
		if _, ok, err := Match(key(rfcSecret), typed, now, 0); err != nil || ok != want {
			t.Errorf("%q: %t, %v", typed, ok, err)
		}
	}
	if _, _, err := Match(secret.NewText("not base32 !"), "287082", now, 0); err == nil {
		t.Error("a secret that is none is taken")
	}
}

func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"287082", "", " ", "000000", "\x00\x00", "999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		_, ok, err := Match(key(rfcSecret), typed, time.Unix(59, 0), 0)
		code := strings.ReplaceAll(typed, " ", "")
		if err != nil || ok && code != codeAt(t, 0) && code != codeAt(t, 1) && code != codeAt(t, 2) {
			t.Errorf("%q: %t, %v", typed, ok, err)
		}
	})
}

func FuzzNormalizeCode(f *testing.F) {
	for _, seed := range []string{"287082", "287 082", "", "２８７０８２", "-87082", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := normalizeCode(typed)
		if !ok {
			return
		}
		if again, ok := normalizeCode(code); !ok || again != code || len(code) != 6 || strings.Trim(code, "0123456789") != "" || strings.ReplaceAll(typed, " ", "") != code {
			t.Errorf("%q becomes %q and then %q", typed, code, again)
		}
	})
}

func TestMatchAtTheBeginningOfTime(t *testing.T) {
	if _, ok, err := Match(key(rfcSecret), "755224", time.Unix(0, 0), -1); err != nil || !ok {
		t.Errorf("step 0: %t, %v", ok, err)
	}
	if _, ok, err := Match(key(rfcSecret), "755224", time.Unix(0, 0), 0); err != nil || ok {
		t.Errorf("a new factor takes step 0, which it counts as used: %t, %v", ok, err)
	}
	if _, ok, err := Match(key(rfcSecret), "755224", time.Unix(-1000, 0), 0); err != nil || ok {
		t.Errorf("before step 0: %t, %v", ok, err)
	}
}

func TestSecretsAreFreshAndLongEnough(t *testing.T) {
	a, errA := NewSecret(rand.Reader)
	b, errB := NewSecret(rand.Reader)
	raw, err := base32.StdEncoding.DecodeString(a.Reveal())
	if errA != nil || errB != nil || err != nil || len(raw) != 20 || a == b {
		t.Errorf("%d bytes, %v %v %v", len(raw), errA, errB, err)
	}
	if _, err := NewSecret(strings.NewReader("short")); err == nil {
		t.Error("a secret of less than 160 bits is drawn")
	}
}

func TestKeyURIAndPicture(t *testing.T) {
	uri := URL("Patronus", "a+b c@example.org", key(rfcSecret))
	parsed, err := otp.NewKeyFromURL(uri)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Issuer() != "Patronus" || parsed.AccountName() != "a+b c@example.org" || parsed.Secret() != key(rfcSecret).Reveal() ||
		parsed.Period() != 30 || parsed.Digits() != 6 || parsed.Algorithm() != otp.AlgorithmSHA1 || parsed.Type() != "totp" {
		t.Errorf("an app reads %v out of %s", parsed, uri)
	}
	picture, err := QRPNG(uri, 320)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := png.Decode(bytes.NewReader(picture))
	if err != nil || drawn.Bounds().Dx() != 320 || drawn.Bounds().Dy() != 320 {
		t.Errorf("the picture: %v", err)
	}
}

func TestBackupCodes(t *testing.T) {
	codes, err := NewBackupCodes(rand.Reader)
	if err != nil || len(codes) != 10 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	seen := map[string]bool{}
	for _, code := range codes {
		if len(code.Reveal()) != 24 || seen[code.Reveal()] {
			t.Errorf("%q", code.Reveal())
		}
		seen[code.Reveal()] = true
		grouped := GroupBackupCode(code)
		if len(grouped) != 29 {
			t.Errorf("grouped as %q", grouped)
		}
		for _, typed := range []string{grouped, strings.ToUpper(grouped), " " + strings.ReplaceAll(grouped, "-", " "), code.Reveal()} {
			if back, ok := NormalizeBackupCode(typed); !ok || back != code {
				t.Errorf("%q is read as %q, %t", typed, back.Reveal(), ok)
			}
		}
		if fmt.Sprint(code) == code.Reveal() {
			t.Error("a code prints")
		}
	}
	for _, bad := range []string{"", "aaaa", strings.Repeat("a", 25), strings.Repeat("1", 24), strings.Repeat("é", 24), strings.Repeat(" ", 200) + strings.Repeat("a", 24)} {
		if _, ok := NormalizeBackupCode(bad); ok {
			t.Errorf("%q has the form of a code", bad)
		}
	}
}

func FuzzNormalizeBackupCode(f *testing.F) {
	f.Add("aaaa-bbbb-cccc-dddd-eeee-ffff")
	f.Add("\u2003K")
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := NormalizeBackupCode(typed)
		if !ok {
			return
		}
		again, ok := NormalizeBackupCode(GroupBackupCode(code))
		if !ok || again != code {
			t.Errorf("%q becomes %q and then %q", typed, code.Reveal(), again.Reveal())
		}
	})
}

func TestBudget(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		count int64
		after time.Duration
		want  time.Duration
	}{
		{0, 0, 0}, {9, time.Minute, 0}, {10, 0, 15 * time.Minute}, {10, 14 * time.Minute, time.Minute}, {10, 15 * time.Minute, 0}, {99, time.Hour, 0},
	} {
		if got := (Failures{Count: c.count, Since: at}).Wait(at.Add(c.after), 10, 15*time.Minute); got != c.want {
			t.Errorf("%d wrong codes, %s later: wait %s, want %s", c.count, c.after, got, c.want)
		}
	}
}
