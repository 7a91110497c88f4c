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
	rest := without(raw, context)
	switch counted := utf8.RuneCountInString(rest); {
	case length < r.MinLength:
		reasons = append(reasons, Reason{"too_short", fmt.Sprintf("Use at least %d characters; this has %d.", r.MinLength, length)})
	case counted < r.MinLength:
		reasons = append(reasons, Reason{"context", fmt.Sprintf("Parts of your e-mail address and the name of this product do not count. Add %d more characters.", r.MinLength-counted)})
	}
	if isCommon(raw) || isCommon(strings.TrimFunc(rest, isSign)) {
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

// estimated is how many code points zxcvbn looks at. Its time grows with nearly
// the fourth power of the length where letters are written as signs: 700 ms for
// 128, 80 for 64, 20 for 40. What 40 do not make strong, more will not.
const estimated = 40

// Strength is the zxcvbn score of a password, from 0 to 4. Parts of the own
// address and the product's name count for nothing: what is left without them
// must be as good on its own, since zxcvbn counts the order of the words that
// it knows, even of those.
func Strength(password secret.Text, r Rules) int {
	raw, context := password.Reveal(), contextWords(r)
	score := estimate(raw, context)
	if rest := without(raw, context); len(rest) < len(raw) {
		score = min(score, estimate(rest, context))
	}
	return score
}

func estimate(s string, context []string) int {
	start := []rune(s)
	return zxcvbn.PasswordStrength(string(start[:min(len(start), estimated)]), context).Score
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
		return strings.FieldsFunc(s, isSign)
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

// without removes the words, whatever their case and whichever of their letters
// are written as signs, until none is left.
func without(s string, words []string) string {
	s = strings.ToLower(s)
	for _, w := range words {
		w = plain(w)
		for at := strings.Index(plain(s), w); at >= 0; at = strings.Index(plain(s), w) {
			s = s[:at] + s[at+len(w):]
		}
	}
	return s
}

// signs are the letters that attackers try as signs, and what they stand for;
// l and i share theirs.
var signs = map[byte]byte{'4': 'a', '@': 'a', '8': 'b', '3': 'e', '6': 'g', '9': 'g', '1': 'i', '!': 'i', '|': 'i', 'l': 'i',
	'0': 'o', '$': 's', '5': 's', '7': 't', '+': 't', '2': 'z'}

// plain writes signs as the letters that they stand for. Its result has the
// length of s in bytes, so that a place in one is the same place in the other.
func plain(s string) string {
	letters := []byte(s)
	for i, c := range letters {
		if letter, ok := signs[c]; ok {
			letters[i] = letter
		}
	}
	return string(letters)
}

// isSign is what may stand around a common password without making it better.
func isSign(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }

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
		strings.ContainsFunc(s, isSign)
}
