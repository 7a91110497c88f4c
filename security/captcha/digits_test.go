package captcha_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"image/png"
	"strings"
	"testing"
	"time"

	. "patronus.internal/dashboard/security/captcha"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/securitytest"
)

func issueDigits(t testing.TB, use Use) string {
	t.Helper()
	token, err := IssueDigits(rand.Reader, mac, use, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestDigits(t *testing.T) {
	token := issueDigits(t, alice)
	digits := securitytest.CaptchaDigits(t, mac, token)
	if len(digits) != DigitCount || strings.Contains(token, digits) {
		t.Errorf("%q in %q", digits, token)
	}
	last := digits[:DigitCount-1] + string('0'+(digits[DigitCount-1]-'0'+1)%10)
	for typed, want := range map[string]bool{
		digits: true, " " + digits[:3] + " " + digits[3:] + "\t": true,
		last: false, "": false, digits[1:]: false, digits + "0": false, strings.Repeat(" ", 100) + digits: false, strings.Repeat(digits, 10_000): false, "\x00": false,
	} {
		ticket, right, err := VerifyDigits(mac, alice, token, typed, now)
		if err != nil || right != want || len(ticket.ID) != 16 || !ticket.ExpiresAt.Equal(now.Add(Lifetime).Truncate(time.Second)) {
			t.Errorf("%.20q: %+v, %t, %v", typed, ticket, right, err)
		}
	}
	if other := issueDigits(t, alice); other == token || securitytest.CaptchaDigits(t, mac, other) == digits {
		t.Error("two tokens of the same digits") // one time in a million
	}
	if _, err := IssueDigits(strings.NewReader("short"), mac, alice, now); err == nil {
		t.Error("digits without randomness")
	}
}

func TestTokensAreRefused(t *testing.T) {
	token := issueDigits(t, alice)
	digits := securitytest.CaptchaDigits(t, mac, token)
	flipped := func(at int) string {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		raw[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	foreign, err := IssueDigits(rand.Reader, otherMAC, alice, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		token string
		use   Use
		at    time.Time
		drawn bool // the picture is for who holds the token, whatever it is good for
	}{
		"nothing":                 {"", alice, now, false},
		"huge":                    {strings.Repeat(token, 10_000), alice, now, false},
		"short":                   {token[1:], alice, now, false},
		"other letters":           {strings.Repeat("+", len(token)), alice, now, false},
		"a line end":              {token[1:] + "\n", alice, now, false},
		"another id":              {flipped(0), alice, now, false},
		"another expiry":          {flipped(20), alice, now, false},
		"another use":             {flipped(30), alice, now, false},
		"another signature":       {flipped(71), alice, now, false},
		"of another installation": {foreign, alice, now, false},
		"expired":                 {token, alice, now.Add(Lifetime), false},
		"of another subject":      {token, Use{Login, "bob"}, now, true},
		"of another purpose":      {token, Use{"reset", "alice"}, now, true},
	} {
		ticket, right, err := VerifyDigits(mac, test.use, test.token, digits, test.at)
		if fields := secerr.FieldsOf(err); right || ticket.ID != nil || len(fields) != 1 || fields[0].Field != FieldDigits {
			t.Errorf("%s: %+v, %t, %v", name, ticket, right, err)
		}
		for kind, draw := range map[string]func(MAC, string, time.Time) ([]byte, error){"picture": Image, "sound": Audio} {
			if file, err := draw(mac, test.token, test.at); (err == nil) != test.drawn || (file != nil) != test.drawn {
				t.Errorf("%s: a %s of %d bytes, %v", name, kind, len(file), err)
			}
		}
	}
}

func TestPictureAndSound(t *testing.T) {
	token := issueDigits(t, alice)
	first, err := Image(mac, token, now)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(first))
	if err != nil || picture.Bounds().Dx() != ImageWidth || picture.Bounds().Dy() != ImageHeight {
		t.Errorf("%v, %v", picture, err)
	}
	if again, err := Image(mac, token, now); err != nil || !bytes.Equal(first, again) {
		t.Error("one token has two pictures, which could be laid over each other")
	}
	sound, err := Audio(mac, token, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(sound) < 50_000 || len(sound) > 500_000 || string(sound[:4]) != "RIFF" || string(sound[8:16]) != "WAVEfmt " || int(binary.LittleEndian.Uint32(sound[4:]))+8 != len(sound) {
		t.Errorf("%d bytes, starting with %q", len(sound), sound[:16])
	}
	if again, err := Audio(mac, token, now); err != nil || !bytes.Equal(sound, again) {
		t.Error("one token has two sounds")
	}
}

func BenchmarkImage(b *testing.B) {
	token := issueDigits(b, alice)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Image(mac, token, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAudio(b *testing.B) {
	token := issueDigits(b, alice)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Audio(mac, token, now); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzToken: nothing but a token of ours opens.
func FuzzToken(f *testing.F) {
	token, err := IssueDigits(drawing(0), mac, alice, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(token[:40])
	f.Add(strings.Repeat("A", len(token)))
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, err := VerifyDigits(mac, alice, text, "000000", now); err == nil && text != token {
			t.Errorf("%q opens", text)
		}
	})
}
