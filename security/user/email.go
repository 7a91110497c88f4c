package user

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"patronus.internal/dashboard/security/secerr"
)

// Lengths of RFC 5321 §4.5.3.1, in bytes.
const (
	maxLocal   = 64
	maxAddress = 254
)

// domains maps what people type to the form in which a domain is looked up,
// and refuses labels that no host may have (RFC 5891 §5, UTS #46).
var domains = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(true),
	idna.BidiRule(), idna.CheckHyphens(true), idna.CheckJoiners(true), idna.VerifyDNSLength(true))

// CanonicalEmail is the one form of an e-mail address under which it is stored
// and found: trimmed, NFKC, in small letters, the domain through IDNA. It
// returns secerr.ValidationFailed for what cannot be an address here; a local
// part outside ASCII is among that, since two of them may look alike.
func CanonicalEmail(typed string) (string, error) {
	refused := secerr.Invalid("email", "Write an e-mail address, for example ann@example.org.")
	if len(typed) > 4*maxAddress || !utf8.ValidString(typed) {
		return "", refused
	}
	local, domain, found := strings.Cut(norm.NFKC.String(strings.TrimSpace(typed)), "@")
	// Checked before the case is changed: some letters outside ASCII have a
	// small form inside.
	if !found || !isDotAtom(local) || len(local) > maxLocal {
		return "", refused
	}
	local = strings.ToLower(local)
	domain, err := domains.ToASCII(domain)
	if err != nil || domain == "" || strings.HasSuffix(domain, ".") || isNumeric(domain[strings.LastIndexByte(domain, '.')+1:]) {
		return "", refused
	}
	if len(local)+1+len(domain) > maxAddress {
		return "", refused
	}
	return local + "@" + domain, nil
}

// isDotAtom is RFC 5322 §3.2.3 without quoted forms: what mail systems really
// give out.
func isDotAtom(local string) bool {
	for _, atom := range strings.Split(local, ".") {
		if atom == "" {
			return false
		}
		for _, c := range []byte(atom) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0) {
				return false
			}
		}
	}
	return true
}

// isNumeric finds an IP address in the place of a name: no top-level domain is
// a number (RFC 3696 §2).
func isNumeric(label string) bool { return strings.Trim(label, "0123456789") == "" }
