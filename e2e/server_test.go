//go:build e2e

package e2e

import (
	"errors"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"patronus.internal/dashboard/security/securitytest"
)

// Limits on the wait for something that should be nearly immediate. They are
// wide because a busy machine is slow, and end a test only if it hangs.
const (
	startLimit = 30 * time.Second
	stopLimit  = 15 * time.Second // the contract drains within 10 s
)

// server is the binary, running.
type server struct {
	t       *testing.T
	command *exec.Cmd
	url     string // where a browser finds it, without a slash at the end
	output  *output
	exited  chan error
	secrets map[string]string // by what they are; none may be printed or logged

	announced string // the one line that shows a secret
}

// startServer starts the binary on a free port with its data in the folder
// and, if given, more flags, and stops it at the end of the test. It must then
// end well, and must have logged no error.
//
// The walks sign in more often than the limits let anybody, so there are none;
// what a limit does is tested without a browser.
func startServer(t *testing.T, data string, flags ...string) *server {
	t.Helper()
	return startServerUnder(t, securitytest.Unlimited, data, flags...)
}

// startServerUnder is startServer with a policy that is set as soon as there is
// a database.
func startServerUnder(t *testing.T, policy func(data string) error, data string, flags ...string) *server {
	t.Helper()
	s := &server{t: t, output: newOutput(), exited: make(chan error, 1), secrets: map[string]string{}}
	s.command = exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--log-format", "json"}, flags...)...)
	s.command.Stdout, s.command.Stderr = writer(s.output.keepStdout), writer(s.output.keepStderr)
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := s.command.Wait()
		s.output.end()
		s.exited <- err
	}()
	t.Cleanup(s.stop)
	s.url = "http://localhost:" + s.wait(`(?m)^listening on http://127\.0\.0\.1:(\d+)\n`)
	if err := policy(data); err != nil {
		t.Fatal(err)
	}
	return s
}

// firstRunLink is the link that the server prints on an empty database.
func (s *server) firstRunLink() string {
	s.t.Helper()
	link := s.wait(`(?m)^first run: open (http://localhost:\d+/setup\?token=\S+)\n`)
	s.announced = "first run: open " + link + "\n"
	_, token, _ := strings.Cut(link, "token=")
	s.keepsSecret("token of the first run", token)
	return link
}

// wait returns the first group of a line on stdout.
func (s *server) wait(line string) string {
	s.t.Helper()
	match, err := s.output.wait(regexp.MustCompile(line), startLimit)
	if err != nil {
		s.t.Fatalf("no line %s: %v\n%s", line, err, s.output)
	}
	return string(match[1])
}

// stop asks the server to end and checks that it does, in order and in time.
func (s *server) stop() {
	if s.command.Process.Signal(syscall.SIGTERM) != nil {
		s.t.Errorf("the server had ended already\n%s", s.output)
		return
	}
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("the server ended with %v after SIGTERM\n%s", err, s.output)
		}
	case <-time.After(stopLimit):
		s.t.Errorf("the server runs on %s after SIGTERM\n%s", stopLimit, s.output)
		if err := s.command.Process.Kill(); err != nil {
			s.t.Error(err)
		}
		<-s.exited
	}
	log := strings.Replace(s.output.String(), s.announced, "", 1)
	if strings.Contains(log, `"level":"ERROR"`) || strings.Contains(log, "panic:") {
		s.t.Errorf("the server logged an error:\n%s", log)
	}
	for kind, secret := range s.secrets {
		if strings.Contains(log, secret) {
			s.t.Errorf("the server printed the %s:\n%s", kind, log)
		}
	}
}

// keepsSecret has stop check that a secret was neither printed nor logged.
func (s *server) keepsSecret(kind, secret string) {
	s.t.Helper()
	if secret == "" {
		s.t.Fatalf("the %s is empty", kind)
	}
	s.secrets[kind] = secret
}

// get asks for a path of the API with a bearer and returns status and body.
func (s *server) get(path, bearer string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// browses asks for a page with the cookie of a session and returns the status
// and where it leads on to.
func (s *server) browses(path, cookie string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.AddCookie(&http.Cookie{Name: sessionCookie, Value: cookie})
	response, err := http.DefaultTransport.RoundTrip(request) // which follows nothing
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("Location")
}

// output is what a process has written so far. What it wrote on stdout can be
// waited for.
type output struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew with each write
	ended   bool
	stdout  []byte
	all     []byte
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// writer makes a function an io.Writer.
type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

func (o *output) keepStdout(p []byte) {
	o.change(func() { o.stdout, o.all = append(o.stdout, p...), append(o.all, p...) })
}

func (o *output) keepStderr(p []byte) {
	o.change(func() { o.all = append(o.all, p...) })
}

func (o *output) end() {
	o.change(func() { o.ended = true })
}

// change makes a change and wakes all who wait for one.
func (o *output) change(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	do()
	close(o.changed)
	o.changed = make(chan struct{})
}

// wait returns the groups of pattern as soon as it fits what is on stdout.
func (o *output) wait(pattern *regexp.Regexp, limit time.Duration) ([][]byte, error) {
	timeout := time.After(limit)
	for {
		o.mu.Lock()
		match, ended, changed := pattern.FindSubmatch(o.stdout), o.ended, o.changed
		o.mu.Unlock()
		switch {
		case match != nil:
			return match, nil
		case ended:
			return nil, errors.New("the process has ended")
		}
		select {
		case <-changed:
		case <-timeout:
			return nil, errors.New("it took too long")
		}
	}
}

// String is all that the process has written, for a failure.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.all)
}
