package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"patronus.internal/dashboard/security/securitytest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dashboard": main})
}

// TestScripts runs testdata/*.txt: the real program as its users start it. The
// commands, beside those of testscript, are:
//
//	serve [FLAG...]       start the server on a free port and wait until it serves; sets $URL and $ADDRESS
//	halt SIGNAL           send the server a signal and wait for its end; sets $CODE and $SETUP
//	get STATUS PATH       ask the server
//	post STATUS PATH JSON [BEARER]  send JSON to the server; the answer goes to stdout
//	bearer STATUS PATH TOKEN        ask the server with a bearer
//	unlimited                       raise the rate limits, for a script that is not about them
//	setpolicy MEMBERS               put members of the JSON of a policy over the defaults, from outside
//	smtp                            start a mail server; sets $SMTP
//	mail NAME REGEXP                wait for a mail; sets $NAME to what the first group matches
//	hook start|away|back|refused    a receiver of webhooks; sets $HOOK
//	pushed FIRST LAST SECRET        wait until these events have come to it; prints them
//	inflight SIGNAL       send a signal while a request is being handled; its answer must come
//	saveout NAME REGEXP   keep what the first group matches in stdout as $NAME
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": cmdServe, "halt": cmdHalt, "get": cmdGet, "post": cmdPost, "bearer": cmdBearer, "smtp": cmdSMTP, "unlimited": cmdUnlimited, "setpolicy": cmdSetPolicy, "mail": cmdMail, "saveout": cmdSaveOut, "inflight": cmdInFlight,
			"hook": cmdHook, "pushed": cmdPushed,
		},
		Setup: func(env *testscript.Env) error {
			env.Values["server"] = new(server)
			return nil
		},
	})
}

type server struct {
	office  postOffice
	hook    *hook
	command *exec.Cmd
	lines   *bufio.Scanner
}

var (
	listening = regexp.MustCompile(`^listening on (https?://\S+)$`)
	firstRun  = regexp.MustCompile(`^first run: open (\S+)$`)
)

var signals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "NONE": 0}

func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("server").(*server)
	path, err := exec.LookPath("dashboard")
	ts.Check(err)
	s.command = exec.Command(path, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	s.command.Dir = ts.MkAbs(".")
	s.command.Env = append(os.Environ(), "PATRONUS_DATA_DIR="+ts.Getenv("PATRONUS_DATA_DIR"))
	// The script's own stderr is not for two writers at once.
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	ts.Defer(func() { ts.Check(log.Close()) })
	s.command.Stderr = log
	out, err := s.command.StdoutPipe()
	ts.Check(err)
	ts.Check(s.command.Start())
	ts.Defer(func() {
		if s.command.ProcessState == nil {
			// The process is ours and is only ended here when the script
			// failed before it stopped it.
			_ = s.command.Process.Kill()
			_ = s.command.Wait()
		}
	})
	s.lines = bufio.NewScanner(out)
	for s.lines.Scan() {
		if found := listening.FindStringSubmatch(s.lines.Text()); found != nil {
			ts.Setenv("URL", found[1])
			ts.Setenv("ADDRESS", strings.TrimPrefix(found[1], "http://"))
			return
		}
	}
	ts.Fatalf("the server ended before it served: %v", s.command.Wait())
}

func cmdUnlimited(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(securitytest.Unlimited(ts.Getenv("PATRONUS_DATA_DIR")))
}

func cmdSetPolicy(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(securitytest.SetPolicy(ts.Getenv("PATRONUS_DATA_DIR"), args[0]))
}

func cmdHalt(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("server").(*server)
	ts.Check(s.command.Process.Signal(signals[args[0]]))
	for s.lines.Scan() {
		if found := firstRun.FindStringSubmatch(s.lines.Text()); found != nil {
			ts.Setenv("SETUP", found[1])
		}
	}
	err := s.command.Wait()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		ts.Fatalf("%v", err)
	}
	ts.Setenv("CODE", fmt.Sprint(s.command.ProcessState.ExitCode()))
}

func cmdGet(ts *testscript.TestScript, _ bool, args []string) {
	url := args[1]
	if !strings.HasPrefix(url, "http") {
		url = ts.Getenv("URL") + url
	}
	response, err := http.Get(url)
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	if got := fmt.Sprint(response.StatusCode); got != args[0] {
		ts.Fatalf("%s answers %s:\n%s", url, got, body)
	}
}

func cmdPost(ts *testscript.TestScript, _ bool, args []string) {
	request, err := http.NewRequest(http.MethodPost, ts.Getenv("URL")+args[1], strings.NewReader(args[2]))
	ts.Check(err)
	request.Header.Set("Content-Type", "application/json")
	if len(args) > 3 {
		request.Header.Set("Authorization", "Bearer "+args[3])
	}
	send(ts, args[0], request)
}

func cmdBearer(ts *testscript.TestScript, _ bool, args []string) {
	request, err := http.NewRequest(http.MethodGet, ts.Getenv("URL")+args[1], nil)
	ts.Check(err)
	request.Header.Set("Authorization", "Bearer "+args[2])
	send(ts, args[0], request)
}

func send(ts *testscript.TestScript, status string, request *http.Request) {
	response, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	if got := fmt.Sprint(response.StatusCode); got != status {
		ts.Fatalf("%s answers %s:\n%s", request.URL.Path, got, body)
	}
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}

// cmdInFlight waits for "100 Continue", which the server sends when a handler
// begins to read the body, so the signal is sure to come in the middle.
func cmdInFlight(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("server").(*server)
	address := strings.TrimPrefix(ts.Getenv("URL"), "http://")
	conn, err := net.Dial("tcp", address)
	ts.Check(err)
	defer conn.Close()
	const body = `{"email":"nobody@example.org","password":"wrong"}`
	_, err = fmt.Fprintf(conn, "POST /api/v1/auth/login HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", address, len(body))
	ts.Check(err)
	answers := bufio.NewReader(conn)
	line, err := answers.ReadString('\n')
	ts.Check(err)
	if !strings.HasPrefix(line, "HTTP/1.1 100") {
		ts.Fatalf("the handler did not begin: %s", line)
	}
	_, err = answers.ReadString('\n') // the empty line
	ts.Check(err)
	ts.Check(s.command.Process.Signal(signals[args[0]]))
	// A new connection is refused once the server is stopping; until then the
	// signal has not arrived.
	for {
		probe, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		ts.Check(probe.Close())
	}
	_, err = conn.Write([]byte(body))
	ts.Check(err)
	response, err := http.ReadResponse(answers, nil)
	ts.Check(err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		ts.Fatalf("the answer is %s", response.Status)
	}
}

func cmdSaveOut(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("nothing matches in stdout")
	}
	ts.Setenv(args[0], found[1])
}
