package secerr

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestCodeAndCause(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		code  Code
		text  string
		cause error
	}{
		{"plain", New(NotFound, "No such key."), NotFound, "not_found: No such key.", nil},
		{"without a sentence", New(Internal, ""), Internal, "internal", nil},
		{"with a cause", Wrap(Unauthenticated, "Sign in.", io.EOF), Unauthenticated, "unauthenticated: Sign in.: EOF", io.EOF},
		{"busy", Busy("Later.", time.Second, io.EOF), Unavailable, "unavailable: Later.: EOF", io.EOF},
		{"one field", Invalid("email", "Write one."), ValidationFailed, "validation_failed: Some of the input was not accepted. [email: Write one.]", nil},
		{"fields", InvalidFields(Field{"a", "A."}, Field{"b", "B."}), ValidationFailed, "validation_failed: Some of the input was not accepted. [a: A.] [b: B.]", nil},
		{"wrapped", fmt.Errorf("login: %w", Wrap(Conflict, "Taken.", io.EOF)), Conflict, "login: conflict: Taken.: EOF", io.EOF},
		{"joined", errors.Join(io.EOF, New(Forbidden, "No.")), Forbidden, "EOF\nforbidden: No.", io.EOF},
		{"the outermost counts", Wrap(NotFound, "Gone.", New(Forbidden, "No.")), NotFound, "not_found: Gone.: forbidden: No.", nil},
		{"not foreseen", io.EOF, Internal, "EOF", io.EOF},
	} {
		if CodeOf(c.err) != c.code || !Is(c.err, c.code) || Is(c.err, RateLimited) || c.err.Error() != c.text {
			t.Errorf("%s: %s, %q", c.name, CodeOf(c.err), c.err)
		}
		if c.cause != nil && !errors.Is(c.err, c.cause) {
			t.Errorf("%s: the cause is lost", c.name)
		}
	}
	if Is(nil, Internal) {
		t.Error("no error has a code")
	}
}

func TestWhatAnAnswerNeeds(t *testing.T) {
	if e := Busy("Later.", 3*time.Second, io.EOF); e.RetryAfter != 3*time.Second || e.Detail != "Later." || e.Fields != nil {
		t.Errorf("%+v", e)
	}
	if e := Invalid("email", "Write one."); len(e.Fields) != 1 || e.Fields[0] != (Field{"email", "Write one."}) || e.RetryAfter != 0 {
		t.Errorf("%+v", e)
	}
}
