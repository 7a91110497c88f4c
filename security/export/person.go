package export

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"patronus.internal/dashboard/security/audit"
)

// PersonFormat names how what is held about a person is written.
type PersonFormat string

// One file of JSON for programs, a zip of several for people.
const (
	PersonJSON PersonFormat = "json"
	PersonZip  PersonFormat = "zip"
)

// ContentType is the media type, for a Content-Type header.
func (f PersonFormat) ContentType() string { return "application/" + string(f) }

// Person is what is held about somebody, but for their events, which follow.
type Person struct {
	Email string
	At    time.Time
	Parts []Part
	// LeftOut are the parts that whoever asks may not read, without their data.
	LeftOut []Part
}

// Part is one member of the JSON, and one file of the zip.
type Part struct {
	Name  string
	About string // what it is, in a sentence without its end
	Data  json.RawMessage
}

// Events is the part that is written a batch at a time.
var Events = Part{Name: "events", About: "what this person did or tried, and what was done to them, as far back as the audit log goes. " +
	"Of what others did, it does not say from where or with what; of what was done to others, not their personal details: those are theirs"}

// PersonWriter writes what is held about a person: Begin once, their events if
// they are among it, and Close. It buffers little, so that any number of events
// takes the same memory. After an error nothing that is written makes sense.
type PersonWriter interface {
	Begin(Person) error
	Events([]audit.Record) error
	Close() error
}

// NewPersonWriter returns one that has not written anything yet.
func NewPersonWriter(f PersonFormat, w io.Writer, p Product) PersonWriter {
	if f == PersonZip {
		return &personZip{zip: zip.NewWriter(w), product: p}
	}
	return &personJSON{out: w, product: p}
}

// readme says what is there and what is not.
func (p Person) readme(file func(part string) string, events bool) string {
	var text strings.Builder
	fmt.Fprintf(&text, "This is what %s %s holds about %s, as of %s.\n\n", vendor, product, p.Email, audit.Time(p.At))
	parts := p.Parts
	if events {
		parts = append(parts[:len(parts):len(parts)], Events)
	}
	for _, part := range parts {
		fmt.Fprintf(&text, "%s: %s.\n", file(part.Name), part.About)
	}
	text.WriteString("\nTimes are UTC, and null is what does not apply. Passwords, keys, codes, tokens and the secrets of second factors are not in it: " +
		"the program keeps them hashed or encrypted, and shows them to nobody.\n")
	if len(p.LeftOut) > 0 {
		text.WriteString("\nLeft out, since whoever asked for this may not read it:\n")
		for _, part := range p.LeftOut {
			fmt.Fprintf(&text, "%s: %s.\n", part.Name, part.About)
		}
	}
	return text.String()
}

// personJSON is one object: a member for each part.
type personJSON struct {
	out     io.Writer
	product Product
	events  Writer
}

// Begin implements PersonWriter.
func (j *personJSON) Begin(p Person) error {
	about, err := json.Marshal(p.readme(func(part string) string { return part }, !p.without(Events)))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(j.out, "{\"about\":%s,\n\"exported_at\":%q", about, audit.Time(p.At)); err != nil {
		return err
	}
	for _, part := range p.Parts {
		if _, err := fmt.Fprintf(j.out, ",\n%q:%s", part.Name, part.Data); err != nil {
			return err
		}
	}
	if p.without(Events) {
		return nil
	}
	if _, err := fmt.Fprintf(j.out, ",\n%q:", Events.Name); err != nil {
		return err
	}
	j.events = NewWriter(JSON, j.out, j.product)
	return nil
}

// Events implements PersonWriter.
func (j *personJSON) Events(events []audit.Record) error { return WriteBatch(j.events, events) }

// Close implements PersonWriter.
func (j *personJSON) Close() error {
	if j.events != nil {
		if err := j.events.Close(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(j.out, "}\n")
	return err
}

// personZip is a file for each part and one for people.
type personZip struct {
	zip     *zip.Writer
	product Product
	at      time.Time
	events  Writer
}

// Begin implements PersonWriter.
func (z *personZip) Begin(p Person) error {
	z.at = p.At
	readme, err := z.file("README.txt")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(readme, p.readme(inZip, !p.without(Events))); err != nil {
		return err
	}
	for _, part := range p.Parts {
		file, err := z.file(inZip(part.Name))
		if err != nil {
			return err
		}
		if _, err := file.Write(append(part.Data, '\n')); err != nil {
			return err
		}
	}
	if p.without(Events) {
		return z.zip.Flush()
	}
	file, err := z.file(inZip(Events.Name))
	if err != nil {
		return err
	}
	z.events = NewWriter(JSON, file, z.product)
	return z.zip.Flush()
}

func inZip(part string) string { return part + ".json" }

func (z *personZip) file(name string) (io.Writer, error) {
	return z.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: z.at.UTC()})
}

// Events implements PersonWriter.
func (z *personZip) Events(events []audit.Record) error {
	if err := WriteBatch(z.events, events); err != nil {
		return err
	}
	return z.zip.Flush()
}

// Close implements PersonWriter.
func (z *personZip) Close() error {
	if z.events != nil {
		if err := z.events.Close(); err != nil {
			return err
		}
	}
	return z.zip.Close()
}

// without reports whether a part is left out.
func (p Person) without(part Part) bool {
	for _, left := range p.LeftOut {
		if left.Name == part.Name {
			return true
		}
	}
	return false
}
