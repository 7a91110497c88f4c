// Package secerr defines the errors that leave package security. An Error
// carries a stable code and a sentence for the person who made the request;
// the cause stays inside for the log. Nothing here knows HTTP: one table in
// package handlers turns a code into a status.
package secerr

import (
	"errors"
	"strings"
	"time"
)

// Code names a kind of refusal. The values are part of the API (problem+json
// member "code") and never change their meaning.
type Code string

// The codes of the contract, and precondition_failed, which joined them.
const (
	BadRequest            Code = "bad_request"
	Unauthenticated       Code = "unauthenticated"
	TokenExpired          Code = "token_expired"
	TokenRevoked          Code = "token_revoked"
	InvalidCredentials    Code = "invalid_credentials"
	InvalidCode           Code = "invalid_code"
	CaptchaRequired       Code = "captcha_required"
	Forbidden             Code = "forbidden"
	InsufficientScope     Code = "insufficient_scope"
	MFAEnrollmentRequired Code = "mfa_enrollment_required"
	CSRFFailed            Code = "csrf_failed"
	IPBlocked             Code = "ip_blocked"
	NonceInvalid          Code = "nonce_invalid"
	NotFound              Code = "not_found"
	MethodNotAllowed      Code = "method_not_allowed"
	Conflict              Code = "conflict"
	PreconditionFailed    Code = "precondition_failed"
	PayloadTooLarge       Code = "payload_too_large"
	UnsupportedMediaType  Code = "unsupported_media_type"
	ValidationFailed      Code = "validation_failed"
	NonceRequired         Code = "nonce_required"
	RateLimited           Code = "rate_limited"
	AccountLocked         Code = "account_locked"
	Internal              Code = "internal"
	Unavailable           Code = "unavailable"
)

// Field is one refused input: the name as the client sent it and a sentence
// that says what would be accepted.
type Field struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Error is a refusal. Detail is shown to the person and must hold neither a
// secret nor anything internal; Err is for the log alone.
type Error struct {
	Code       Code
	Detail     string
	Fields     []Field       // only with ValidationFailed
	RetryAfter time.Duration // zero when there is nothing to wait for
	Captcha    any           // the challenge, only with CaptchaRequired; what JSON can hold
	Err        error
}

// New returns a refusal with a sentence for the person who asked.
func New(code Code, detail string) *Error {
	return &Error{Code: code, Detail: detail}
}

// Wrap is New with a cause for the log.
func Wrap(code Code, detail string, cause error) *Error {
	return &Error{Code: code, Detail: detail, Err: cause}
}

// Invalid refuses one field of the input.
func Invalid(field, detail string) *Error {
	return InvalidFields(Field{Field: field, Detail: detail})
}

// InvalidFields refuses several fields at once.
func InvalidFields(fields ...Field) *Error {
	return &Error{Code: ValidationFailed, Detail: "Some of the input was not accepted.", Fields: fields}
}

// Busy says that the work could not be taken on now and when to try again.
func Busy(detail string, retryAfter time.Duration, cause error) *Error {
	return &Error{Code: Unavailable, Detail: detail, RetryAfter: retryAfter, Err: cause}
}

// Error is for logs. It names the code, the refused fields and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	for _, f := range e.Fields {
		b.WriteString(" [" + f.Field + ": " + f.Detail + "]")
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the outermost Error in err's chain. An error without
// one is Internal: what was not foreseen is nobody's business outside.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// FieldsOf are the refused fields that err names, if any.
func FieldsOf(err error) []Field {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Fields
	}
	return nil
}

// Is reports whether err carries the code.
func Is(err error, code Code) bool {
	return err != nil && CodeOf(err) == code
}
