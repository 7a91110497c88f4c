package webhook

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/secret"
)

func TestSettings(t *testing.T) {
	for _, url := range []string{"https://siem.example.org", "https://siem.example.org:8443/hooks/hunter2?token=hunter2", "HTTPS://[2001:db8::1]/"} {
		s, err := ParseSettings(url, false)
		if err != nil || s.Host() == "" {
			t.Errorf("%s: %v", url, err)
		}
		if shown := fmt.Sprintf("%v %s %d %#v", s, s, s, s); strings.Contains(shown, "hunter2") {
			t.Errorf("%s shows as %s", url, shown)
		}
	}
	for _, url := range []string{"", "siem.example.org", "http://siem.example.org/hunter2", "ftp://siem.example.org", "https://", "https:///path", "https:siem",
		"https://user:hunter2@siem.example.org", "https://h:0", "https://h:65536", "https://h#hunter2", "https://h:hunter2", "https://[::1"} {
		if s, err := ParseSettings(url, false); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, %v", url, s, err)
		}
	}
	if _, err := ParseSettings("http://siem.example.org", true); err != nil {
		t.Error(err)
	}
}

func TestSecrets(t *testing.T) {
	for _, length := range []int{24, 32, 64} {
		if err := CheckSecret(NewSecret(make([]byte, length))); err != nil {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
	for _, text := range []string{"", "hunter2", "whsec_", "whsec_!", base64.StdEncoding.EncodeToString(make([]byte, 32)),
		NewSecret(make([]byte, 23)).Reveal(), NewSecret(make([]byte, 65)).Reveal(), NewSecret(make([]byte, 32)).Reveal() + "\n"} {
		if err := CheckSecret(secret.NewText(text)); err != ErrSecret {
			t.Errorf("%q: %v", text, err)
		}
	}
}
