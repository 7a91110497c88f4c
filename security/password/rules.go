package password

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn"
	"golang.org/x/text/secure/precis"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// maxLength is the contract's limit in code points. It is generous for a
// passphrase (NIST SP 800-63B-4 §3.1.1.2 asks for 64 at least) and bounds the
// work on what anybody may send.
const maxLength = 128

// Normalize prepares a password as RFC 8265 §4.2 has it (OpaqueString), so that
// it is the same whichever keyboard it was typed on. It is neither trimmed nor
// cut nor changed in case. It returns secerr.ValidationFailed for what cannot
// be a password: empty, longer than 128 characters, or with characters that
// cannot be typed.
func Normalize(password secret.Text) (secret.Text, error) {
	raw := password.Reveal()
	if raw == "" {
		return secret.Text{}, secerr.Invalid("password", "Give a password.")
	}
	// Bytes first: they cost nothing to count.
	if len(raw) > maxLength*utf8.UTFMax || utf8.RuneCountInString(raw) > maxLength {
		return secret.Text{}, secerr.Invalid("password", fmt.Sprintf("Use %d characters at most.", maxLength))
	}
	prepared, err := precis.OpaqueString.String(raw)
	if err != nil || !utf8.ValidString(raw) {
		return secret.Text{}, secerr.Invalid("password", "Use only characters that can be typed.")
	}
	return secret.NewText(prepared), nil
}

// Rules is what a new password is held against.
type Rules struct {
	MinLength      int // code points
	MinScore       int // zxcvbn, 0 to 4
	RequireClasses bool
	Email          string // the own address: its parts count for nothing
	Product        string // and neither does the name of the product
}

// Reason is why a password is refused: a code for programs, a sentence for
// people.
type Reason struct{ Code, Detail string }

// Check lists every reason to refuse a normalized password; none means that it
// may be used.
func Check(password secret.Text, r Rules) []Reason {
	raw := password.Reveal()
	context := contextWords(r)
	var reasons []Reason
	length := utf8.RuneCountInString(raw)
	switch counted := utf8.RuneCountInString(without(raw, context)); {
	case length < r.MinLength:
		reasons = append(reasons, Reason{"too_short", fmt.Sprintf("Use at least %d characters; this has %d.", r.MinLength, length)})
	case counted < r.MinLength:
		reasons = append(reasons, Reason{"context", fmt.Sprintf("Parts of your e-mail address and the name of this product do not count. Add %d more characters.", r.MinLength-counted)})
	}
	if isCommon(raw) {
		return append(reasons, Reason{"common", "This password is in lists that attackers try first. Use one that nobody else has."})
	}
	if r.RequireClasses && !hasClasses(raw) {
		reasons = append(reasons, Reason{"classes", "Use a small letter, a capital letter, a digit and another sign."})
	}
	// Where something is wrong already, the estimate adds only confusion.
	if reasons == nil && (Strength(password, r) < r.MinScore || r.MinScore > 0 && distinct(raw) < minDistinct) {
		reasons = append(reasons, Reason{"guessable", "This is too easy to guess. Put together several words that do not belong together."})
	}
	return reasons
}

// estimated is how many code points zxcvbn looks at. Its time grows with the
// square of the length, up to 350 ms for the worst 128; what 64 do not make
// strong, more will not.
const estimated = 64

// Strength is the zxcvbn score of a password, from 0 to 4. Parts of the own
// address and the product's name count for nothing.
func Strength(password secret.Text, r Rules) int {
	start := []rune(password.Reveal())
	return zxcvbn.PasswordStrength(string(start[:min(len(start), estimated)]), contextWords(r)).Score
}

// minContextWord is the least length of a part that counts for nothing;
// shorter ones are in every sentence.
const minContextWord = 3

// contextWords are the parts of the address but its top-level domain, and the
// product's name, longest first, in small letters.
func contextWords(r Rules) []string {
	words := []string{r.Product}
	local, domain, _ := strings.Cut(r.Email, "@")
	separated := func(s string) []string {
		return strings.FieldsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	}
	words = append(words, r.Email, local, domain)
	words = append(words, separated(local)...)
	if labels := separated(domain); len(labels) > 1 {
		words = append(words, labels[:len(labels)-1]...)
	} else {
		words = append(words, labels...)
	}
	kept := words[:0]
	for _, w := range words {
		if w = strings.ToLower(w); utf8.RuneCountInString(w) >= minContextWord && !slices.Contains(kept, w) {
			kept = append(kept, w)
		}
	}
	slices.SortStableFunc(kept, func(a, b string) int { return len(b) - len(a) })
	return kept
}

// without removes the words, whatever their case.
func without(s string, words []string) string {
	s = strings.ToLower(s)
	for _, w := range words {
		s = strings.ReplaceAll(s, w, "")
	}
	return s
}

// minDistinct is the least number of different characters: zxcvbn does not see
// the repetition of one outside ASCII.
const minDistinct = 5

func distinct(s string) int {
	seen := make(map[rune]bool)
	for _, c := range s {
		seen[c] = true
	}
	return len(seen)
}

func hasClasses(s string) bool {
	return strings.ContainsFunc(s, unicode.IsLower) && strings.ContainsFunc(s, unicode.IsUpper) &&
		strings.ContainsFunc(s, unicode.IsDigit) &&
		strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
}
