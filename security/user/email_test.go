package user

import (
	"strings"
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

func TestCanonicalEmail(t *testing.T) {
	label := strings.Repeat("a", 60)
	// long is an address of n bytes, each of its labels short enough.
	long := func(n int) string {
		address := "a@" + strings.Repeat(label+".", 4)
		return address + strings.Repeat("b", n-len(address))
	}
	for typed, want := range map[string]string{
		"ann@example.org":                        "ann@example.org",
		"  Ann@Example.ORG\t":                    "ann@example.org",
		"ａｎｎ@ｅｘａｍｐｌｅ.ｏｒｇ":                        "ann@example.org", // full width
		"ann@EXAMPLE。org":                        "ann@example.org", // ideographic stop
		"ann+tag.x@example.org":                  "ann+tag.x@example.org",
		"ann@straße.example":                     "ann@xn--strae-oqa.example",
		"ann@exаmple.org":                        "ann@xn--exmple-4nf.org", // Cyrillic а: not the same as example.org
		"ann@bücher.example":                     "ann@xn--bcher-kva.example",
		"ann@xn--bcher-kva.example":              "ann@xn--bcher-kva.example",
		"admin@localhost":                        "admin@localhost",
		"ann＠example.org":                        "ann@example.org",
		"\u212aarl@example.org":                  "karl@example.org", // Kelvin sign
		"ann@İstanbul.example":                   "ann@xn--istanbul-o0e.example",
		long(254):                                long(254),
		strings.Repeat("a", 64) + "@example.org": strings.Repeat("a", 64) + "@example.org",
	} {
		got, err := CanonicalEmail(typed)
		if err != nil || got != want {
			t.Errorf("%q becomes %q, want %q (%v)", typed, got, want, err)
		}
	}
	for _, bad := range []string{
		"", " ", "ann", "@example.org", "ann@", "ann@@example.org", "a@b@example.org", "ann smith@example.org", `"ann"@example.org`,
		".ann@example.org", "ann.@example.org", "a..b@example.org", "ann@example.org.", "ann@.example.org", "ann@exa mple.org", "ann@-example.org",
		"ann@example_.org", "ann@192.0.2.1", "ann@[192.0.2.1]", "ann@[::1]", "änn@example.org", "аnn@example.org", "ann@example.org\r\nBcc: x@example.org",
		"ann\x00@example.org", "ann@exam\x00ple.org", "ann@xn--\u0080.org", "ann@\u202eexample.org", "İ@example.org", "<ann@example.org>", "ann,bob@example.org",
		strings.Repeat("a", 65) + "@example.org", long(255), "a@" + strings.Repeat("a", 64) + ".example", "a@" + strings.Repeat(label+".", 5) + "org", strings.Repeat("a", 100_000),
	} {
		if got, err := CanonicalEmail(bad); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%q becomes %q, %v", bad, got, err)
		}
	}
}

func FuzzCanonicalEmail(f *testing.F) {
	for _, seed := range []string{"ann@example.org", "ＡＮＮ@bücher.example", "a@b", "@", "a@xn--a", "K@K", "ﬁ@ﬁ.org", "a@ß.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		once, err := CanonicalEmail(typed)
		if err != nil {
			return
		}
		twice, err := CanonicalEmail(once)
		if err != nil || twice != once {
			t.Errorf("%q becomes %q and then %q (%v)", typed, once, twice, err)
		}
		if strings.ContainsAny(once, " \r\n\t\x00<>\",;:") || len(once) > maxAddress || strings.Count(once, "@") != 1 {
			t.Errorf("%q becomes %q", typed, once)
		}
	})
}
