package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dashboard": main})
}

// TestScripts runs testdata/*.txt: the real program as its users start it. The
// commands, beside those of testscript, are:
//
//	serve [FLAG...]       start the server on a free port and wait until it serves; sets $URL and $SETUP
//	stop SIGNAL           send the server a signal and wait for its end; sets $CODE
//	get STATUS PATH       ask the server
//	saveout NAME REGEXP   keep what the first group matches in stdout as $NAME
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": cmdServe, "stop": cmdStop, "get": cmdGet, "saveout": cmdSaveOut,
		},
		Setup: func(env *testscript.Env) error {
			env.Values["server"] = new(server)
			return nil
		},
	})
}

type server struct {
	command *exec.Cmd
	lines   *bufio.Scanner
}

var (
	listening = regexp.MustCompile(`^listening on (https?://\S+)$`)
	firstRun  = regexp.MustCompile(`^first run: open (\S+)$`)
)

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
			return
		}
	}
	ts.Fatalf("the server ended before it served: %v", s.command.Wait())
}

func cmdStop(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("server").(*server)
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
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

func cmdSaveOut(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("nothing matches in stdout")
	}
	ts.Setenv(args[0], found[1])
}
