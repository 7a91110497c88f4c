package mail

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/secret"
)

const from = "Dashboard <no-reply@example.org>"

func TestParseSettings(t *testing.T) {
	tests := []struct {
		url, shown     string
		protection     protection
		user, password string
	}{
		{"smtp://mail.example.org", "smtp://mail.example.org:587", startTLSRequired, "", ""},
		{"SMTP://mail.example.org/", "smtp://mail.example.org:587", startTLSRequired, "", ""},
		{"smtp://ann:hunter2@mail.example.org:25", "smtp://mail.example.org:25", startTLSRequired, "ann", "hunter2"},
		{"smtp://ann%40example.org:a%3Ab%2Fc%40@192.0.2.1", "smtp://192.0.2.1:587", startTLSRequired, "ann@example.org", "a:b/c@"},
		{"smtps://ann:hunter2@[2001:db8::1]", "smtps://[2001:db8::1]:465", implicitTLS, "ann", "hunter2"},
		{"smtps://localhost:4650", "smtps://localhost:4650", implicitTLS, "", ""},
		{"smtp://localhost:1025", "smtp://localhost:1025", startTLSIfOffered, "", ""},
		{"smtp://ann:hunter2@[::1]?tls=none", "smtp://[::1]:587?tls=none", plainText, "ann", "hunter2"},
		{"smtp://mail_relay:25?tls=none", "smtp://mail_relay:25?tls=none", plainText, "", ""},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			s, err := ParseSettings(test.url, from)
			if err != nil {
				t.Fatal(err)
			}
			if s.String() != test.shown || s.protection != test.protection || s.user.Reveal() != test.user || s.password.Reveal() != test.password {
				t.Errorf("got %s, %d, %q, %q", s, s.protection, s.user.Reveal(), s.password.Reveal())
			}
		})
	}
}

func TestRefusedSettings(t *testing.T) {
	const good = "smtp://ann:hunter2@mail.example.org"
	tests := []struct {
		url, from string
		want      error
	}{
		{"", from, errScheme},
		{"mail.example.org:25", from, errScheme},
		{"hunter2", from, errScheme},
		{"http://mail.example.org", from, errScheme},
		{"smtp:mail.example.org", from, errHost},
		{"smtp://", from, errHost},
		{"smtp://ann:hunter2@", from, errHost},
		{"smtp://ann:hunter2@:25", from, errHost},
		{"smtp://mail.bücher.example", from, errHost},
		{"smtp://mail;example.org", from, errHost},
		{"smtp://[fe80::1%25eth0]", from, errHost},
		{"smtp://ann:hunter2#@mail.example.org", from, errURL},
		{"smtp://ann:hunter2%@mail.example.org", from, errURL},
		{"smtp://ann:1?hunter2@mail.example.org", from, errQuery},
		{"smtp://ann:1/hunter2@mail.example.org", from, errPath},
		{"smtp://mail.example.org:0", from, errPort},
		{"smtp://mail.example.org:65536", from, errPort},
		{"smtp://mail.example.org:smtp", from, errURL},
		{"smtp://mail.example.org/hunter2", from, errPath},
		{"smtp://mail.example.org#hunter2", from, errPath},
		{good + "?hunter2", from, errQuery},
		{good + "?tls=hunter2", from, errQuery},
		{good + "?a;b", from, errQuery},
		{good + "?tls=none&tls=none", from, errQuery},
		{"smtps://mail.example.org?tls=none", from, errQuery},
		{"smtp://ann@mail.example.org", from, errCredentials},
		{"smtp://:hunter2@mail.example.org", from, errCredentials},
		{"smtp://ann:hunter2%00@mail.example.org", from, errCredentials},
		{good + "?tls=none", from, errClear},
		{good, "", errFrom},
		{good, "no-reply", errFrom},
		{good, "a@example.org, b@example.org", errFrom},
		{good, "no-reply@bücher.example", errFrom},
		{good, "Dashboard <no-reply@example.org>\r\nBcc: eve@example.org", errFrom},
		{good, "=?utf-8?q?a=0D=0ABcc:_eve?= <no-reply@example.org>", errFrom},
		{good, `"no>reply"@example.org`, errFrom},
	}
	for _, test := range tests {
		t.Run(test.url+" "+test.from, func(t *testing.T) {
			s, err := ParseSettings(test.url, test.from)
			if err != test.want || s != (Settings{}) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("tells the password: %v", err)
			}
		})
	}
	if _, err := NewSender(Settings{}, Options{}); err == nil {
		t.Error("a Sender without settings")
	}
}

func TestSettingsDoNotTellThePassword(t *testing.T) {
	s, err := ParseSettings("smtp://token-of-ann:hunter2@mail.example.org", from)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := NewSender(s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, value := range []any{s, &s, struct{ s Settings }{s}, []Settings{s}, sender, *sender} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, "hunter2") || strings.Contains(text, "token-of-ann") {
				t.Errorf("%s of %T: %s", verb, value, text)
			}
		}
	}
}

// A server beyond this machine never gets clear text that was not asked for.
func TestProtection(t *testing.T) {
	const refuse = "refuse"
	tests := []struct {
		scheme, host          string
		clear                 bool
		offered, withoutOffer string
	}{
		{"smtp", "mail.example.org", false, "tls", refuse},
		{"smtp", "192.0.2.1", false, "tls", refuse},
		{"smtp", "localhost.example.org", false, "tls", refuse},
		{"smtp", "127.0.0.1.example.org", false, "tls", refuse},
		{"smtp", "0.0.0.0", false, "tls", refuse},
		{"smtp", "mail.example.org", true, "clear", "clear"},
		{"smtp", "localhost", false, "tls", "clear"},
		{"smtp", "LOCALHOST", false, "tls", "clear"},
		{"smtp", "127.8.9.1", false, "tls", "clear"},
		{"smtp", "::1", false, "tls", "clear"},
		{"smtp", "::ffff:127.0.0.1", false, "tls", "clear"},
		{"smtp", "localhost", true, "clear", "clear"},
		{"smtps", "mail.example.org", false, "implicit", "implicit"},
		{"smtps", "localhost", false, "implicit", "implicit"},
	}
	for _, test := range tests {
		p := protectionOf(test.scheme, test.host, test.clear)
		for offered, want := range map[bool]string{true: test.offered, false: test.withoutOffer} {
			got := "clear"
			switch upgrade, err := p.startTLS(offered); {
			case err != nil:
				got = refuse
			case upgrade:
				got = "tls"
			case p == implicitTLS:
				got = "implicit"
			}
			if got != want {
				t.Errorf("%s://%s, clear %v, offered %v: %s, want %s", test.scheme, test.host, test.clear, offered, got, want)
			}
		}
	}
	if (Settings{}).protection != startTLSRequired {
		t.Error("the zero value protects less than it could")
	}
}

func TestHeloName(t *testing.T) {
	tests := []struct{ hostname, local, want string }{
		{"dashboard.example.org", "192.0.2.1:9", "dashboard.example.org"},
		{"3f2a9c", "172.17.0.2:9", "[172.17.0.2]"},
		{"", "[2001:db8::1]:9", "[IPv6:2001:db8::1]"},
		{"a.b\r\nc", "[fe80::1%1]:9", "[IPv6:fe80::1]"},
		{"x", "[::ffff:192.0.2.1]:9", "[192.0.2.1]"},
	}
	for _, test := range tests {
		local, err := net.ResolveTCPAddr("tcp", test.local)
		if err != nil {
			t.Fatal(err)
		}
		if got := heloName(test.hostname, local); got != test.want {
			t.Errorf("%q at %s: %q, want %q", test.hostname, test.local, got, test.want)
		}
	}
	if got := heloName("x", &net.UnixAddr{Name: "@"}); got != "localhost" {
		t.Errorf("without an IP address: %q", got)
	}
}

func FuzzParseSettings(f *testing.F) {
	for _, seed := range []string{
		"smtp://mail.example.org", "smtps://ann:hunter2@mail.example.org:465/", "smtp://ann:hunter2@[::1]:25?tls=none",
		"smtp://a%40b:c%3Ad@192.0.2.1", "smtp://ann:h#2@host", "smtp:host", "smtp://[fe80::1%25eth0]", "smtp://h?tls=none&x=1",
	} {
		f.Add(seed, from)
	}
	f.Add("smtp://localhost", "=?utf-8?q?W=C3=A4chter?= <no-reply@example.org>")
	f.Add("smtp://localhost", `"a  b" <no-reply@example.org>`)
	f.Fuzz(func(t *testing.T, smtpURL, from string) {
		s, err := ParseSettings(smtpURL, from)
		if err != nil {
			if s != (Settings{}) {
				t.Error("settings beside an error")
			}
			return
		}
		if !s.password.Empty() && s.protection == plainText && !isLoopback(s.host) {
			t.Error("a password in clear text")
		}
		again, err := ParseSettings(s.String(), s.from.String())
		if s.user, s.password = (secret.Text{}), (secret.Text{}); err != nil || again != s {
			t.Errorf("%s comes back as %s, %v", s, again, err)
		}
		sender, err := NewSender(s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sender.compose(Message{To: "bob@example.net"}); err != nil {
			t.Error(err)
		}
	})
}
