package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

const (
	mediaJSON       = "application/json"
	mediaMergePatch = "application/merge-patch+json" // RFC 7396
	mediaForm       = "application/x-www-form-urlencoded"

	// maxJSONDepth is far beyond any body of the API; the deepest, a policy,
	// needs three.
	maxJSONDepth = 16

	// maxQuotedName bounds what of the client's own words a refusal repeats.
	// It is shorter than an API key (67), so that a key in the wrong place
	// reaches neither the answer nor the log.
	maxQuotedName = 60
)

// strict is how every body is read: names are case-sensitive and may not
// repeat, text is valid UTF-8, nothing follows the value (all defaults of the
// library), unknown members and misplaced nulls are refused.
var strict = json.JoinOptions(
	json.RejectUnknownMembers(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(refuseNull)),
)

var errNull = errors.New("null where a value is needed")

// decodeJSON reads the body of a call into dst. PATCH also takes a merge
// patch. It returns unsupported_media_type, payload_too_large, or bad_request
// with a sentence that names the member and repeats no value.
func decodeJSON[T any](c echo.Context, dst *T) error {
	accepted := []string{mediaJSON}
	if c.Request().Method == http.MethodPatch {
		accepted = append(accepted, mediaMergePatch)
	}
	if err := checkMedia(c.Request(), accepted...); err != nil {
		return err
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	return unmarshalStrict(body, dst)
}

// decodeNoBody accepts no body, or an empty object, where a call takes none.
func decodeNoBody(c echo.Context) error {
	return decodeOptional(c, &struct{}{})
}

// decodeOptional is decodeJSON for a call that also takes no body at all.
func decodeOptional[T any](c echo.Context, dst *T) error {
	body, err := readBody(c)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	if err := checkMedia(c.Request(), mediaJSON); err != nil {
		return err
	}
	return unmarshalStrict(body, dst)
}

// checkMedia refuses a body whose one Content-Type is not accepted, is in a
// charset other than UTF-8, or is encoded: nothing here unpacks.
func checkMedia(r *http.Request, accepted ...string) error {
	for _, encoding := range r.Header.Values("Content-Encoding") {
		if !strings.EqualFold(strings.TrimSpace(encoding), "identity") {
			return secerr.New(secerr.UnsupportedMediaType, "Send the body without a Content-Encoding.")
		}
	}
	wanted := secerr.New(secerr.UnsupportedMediaType, "Send the body as "+strings.Join(accepted, " or ")+".")
	values := r.Header.Values("Content-Type")
	if len(values) != 1 {
		return wanted
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || !slices.Contains(accepted, media) {
		return wanted
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return secerr.New(secerr.UnsupportedMediaType, "Send the body in UTF-8, without other parameters to its Content-Type.")
		}
	}
	return nil
}

// readBody reads at most maxBodyBytes, however long the client said it is.
func readBody(c echo.Context) ([]byte, error) {
	tooLarge := secerr.New(secerr.PayloadTooLarge, tooLargeDetail)
	body, err := io.ReadAll(io.LimitReader(c.Request().Body, maxBodyBytes+1))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || len(body) > maxBodyBytes {
		return nil, tooLarge
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return nil, secerr.Wrap(secerr.BadRequest, "The body did not arrive in time.", err)
	}
	if err != nil {
		return nil, secerr.Wrap(secerr.BadRequest, "The body could not be read to its end.", err)
	}
	return body, nil
}

// unmarshalStrict decodes a body that was read whole.
func unmarshalStrict(body []byte, dst any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return secerr.New(secerr.BadRequest, "The body is empty; send a JSON object.")
	}
	if err := checkTokens(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, dst, strict); err != nil {
		return jsonRefusal(err)
	}
	return nil
}

// checkTokens walks the text once before anything is built from it: it bounds
// the depth and refuses NUL, raw or escaped, which databases, C libraries and
// logs each cut or drop in their own way. Grammar errors surface here too.
func checkTokens(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.ReadToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return jsonRefusal(err)
		}
		if d.StackDepth() > maxJSONDepth {
			return secerr.New(secerr.BadRequest, fmt.Sprintf("The body is nested more than %d deep.", maxJSONDepth))
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return secerr.New(secerr.BadRequest, memberName(d.StackPointer())+" holds a NUL character.")
		}
	}
}

// refuseNull is asked before each value is decoded. Null is "no value" where
// the Go type can say so; elsewhere it would silently become an empty text, 0
// or false.
func refuseNull(d *jsontext.Decoder, dst any) error {
	if d.PeekKind() == 'n' {
		switch dst.(type) {
		case *jsontext.Value, *any, interface{ takesNull() }:
			return errors.ErrUnsupported
		}
		if t := reflect.TypeOf(dst).Elem(); t.Kind() != reflect.Pointer {
			return &json.SemanticError{GoType: t, Err: errNull}
		}
	}
	return errors.ErrUnsupported
}

// jsonRefusal words an error of the JSON library without its text, which may
// quote values.
func jsonRefusal(err error) error {
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		name := memberName(e.JSONPointer)
		switch {
		case errors.Is(e, json.ErrUnknownName):
			return secerr.New(secerr.BadRequest, name+" is not known here.")
		case e.GoType != nil:
			return secerr.New(secerr.BadRequest, name+" must be "+kindName(e.GoType)+".")
		}
		return secerr.New(secerr.BadRequest, name+" is not of the right type.")
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(e, jsontext.ErrDuplicateName) {
			return secerr.New(secerr.BadRequest, memberName(e.JSONPointer)+" is there twice.")
		}
		if errors.Is(e, io.ErrUnexpectedEOF) {
			return secerr.New(secerr.BadRequest, "The body ends in the middle of its JSON.")
		}
		return secerr.New(secerr.BadRequest, fmt.Sprintf("The body is not valid JSON in UTF-8, at byte %d.", e.ByteOffset))
	}
	return secerr.Wrap(secerr.BadRequest, "The body could not be understood.", err)
}

// memberName names the place of an error as a JSON Pointer (RFC 6901).
func memberName(pointer jsontext.Pointer) string {
	if pointer == "" {
		return "The body"
	}
	if !quotable(string(pointer)) {
		return "A member of the body"
	}
	return `The member "` + string(pointer) + `"`
}

// quotable reports whether a name that the client made up may be repeated to
// it: short and of plain characters.
func quotable(name string) bool {
	return len(name) <= maxQuotedName && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./~:*", r)
	})
}

// kindName says in words what a Go type takes.
func kindName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number in range"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number in range, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map:
		return "an object"
	case reflect.Struct:
		if of, ok := reflect.Zero(t).Interface().(interface{ takes() reflect.Type }); ok {
			return kindName(of.takes())
		}
		// A struct that reads itself from text, as a secret does, is a string.
		if reflect.PointerTo(t).Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()) {
			return "a string"
		}
		return "an object"
	}
	return "a string"
}

// given is a member that may be left out, and is not null when it is there: of
// what it stands for nothing can be removed (RFC 7396 §2).
type given[T any] struct{ value *T }

func (given[T]) takes() reflect.Type { return reflect.TypeFor[T]() }

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (g *given[T]) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	g.value = new(T)
	return json.UnmarshalDecode(decoder, g.value)
}

// removable is a member that may be left out, and that null removes (RFC 7396 §2).
type removable[T any] struct {
	value *T
	null  bool
}

func (removable[T]) takes() reflect.Type { return reflect.TypeFor[T]() }

func (*removable[T]) takesNull() {}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (r *removable[T]) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() == 'n' {
		r.null = true
		return decoder.SkipValue()
	}
	r.value = new(T)
	return json.UnmarshalDecode(decoder, r.value)
}

// or is the value, and what stands for it where it is removed; nil where it was
// left out.
func (r removable[T]) or(removed T) *T {
	if r.null {
		return &removed
	}
	return r.value
}
