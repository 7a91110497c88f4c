package mail_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-smtp"

	"patronus.internal/dashboard/security/mail"
)

var hello = mail.Message{To: "bob@example.net", Subject: "Hello", Body: "Hello Bob\n"}

func TestDeliveredMessage(t *testing.T) {
	s := start(t, &server{}, nil)
	body := "Grüße aus Łódź ✓\n.\n.. dots\nFrom here = there\n" + strings.Repeat("long ", 300) + "\nend  \n"
	subject := strings.Repeat("Neue Anmeldung für ✉ ", 5) + "Łódź"
	message := mail.Message{ID: "01J-x_9", To: "bob@example.net", Subject: subject, Body: body}
	if err := sender(t, "smtp://127.0.0.1", s.address, mail.Options{}).Send(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	got := s.only(t)
	if got.from != "no-reply@example.org" || got.to != "bob@example.net" || got.utf8 {
		t.Errorf("envelope: %+v", got)
	}
	parsed, err := netmail.ReadMessage(strings.NewReader(got.data))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"To": "<bob@example.net>", "Date": "Wed, 04 Mar 2026 04:06:07 +0000", "Message-Id": "<01J-x_9@example.org>",
		"Auto-Submitted": "auto-generated", "Mime-Version": "1.0", "Content-Type": "text/plain; charset=UTF-8",
		"Content-Transfer-Encoding": "quoted-printable",
	} {
		if value := parsed.Header[name]; len(value) != 1 || value[0] != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if len(parsed.Header) != 9 {
		t.Errorf("more header fields than wanted: %v", parsed.Header)
	}
	if from, err := parsed.Header.AddressList("From"); err != nil || *from[0] != (netmail.Address{Name: "Wächter", Address: "no-reply@example.org"}) {
		t.Errorf("From: %v, %v", from, err)
	}
	if text, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject")); err != nil || text != subject {
		t.Errorf("Subject: %q, %v", text, err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if want := strings.ReplaceAll(body, "\n", "\r\n"); err != nil || strings.TrimSuffix(string(text), "\r\n") != strings.TrimSuffix(want, "\r\n") {
		t.Errorf("body: %q, %v", text, err)
	}
	for line := range strings.SplitSeq(got.data, "\r\n") {
		if len(line) > 78 || strings.Trim(line, "\x20\x21\x22\x23\x24\x25\x26\x27\x28\x29\x2a\x2b\x2c\x2d\x2e\x2f0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "" {
			t.Errorf("a line is longer than 78 or not ASCII: %q", line)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	s := start(t, &server{}, nil)
	o := mail.Options{Rand: strings.NewReader(strings.Repeat("\x01", 16))}
	if err := sender(t, "smtp://127.0.0.1", s.address, o).Send(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if data := s.only(t).data; !strings.Contains(data, "\r\nMessage-ID: <"+strings.Repeat("01", 16)+"@example.org>\r\n") {
		t.Errorf("no Message-ID drawn:\n%s", data)
	}
	broken := mail.Options{Rand: iotest.ErrReader(errors.New("dry"))}
	if err := sender(t, "smtp://127.0.0.1", s.address, broken).Send(t.Context(), hello); err == nil || mail.Permanent(err) {
		t.Errorf("without randomness: %v", err)
	}
}

// Spaces are where a long header field is folded.
func TestSpacesDoNotEndTheHeader(t *testing.T) {
	s := start(t, &server{}, nil)
	message := hello
	message.Subject = strings.Repeat("a", 60) + "     " + strings.Repeat("b", 90) + "   "
	if err := sender(t, "smtp://127.0.0.1", s.address, mail.Options{}).Send(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(s.only(t).data, "\r\n\r\n")
	for line := range strings.SplitSeq(header, "\r\n") {
		if strings.TrimSpace(line) == "" {
			t.Errorf("a line that looks empty in the header:\n%q", header)
		}
	}
	if !strings.Contains(header, "\r\nContent-Type: ") {
		t.Errorf("the header ends early:\n%s", header)
	}
}

func TestRefusedMessages(t *testing.T) {
	s := start(t, &server{}, nil)
	mails := sender(t, "smtp://127.0.0.1", s.address, mail.Options{})
	tests := map[string]func(*mail.Message){
		"no To":               func(m *mail.Message) { m.To = "" },
		"To with CRLF":        func(m *mail.Message) { m.To = "bob@example.net\r\nBcc: eve@example.net" },
		"To with LF":          func(m *mail.Message) { m.To = "bob@example.net\n" },
		"To with a command":   func(m *mail.Message) { m.To = "bob@example.net> SIZE=1" },
		"two in To":           func(m *mail.Message) { m.To = "bob@example.net, eve@example.net" },
		"To with a name":      func(m *mail.Message) { m.To = "Bob <bob@example.net>" },
		"To in quotes":        func(m *mail.Message) { m.To = `"bob>"@example.net` },
		"To outside ASCII":    func(m *mail.Message) { m.To = "bøb@example.net" },
		"To without a domain": func(m *mail.Message) { m.To = "bob" },
		"a long To":           func(m *mail.Message) { m.To = "bob@" + strings.Repeat("a.", 200) + "net" },
		"Subject with CRLF":   func(m *mail.Message) { m.Subject = "Hello\r\nBcc: eve@example.net" },
		"Subject with CR":     func(m *mail.Message) { m.Subject = "Hello\rBcc: eve@example.net" },
		"Subject with LF":     func(m *mail.Message) { m.Subject = "Hello\n\nbody" },
		"Subject with U+2028": func(m *mail.Message) { m.Subject = "Hello\u2028there" },
		"Subject not UTF-8":   func(m *mail.Message) { m.Subject = "Hello \xff" },
		"a long Subject":      func(m *mail.Message) { m.Subject = strings.Repeat("a", 256) },
		"Body not UTF-8":      func(m *mail.Message) { m.Body = "\xff" },
		"ID with CRLF":        func(m *mail.Message) { m.ID = "1\r\nBcc: eve@example.net" },
		"ID with a domain":    func(m *mail.Message) { m.ID = "1@example.org" },
		"a long ID":           func(m *mail.Message) { m.ID = strings.Repeat("1", 65) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			message := hello
			change(&message)
			if err := mails.Send(t.Context(), message); !mail.Permanent(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	s.untouched(t)
}

func TestPrivateConnections(t *testing.T) {
	config, pool := certificate(t, "mail.example.org", "127.0.0.1")
	secure := func(s *smtp.Server) { s.TLSConfig = config }
	for name, smtpURL := range map[string]string{
		"STARTTLS":                "smtp://" + userinfo + "mail.example.org",
		"STARTTLS on the machine": "smtp://" + userinfo + "127.0.0.1",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &server{}, secure)
			if err := sender(t, smtpURL, s.address, mail.Options{RootCAs: pool}).Send(t.Context(), hello); err != nil {
				t.Fatal(err)
			}
			if got := s.only(t); !got.encrypted || got.user != user {
				t.Errorf("encrypted: %v, user %q", got.encrypted, got.user)
			}
		})
	}
	t.Run("smtps", func(t *testing.T) {
		// go-smtp leaves it to the listener to speak TLS first.
		s := start(t, &server{}, nil)
		front := script(t, func(conn net.Conn) {
			back, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Error(err)
				return
			}
			defer back.Close()
			private := tls.Server(conn, config)
			go func() {
				_, _ = io.Copy(back, private)
				back.Close()
			}()
			_, _ = io.Copy(private, back)
		})
		if err := sender(t, "smtps://"+userinfo+"mail.example.org", front, mail.Options{RootCAs: pool}).Send(t.Context(), hello); err != nil {
			t.Fatal(err)
		}
		if got := s.only(t); got.user != user {
			t.Errorf("user %q", got.user)
		}
		err := sender(t, "smtps://"+userinfo+"mail.example.org", front, mail.Options{}).Send(t.Context(), hello)
		if err == nil || mail.Permanent(err) || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("with a certificate that nobody vouches for: %v", err)
		}
	})
	for name, test := range map[string]struct {
		smtpURL string
		o       mail.Options
		setUp   func(*smtp.Server)
	}{
		"nobody vouches for the certificate":            {"smtp://" + userinfo + "mail.example.org", mail.Options{}, secure},
		"nobody vouches for it, on the machine":         {"smtp://" + userinfo + "127.0.0.1", mail.Options{}, secure},
		"the certificate is another's":                  {"smtp://" + userinfo + "mail.example.com", mail.Options{RootCAs: pool}, secure},
		"STARTTLS is not offered":                       {"smtp://" + userinfo + "mail.example.org", mail.Options{}, nil},
		"STARTTLS is not offered, and nothing to guard": {"smtp://mail.example.org", mail.Options{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &server{}, test.setUp)
			err := sender(t, test.smtpURL, s.address, test.o).Send(t.Context(), hello)
			if err == nil || mail.Permanent(err) || !strings.Contains(err.Error(), "making the connection private") {
				t.Errorf("got %v", err)
			}
			s.untouched(t)
		})
	}
}

func TestSigningIn(t *testing.T) {
	tests := []struct {
		name       string
		smtpURL    string
		mechanisms []string
		ok         bool
	}{
		{"PLAIN", "smtp://" + userinfo + "127.0.0.2?tls=none", nil, true},
		{"LOGIN", "smtp://" + userinfo + "localhost", []string{"LOGIN"}, true},
		{"PLAIN before LOGIN", "smtp://" + userinfo + "[::1]", []string{"LOGIN", "PLAIN"}, true},
		{"a wrong password", "smtp://ann%40example.org:wr0ng-one@localhost", nil, false},
		{"a wrong password with LOGIN", "smtp://ann%40example.org:wr0ng-one@localhost", []string{"LOGIN"}, false},
		{"nothing in common", "smtp://ann%40example.org:wr0ng-one@localhost", []string{"XOAUTH2"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, &server{mechanisms: test.mechanisms}, nil)
			err := sender(t, test.smtpURL, s.address, mail.Options{}).Send(t.Context(), hello)
			if test.ok {
				if got := s.only(t); err != nil || got.user != user {
					t.Errorf("user %q, %v", got.user, err)
				}
				return
			}
			if err == nil || mail.Permanent(err) || !strings.Contains(err.Error(), "signing in") || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	no := func(code int, enhanced smtp.EnhancedCode) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "no,\n<bob>"}
	}
	tests := []struct {
		name      string
		server    *server
		permanent bool
	}{
		{"recipient, later", &server{rcptErr: no(450, smtp.EnhancedCode{4, 2, 0})}, false},
		{"recipient, never", &server{rcptErr: no(550, smtp.EnhancedCode{5, 1, 1})}, true},
		{"recipient, never, in short", &server{rcptErr: no(550, smtp.NoEnhancedCode)}, true},
		{"recipient, malformed", &server{rcptErr: no(501, smtp.EnhancedCode{5, 1, 3})}, true},
		{"recipient, not before signing in", &server{rcptErr: no(530, smtp.EnhancedCode{5, 7, 0})}, false},
		{"recipient, no relaying", &server{rcptErr: no(554, smtp.EnhancedCode{5, 7, 1})}, false},
		{"recipient, but the sender is meant", &server{rcptErr: no(550, smtp.EnhancedCode{5, 1, 8})}, false},
		{"recipient, out of sequence", &server{rcptErr: no(503, smtp.EnhancedCode{5, 5, 1})}, false},
		{"sender, later", &server{mailErr: no(451, smtp.EnhancedCode{4, 7, 1})}, false},
		{"sender, never", &server{mailErr: no(553, smtp.EnhancedCode{5, 7, 1})}, false},
		{"message, later", &server{dataErr: no(452, smtp.EnhancedCode{4, 3, 1})}, false},
		{"message, never", &server{dataErr: no(554, smtp.EnhancedCode{5, 7, 1})}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, test.server, nil)
			err := sender(t, "smtp://127.0.0.1", s.address, mail.Options{}).Send(t.Context(), hello)
			if err == nil || mail.Permanent(err) != test.permanent || strings.Contains(err.Error(), "\n") {
				t.Errorf("permanent = %v: %v", mail.Permanent(err), err)
			}
			if mail.Permanent(fmt.Errorf("wrapped: %w", err)) != test.permanent {
				t.Error("wrapped it is another")
			}
		})
	}
	if mail.Permanent(nil) || mail.Permanent(errors.New("550 no")) {
		t.Error("permanent without an answer")
	}
}

// answer answers each command by what it begins with until there is none.
func answer(conn net.Conn, answers map[string]string) {
	_, _ = io.WriteString(conn, "220 here\r\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		verb, _, _ := strings.Cut(lines.Text(), " ")
		reply, ok := answers[verb]
		if !ok {
			return
		}
		_, _ = io.WriteString(conn, strings.ReplaceAll(reply, "$", lines.Text())+"\r\n")
	}
}

func TestBrokenOff(t *testing.T) {
	all := map[string]string{"EHLO": "250 here", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on"}
	for _, missing := range []string{"EHLO", "MAIL", "RCPT", "DATA", "."} {
		t.Run("at "+missing, func(t *testing.T) {
			address := script(t, func(conn net.Conn) {
				answers := map[string]string{}
				for verb, reply := range all {
					if verb != missing {
						answers[verb] = reply
					}
				}
				answer(conn, answers)
			})
			err := sender(t, "smtp://127.0.0.1", address, mail.Options{}).Send(t.Context(), hello)
			if err == nil || mail.Permanent(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("after it was taken", func(t *testing.T) {
		address := script(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "220 here\r\n")
			inData := false
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				verb, _, _ := strings.Cut(lines.Text(), " ")
				switch {
				case inData && verb == ".":
					_, _ = io.WriteString(conn, "250 taken\r\n")
					return
				case inData:
				default:
					inData = verb == "DATA"
					_, _ = io.WriteString(conn, all[verb]+"\r\n")
				}
			}
		})
		if err := sender(t, "smtp://127.0.0.1", address, mail.Options{}).Send(t.Context(), hello); err != nil {
			t.Errorf("would be sent again: %v", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		err = sender(t, "smtp://127.0.0.1", listener.Addr().String(), mail.Options{}).Send(t.Context(), hello)
		if err == nil || mail.Permanent(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSilence(t *testing.T) {
	for _, smtpURL := range []string{"smtp://127.0.0.1", "smtps://127.0.0.1"} {
		t.Run(smtpURL, func(t *testing.T) {
			began := make(chan struct{}, 1)
			address := script(t, func(conn net.Conn) {
				began <- struct{}{}
				_, _ = io.Copy(io.Discard, conn) // until the other side gives up
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-began
				cancel()
			}()
			err := sender(t, smtpURL, address, mail.Options{}).Send(ctx, hello)
			if !errors.Is(err, context.Canceled) || mail.Permanent(err) {
				t.Errorf("canceled: %v", err)
			}
			go func() { <-began }()
			err = sender(t, smtpURL, address, mail.Options{Timeout: 20 * time.Millisecond}).Send(t.Context(), hello)
			if !errors.Is(err, context.DeadlineExceeded) || mail.Permanent(err) {
				t.Errorf("timed out: %v", err)
			}
		})
	}
}

// Some servers repeat the command that they do not take.
func TestPasswordIsNotRepeated(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	for _, said := range []string{"$", password, base64.StdEncoding.EncodeToString([]byte(password)), strings.Repeat("x", 490) + "$"} {
		address := script(t, func(conn net.Conn) {
			answer(conn, map[string]string{"EHLO": "250-here\r\n250 AUTH PLAIN", "AUTH": "535 " + said, "*": "501 ok", "QUIT": "221 bye"})
		})
		err := sender(t, "smtp://"+userinfo+"127.0.0.1", address, mail.Options{}).Send(t.Context(), hello)
		if err == nil || mail.Permanent(err) {
			t.Fatalf("got %v", err)
		}
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
				if text := fmt.Sprintf(verb, cause); strings.Contains(text, password) || strings.Contains(text, encoded[:20]) || len(text) > 700 {
					t.Errorf("%s tells: %s", verb, text)
				}
			}
		}
	}
}
