package mfa

import (
	"fmt"
	"io"
	"strings"

	"patronus.internal/dashboard/security/secret"
)

// Ten codes, as the specification has it, of 24 base32 characters: 120 bits
// each, so that a plain hash at rest is enough (ASVS 5.0 6.5.2 asks for 112).
const (
	backupCodes      = 10
	backupCodeBytes  = 15
	backupCodeLength = backupCodeBytes * 8 / 5
	backupCodeGroup  = 4
)

// NewBackupCodes draws a set of backup codes in their normalized form.
func NewBackupCodes(random io.Reader) ([]secret.Text, error) {
	codes := make([]secret.Text, backupCodes)
	for i := range codes {
		var raw [backupCodeBytes]byte
		if _, err := io.ReadFull(random, raw[:]); err != nil {
			return nil, fmt.Errorf("mfa: draw backup codes: %w", err)
		}
		codes[i] = secret.NewText(strings.ToLower(encoding.EncodeToString(raw[:])))
	}
	return codes, nil
}

// GroupBackupCode writes a code as people copy it: in fours, with dashes.
func GroupBackupCode(code secret.Text) string {
	raw := code.Reveal()
	var groups []string
	for len(raw) > backupCodeGroup {
		groups, raw = append(groups, raw[:backupCodeGroup]), raw[backupCodeGroup:]
	}
	return strings.Join(append(groups, raw), "-")
}

// NormalizeBackupCode reads a code in any case, with dashes and spaces
// anywhere, and reports whether it has the form of one.
func NormalizeBackupCode(typed string) (secret.Text, bool) {
	if len(typed) > 4*backupCodeLength {
		return secret.Text{}, false
	}
	code := strings.ToLower(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, typed))
	if len(code) != backupCodeLength || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return secret.Text{}, false
	}
	return secret.NewText(code), true
}
