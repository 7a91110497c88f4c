package audit

import "strings"

// inJSON is an address as it stands in a JSON string.
func inJSON(email string) string {
	text, err := encode(email)
	if err != nil { // never of a string
		return email
	}
	return strings.Trim(string(text), `"`)
}

// names reports whether a JSON text has the address, as a whole.
func names(text, email string) bool { return Mentions(text, inJSON(email)) }

// Mentions reports whether a text has the address, as a whole: that of somebody
// else may begin or end like it. The address is canonical.
func Mentions(text, email string) bool {
	text = strings.ToLower(text)
	for from := 0; ; {
		at := strings.Index(text[from:], email)
		if at < 0 {
			return false
		}
		begin, end := from+at, from+at+len(email)
		if (begin == 0 || !partOfAddress(text[begin-1])) && (end == len(text) || !partOfAddress(text[end]) || endsSentence(text[end:])) {
			return true
		}
		from = begin + 1
	}
}

// partOfAddress is a character that an address may go on with.
func partOfAddress(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) >= 0
}

// endsSentence is a mark behind which no part of an address follows.
func endsSentence(rest string) bool {
	return strings.IndexByte(".!?'", rest[0]) >= 0 && (len(rest) == 1 || !partOfAddress(rest[1]))
}
