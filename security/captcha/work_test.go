package captcha_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	. "patronus.internal/dashboard/security/captcha"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/securitytest"
)

var (
	now   = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	alice = Use{Login, "alice"}
)

func mac(purpose string, data ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte("key"))
	for _, d := range append([][]byte{[]byte(purpose)}, data...) {
		h.Write([]byte(strconv.Itoa(len(d)) + ":"))
		h.Write(d)
	}
	return h.Sum(nil)
}

func otherMAC(purpose string, data ...[]byte) []byte { return mac("x"+purpose, data...) }

func issue(t testing.TB, use Use) Challenge {
	t.Helper()
	c, err := Issue(rand.Reader, mac, use, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// drawing is randomness from which a number is drawn.
func drawing(number uint64) io.Reader {
	return bytes.NewReader(binary.BigEndian.AppendUint64(make([]byte, 16), number))
}

func TestWorkIsTaken(t *testing.T) {
	first, second := issue(t, alice), issue(t, alice)
	if first.Salt == second.Salt || first.Challenge == second.Challenge {
		t.Error("two challenges are alike")
	}
	if first.Algorithm != "SHA-256" || first.MaxNumber != MaxNumber || !strings.HasSuffix(first.Salt, "&purpose=login&") || strings.Contains(first.Salt, "alice") {
		t.Errorf("%+v", first)
	}
	payload := securitytest.SolveCaptcha(t, first)
	one, err := Verify(mac, alice, payload, now)
	expiry := now.Add(Lifetime).Truncate(time.Second)
	if err != nil || len(one.ID) != 16 || !one.ExpiresAt.Equal(expiry) {
		t.Fatalf("%+v, %v", one, err)
	}
	if again, err := Verify(mac, alice, payload, expiry.Add(-time.Microsecond)); err != nil || string(again.ID) != string(one.ID) {
		t.Errorf("the same answer is another ticket: %+v, %v", again, err)
	}
	if two, err := Verify(mac, alice, securitytest.SolveCaptcha(t, second), now); err != nil || string(two.ID) == string(one.ID) {
		t.Errorf("two challenges are one ticket: %+v, %v", two, err)
	}
}

// TestWorkIsRefused takes a right answer and makes one thing of it wrong.
func TestWorkIsRefused(t *testing.T) {
	c, err := Issue(drawing(123456), mac, alice, now)
	if err != nil {
		t.Fatal(err)
	}
	payload := securitytest.SolveCaptcha(t, c)
	raw, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(answer map[string]any)) string {
		answer := map[string]any{}
		decoder := json.NewDecoder(strings.NewReader(string(raw)))
		decoder.UseNumber()
		if err := decoder.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		change(answer)
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(text)
	}
	with := func(name string, value any) string { return changed(func(a map[string]any) { a[name] = value }) }
	number := func(a map[string]any) int64 {
		n, err := a["number"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	foreign, err := Issue(rand.Reader, otherMAC, alice, now)
	if err != nil {
		t.Fatal(err)
	}
	// A digit taken from the number into the salt leaves the hash as it is.
	spliced := changed(func(a map[string]any) { a["salt"], a["number"] = c.Salt+"1", 23456 })
	self := sha256.Sum256([]byte(c.Salt + "1"))

	for name, test := range map[string]struct {
		payload string
		use     Use
		at      time.Time
	}{
		"nothing":                         {"", alice, now},
		"huge":                            {strings.Repeat(payload, 1000), alice, now},
		"a byte too long":                 {strings.Repeat("A", 1028), alice, now},
		"not base64":                      {payload[:10] + "!" + payload[11:], alice, now},
		"of the other base64":             {strings.TrimRight(payload, "=") + "_", alice, now},
		"not JSON":                        {encoded("number=1"), alice, now},
		"two values":                      {encoded(string(raw) + string(raw)), alice, now},
		"a member twice":                  {encoded(strings.Replace(string(raw), "{", `{"number":1,`, 1)), alice, now},
		"null":                            {encoded("null"), alice, now},
		"a list":                          {encoded("[]"), alice, now},
		"empty":                           {encoded("{}"), alice, now},
		"expired":                         {payload, alice, now.Add(Lifetime)},
		"long expired":                    {payload, alice, now.Add(time.Hour)},
		"of another subject":              {payload, Use{Login, "bob"}, now},
		"of no subject":                   {payload, Use{Login, ""}, now},
		"of another purpose":              {payload, Use{"reset", "alice"}, now},
		"purpose and subject moved":       {payload, Use{"logina", "lice"}, now},
		"of another installation":         {securitytest.SolveCaptcha(t, foreign), alice, now},
		"of another algorithm":            {with("algorithm", "SHA-512"), alice, now},
		"of the algorithm in small":       {with("algorithm", "sha-256"), alice, now},
		"without an algorithm":            {with("algorithm", ""), alice, now},
		"a later expiry":                  {with("salt", strings.Replace(c.Salt, "expires=1", "expires=2", 1)), alice, now},
		"no salt":                         {with("salt", ""), alice, now},
		"the salt and the number spliced": {spliced, alice, now},
		"a challenge of one's own":        {changed(func(a map[string]any) { a["number"], a["challenge"] = 1, hex.EncodeToString(self[:]) }), alice, now},
		"another signature":               {with("signature", strings.Repeat("0", 64)), alice, now},
		"a short signature":               {with("signature", c.Signature[:62]), alice, now},
		"a signature that is no hex":      {with("signature", strings.Repeat("x", 64)), alice, now},
		"no signature":                    {with("signature", nil), alice, now},
		"the next number":                 {changed(func(a map[string]any) { a["number"] = number(a) + 1 }), alice, now},
		"a negative number":               {with("number", -1), alice, now},
		"a number above all":              {with("number", MaxNumber+1), alice, now},
		"a huge number":                   {with("number", json.Number("1e300")), alice, now},
		"a number in quotes":              {changed(func(a map[string]any) { a["number"] = strconv.FormatInt(number(a), 10) }), alice, now},
		"no number":                       {changed(func(a map[string]any) { delete(a, "number") }), alice, now},
		"the name of a member in capital": {changed(func(a map[string]any) { a["Number"] = a["number"]; delete(a, "number") }), alice, now},
	} {
		ticket, err := Verify(mac, test.use, test.payload, test.at)
		if err == nil || ticket.ID != nil {
			t.Errorf("%s: %+v is taken", name, ticket)
			continue
		}
		if fields := secerr.FieldsOf(err); secerr.CodeOf(err) != secerr.ValidationFailed || len(fields) != 1 || fields[0].Field != FieldWork {
			t.Errorf("%s: %v", name, err)
		}
		if old := strings.Contains(name, "expired"); old != strings.Contains(err.Error(), "expired") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNumbersFillTheRange: a browser that gives up at maxnumber must have found
// it, and work that is always small would be none.
func TestNumbersFillTheRange(t *testing.T) {
	for drawn, want := range map[uint64]int{0: 0, MaxNumber: MaxNumber, MaxNumber + 1: 0} {
		c, err := Issue(drawing(drawn), mac, alice, now)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256([]byte(c.Salt + strconv.Itoa(want)))
		if c.Challenge != hex.EncodeToString(hash[:]) {
			t.Errorf("%d is not the number of %d", want, drawn)
		}
	}
	if _, err := Issue(strings.NewReader("short"), mac, alice, now); err == nil {
		t.Error("a challenge without randomness")
	}
}

// FuzzVerify: nothing passes but an answer to a challenge of ours. Each process
// of the fuzzing draws the same one.
func FuzzVerify(f *testing.F) {
	c, err := Issue(drawing(1234), mac, alice, now)
	if err != nil {
		f.Fatal(err)
	}
	payload := securitytest.SolveCaptcha(f, c)
	f.Add(payload)
	raw, err := base64.StdEncoding.DecodeString(payload)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(raw))
	f.Add("{}")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		for _, payload := range []string{text, base64.StdEncoding.EncodeToString([]byte(text))} {
			ticket, err := Verify(mac, alice, payload, now)
			if (err == nil) != (ticket.ID != nil) {
				t.Errorf("%q: %+v, %v", payload, ticket, err)
			}
			// Spaces and further members may differ, the challenge may not.
			decoded, _ := base64.StdEncoding.DecodeString(payload)
			if err == nil && !strings.Contains(string(decoded), c.Challenge) {
				t.Errorf("%q passes", payload)
			}
		}
	})
}
