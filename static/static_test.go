package static

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

func get(target string, header http.Header) (*httptest.ResponseRecorder, bool) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if header != nil {
		r.Header = header
	}
	w := httptest.NewRecorder()
	return w, Serve(w, r)
}

func TestFilesAreServedForEver(t *testing.T) {
	for name, contentType := range map[string]string{"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "strength.js": "text/javascript; charset=utf-8",
		"captcha.js": "text/javascript; charset=utf-8", "captcha-worker.js": "text/javascript; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "export.js": "text/javascript; charset=utf-8",
		"zxcvbn.js": "text/javascript; charset=utf-8", "favicon.svg": "image/svg+xml"} {
		plain, served := get(URL(name), nil)
		if !served || plain.Header().Get("Content-Type") != contentType || plain.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %t, %v", name, served, plain.Header())
		}
		packed, _ := get(URL(name), http.Header{"Accept-Encoding": {"br, gzip"}})
		for encoding, w := range map[string]*httptest.ResponseRecorder{"": plain, "gzip": packed} {
			if h := w.Header(); h.Get("Content-Encoding") != encoding || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
				t.Errorf("%s in form %q: %v", name, encoding, h)
			}
		}
		unpacked, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(unpacked)
		if err != nil || string(text) != plain.Body.String() {
			t.Errorf("%s: the packed form is another, %v", name, err)
		}
		for encoding, first := range map[string]*httptest.ResponseRecorder{"": plain, "gzip": packed} {
			kept, _ := get(URL(name), http.Header{"Accept-Encoding": {encoding}, "If-None-Match": {first.Header().Get("ETag")}})
			if kept.Code != http.StatusNotModified || kept.Body.Len() > 0 {
				t.Errorf("%s: a kept file is sent again: %d", name, kept.Code)
			}
		}
		if plain.Header().Get("ETag") == packed.Header().Get("ETag") {
			t.Errorf("%s: two forms of one tag", name)
		}
	}
}

// TestZxcvbnIsWhole: it is embedded packed, and who takes no gzip gets the
// script all the same.
func TestZxcvbnIsWhole(t *testing.T) {
	w, _ := get(URL("zxcvbn.js"), nil)
	if script := w.Body.String(); !strings.HasPrefix(script, "/*! zxcvbn 4.4.2") || strings.Contains(script, "sourceMappingURL") || w.Body.Len() < 800_000 {
		t.Errorf("%d bytes, starting with %.40q", w.Body.Len(), script)
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, target := range []string{"/static/", "/static/app.css", "/static/app.0000000000000000.css", "/static/static.go", "/static/../static.go",
		"/static/src/app.css", URL("zxcvbn.js") + ".gz", strings.Replace(URL("app.css"), "app", "%61pp", 1), URL("app.css") + "/", "/static/..%2fstatic.go"} {
		if w, served := get(target, nil); served || w.Body.Len() > 0 {
			t.Errorf("%s is served", target)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for field, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP": true, "gzip;q=0.5, br": true, "deflate,gzip ; q=1": true,
		"gzip;q=0": false, "gzip; q=0.000": false, "x-gzip-like": false, "identity": false, "gzip;q=much": false, "gzip;": false,
	} {
		if got := acceptsGzip(field); got != want {
			t.Errorf("%q: %t", field, got)
		}
	}
}
