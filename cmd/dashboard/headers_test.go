package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/audit"
)

// TestHeadersThatAreTooMuch: what no server of HTTP lets pass, or is longer than
// any honest client's, is refused before anything is done with it; what is only
// long is cut. The program goes on.
func TestHeadersThatAreTooMuch(t *testing.T) {
	h := newHost(t)
	newest := h.newest()
	address := h.serve()
	for _, c := range []struct {
		name, agent string
		want        int
	}{
		{"as usual", "probe/1.0", http.StatusUnauthorized},
		{"a hundred kilobytes", strings.Repeat("A", 100_000), http.StatusUnauthorized},
		{"a mebibyte", strings.Repeat("A", 1<<20), http.StatusRequestHeaderFieldsTooLarge},
		{"an escape", "a\x1b[31m", http.StatusBadRequest},
		{"a NUL", "a\x00b", http.StatusBadRequest},
		{"a lone carriage return", "a\rX-Forged: yes", http.StatusBadRequest},
		{"a line without a name", "a\r\nforged", http.StatusBadRequest},
		{"as usual again", "probe/2.0", http.StatusUnauthorized},
	} {
		if got := signInAs(t, address, c.agent); got != c.want {
			t.Errorf("%s is answered %d, not %d", c.name, got, c.want)
		}
	}
	events := h.events(newest + 1) // behind the start of the server
	var agents []string
	for _, event := range events {
		if event.Type != audit.LoginAttempt {
			t.Errorf("there is a %s", event.Type)
		}
		agents = append(agents, event.Actor.UserAgent)
	}
	if len(agents) != 3 || agents[0] != "probe/1.0" || agents[2] != "probe/2.0" {
		t.Fatalf("the log has %q", agents)
	}
	if cut := agents[1]; len(cut) > 256 || strings.TrimLeft(cut, "A") != "…" {
		t.Errorf("a long one is kept as %q", cut)
	}
}

// signInAs sends a wrong password with a user agent, byte for byte, and returns the
// status of the answer.
func signInAs(t *testing.T, address, agent string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The answer may come, and the connection end, before all is sent.
	sent := make(chan error, 1)
	go func() {
		const body = `{"email":"nobody@example.org","password":"wrong"}`
		_, err := io.WriteString(conn, "POST /api/v1/auth/login HTTP/1.1\r\nHost: "+address+"\r\nUser-Agent: "+agent+
			"\r\nContent-Type: application/json\r\nContent-Length: 49\r\n\r\n"+body)
		sent <- err
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(errors.Join(err, <-sent))
	}
	conn.Close() // with all that is left of the answer
	if err := <-sent; err != nil && response.StatusCode == http.StatusUnauthorized {
		t.Error(err)
	}
	return response.StatusCode
}
