// Package static serves the files that the pages are drawn with. They are
// embedded, and the hash of its content is part of each address, so a browser
// may keep a file for ever and still gets a new one when it changes.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed app.css app.js captcha.js captcha-worker.js export.js live.js strength.js zxcvbn.js.gz favicon.svg
var files embed.FS

// Prefix is where the files are in the address space.
const Prefix = "/static/"

// hashLength is how many hex digits of the SHA-256 an address carries: 64 bits
// tell two versions of a file apart.
const hashLength = 16

type file struct {
	contentType string
	hash        string
	// Each form but the embedded one is made by the first who asks, not by the
	// start.
	plain, gzip func() []byte
}

var (
	urls   = map[string]string{} // by name
	byPath = map[string]file{}   // by address
)

func init() {
	const script = "text/javascript; charset=utf-8"
	for embedded, contentType := range map[string]string{
		"app.css": "text/css; charset=utf-8", "app.js": script, "captcha.js": script,
		"captcha-worker.js": script, "export.js": script, "live.js": script, "strength.js": script, "zxcvbn.js.gz": script, "favicon.svg": "image/svg+xml",
	} {
		content, err := files.ReadFile(embedded)
		if err != nil {
			panic(err) // the files are embedded
		}
		kept := func() []byte { return content }
		f := file{contentType: contentType, plain: kept, gzip: sync.OnceValue(func() []byte { return pack(content) })}
		name, packed := strings.CutSuffix(embedded, ".gz") // a large file is embedded as browsers take it
		if packed {
			f.plain, f.gzip = sync.OnceValue(func() []byte { return unpack(content) }), kept
		}
		sum := sha256.Sum256(content)
		f.hash = hex.EncodeToString(sum[:])[:hashLength]
		ext := path.Ext(name)
		url := Prefix + strings.TrimSuffix(name, ext) + "." + f.hash + ext
		urls[name] = url
		byPath[url] = f
	}
}

func pack(content []byte) []byte {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // writing to memory does not fail
	}
	return packed.Bytes()
}

func unpack(content []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(content))
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(r)
	}
	if err != nil {
		panic(err) // the file is embedded whole
	}
	return plain
}

// URL is the address of a file. A name that does not exist is a mistake of the
// program and panics.
func URL(name string) string {
	url, ok := urls[name]
	if !ok {
		panic(fmt.Sprintf("static: there is no file %q", name))
	}
	return url
}

// Serve answers an address that URL has given out, and reports whether it did:
// there is no listing, no other hash and no other name.
func Serve(w http.ResponseWriter, r *http.Request) bool {
	f, ok := byPath[r.URL.Path]
	if !ok || r.URL.RawPath != "" {
		return false
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Type", f.contentType)
	h.Set("Vary", "Accept-Encoding")
	packed := acceptsGzip(r.Header.Get("Accept-Encoding"))
	tag := strconv.Quote(f.hash)
	if packed {
		tag = strconv.Quote(f.hash + "-gzip") // each form has its own tag (RFC 9110 §8.8.3.3)
	}
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	form := f.plain
	if packed {
		h.Set("Content-Encoding", "gzip")
		form = f.gzip
	}
	body := form()
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the browser left
	}
	return true
}

// acceptsGzip reads an Accept-Encoding field (RFC 9110 §12.5.3). A weight of
// zero refuses; other weights do not matter between gzip and nothing. What is
// not understood is served plain.
func acceptsGzip(field string) bool {
	for coding := range strings.SplitSeq(field, ",") {
		name, weight, weighted := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		if !weighted {
			return true
		}
		number, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(weight, " ", "")), "q=")
		q, err := strconv.ParseFloat(number, 64)
		return ok && err == nil && q > 0
	}
	return false
}
