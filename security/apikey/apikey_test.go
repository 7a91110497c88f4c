package apikey

import (
	"regexp"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/secret"
)

func TestLooks(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for bearer, want := range map[string]bool{
		Prefix + hex: true, "": false, Prefix: false, hex: false, Prefix + hex[1:]: false, Prefix + hex + "0": false,
		Prefix + strings.ToUpper(hex): false, "PK_" + hex: false, Prefix + hex[1:] + "g": false, Prefix + hex[1:] + " ": false,
		" " + Prefix + hex[1:]: false, Prefix + hex[2:] + "é": false, Prefix + hex[1:] + "\x00": false,
	} {
		if got := Looks(bearer); got != want {
			t.Errorf("%q: %v, want %v", bearer, got, want)
		}
	}
}

// form is that of the contract, said in another way than Looks does.
var form = regexp.MustCompile(`\Apk_[0-9a-f]{64}\z`)

func FuzzLooks(f *testing.F) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, seed := range []string{"", Prefix, Prefix + hex, "PK_" + hex, Prefix + strings.ToUpper(hex), Prefix + hex + "\n", Prefix + hex[1:],
		Prefix + hex[2:] + "\xff\xfe", "eyJhbGciOiJIUzI1NiJ9.e30.x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, bearer string) {
		looks := Looks(bearer)
		if looks != form.MatchString(bearer) {
			t.Errorf("%q: %v", bearer, looks)
		}
		// What is stored of a key is found by the whole of it.
		if looks && len(secret.NewText(bearer).Hash()) != 32 {
			t.Errorf("%q has no hash", bearer)
		}
	})
}
