package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// personalNames are details that tell of a person whatever they look like: what
// somebody named, wrote or searched for, and where they were.
var personalNames = map[string]bool{
	"name": true, "device": true, "q": true, "country": true, "place": true, "networks": true,
}

// FreeText is a detail that a person has written: it may tell of anybody, whatever
// it looks like.
type FreeText string

// programNames are details whose texts are this program's own. "changes" are settings
// of the policy with their values, and never anything that a person named.
var programNames = map[string]bool{"action": true, "route": true, "version": true, "acted": true, "about": true, "changes": true}

// personal reports whether a detail may tell of a person, and so can be erased.
// That is every text but those that only a program writes: a code ("wrong_password",
// "audit:read"), an id or a time. What is not known to be harmless is personal.
func personal(name string, value json.RawMessage) bool {
	if personalNames[strings.TrimPrefix(name, "old_")] || strings.HasSuffix(name, "email") || strings.HasSuffix(name, "_ip") {
		return true
	}
	if programNames[name] {
		return false
	}
	for text := range stringsIn(value) {
		if !harmless(text) {
			return true
		}
	}
	return false
}

// stringsIn yields the strings of a JSON text, names of members too, as they are
// written.
func stringsIn(value json.RawMessage) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			begin := bytes.IndexByte(value, '"')
			if begin < 0 {
				return
			}
			end := begin + 1
			for end < len(value) && value[end] != '"' {
				if value[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(value) || !yield(string(value[begin+1:end])) {
				return
			}
			value = value[end+1:]
		}
	}
}

// harmless is a text of lower-case letters, digits and a few signs that is no
// address, or a time.
func harmless(text string) bool {
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == ':', c == '*', c == '-':
		case (c == 'T' || c == 'Z' || c == '.') && isTime(text):
			return true
		default:
			return false
		}
	}
	_, err := netip.ParseAddr(text)
	return err != nil
}

// isTime reports whether text has the form in which events write times.
func isTime(text string) bool {
	return len(text) == len(timeForm) && text[4] == '-' && text[10] == 'T' && text[23] == 'Z'
}

// split writes details as two JSON objects: what may stay for good, and what can be
// erased, "" when nothing is.
func split(d Details) (public, erasable string, err error) {
	var objects [2]bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(d)) {
		value, err := encode(d[name])
		if err != nil {
			return "", "", err
		}
		quoted, err := encode(name)
		if err != nil {
			return "", "", err
		}
		object := &objects[0]
		if _, free := d[name].(FreeText); free || personal(name, value) {
			object = &objects[1]
		}
		if object.Len() > 0 {
			object.WriteByte(',')
		}
		object.Write(quoted)
		object.WriteByte(':')
		object.Write(value)
	}
	if objects[1].Len() > 0 {
		erasable = "{" + objects[1].String() + "}"
	}
	return "{" + objects[0].String() + "}", erasable, nil
}

// encode writes plain JSON. The default would write &, < and > as escapes, under
// which nobody would find them again; pages escape what they show.
func encode(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// join is the one object that both parts of the details make.
func join(public, erasable string) json.RawMessage {
	switch {
	case len(erasable) < 2 || len(public) < 2:
		return json.RawMessage(public)
	case public == "{}":
		return json.RawMessage(erasable)
	}
	return json.RawMessage(public[:len(public)-1] + "," + erasable[1:])
}

// part takes the named members out of an object and returns the two objects that
// they and the others make, each in the order in which they were. It undoes join.
func part(object json.RawMessage, names []string) (others, named string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return "", "", fmt.Errorf("audit: the details are no object")
	}
	var members [2][]string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return "", "", err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return "", "", err
		}
		text, _ := name.(string) // a member's name is nothing else
		quoted, err := encode(text)
		if err != nil {
			return "", "", err
		}
		to := 0
		if slices.Contains(names, text) {
			to = 1
		}
		members[to] = append(members[to], string(quoted)+":"+string(value))
	}
	if len(members[1]) > 0 {
		named = "{" + strings.Join(members[1], ",") + "}"
	}
	return "{" + strings.Join(members[0], ",") + "}", named, nil
}
