package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/alecthomas/kong"

	"patronus.internal/dashboard/handlers"
	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
)

// Exit codes of the contract.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is every command and setting. A setting --some-flag is also the variable
// PATRONUS_SOME_FLAG.
type cli struct {
	Settings

	Serve       serveCmd       `cmd:"" default:"1" help:"Start the server (what dashboard does without a command)."`
	User        userCmd        `cmd:"" help:"Add, list and disable users."`
	Audit       auditCmd       `cmd:"" help:"Export and verify the log."`
	Policy      policyCmd      `cmd:"" help:"Set the security settings back to their defaults."`
	Keys        keysCmd        `cmd:"" help:"Replace the key that signs access tokens; show the secret of webhooks."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask the running server whether it is well; for container probes."`
	Version     versionCmd     `cmd:"" help:"Print the version, the commit, the Go version and the database schema."`
}

// Settings are the flags that every command takes.
type Settings struct {
	Listen            string   `default:"127.0.0.1:8080" help:"Address and port to serve on."`
	DataDir           string   `default:"./data" help:"Folder of the database and the keys; made when absent."`
	PublicURL         string   `name:"public-url" help:"Where people reach the dashboard: links, token issuer, cookies and allowed hosts follow it. Default: http://localhost with the port of --listen."`
	TrustedProxies    []string `help:"Networks (CIDR) of the reverse proxies whose X-Forwarded-For counts."`
	TLSCert           string   `name:"tls-cert" help:"Certificate file (PEM); read again when it changes."`
	TLSKey            string   `name:"tls-key" help:"Key file (PEM) of the certificate."`
	InsecureHTTP      bool     `name:"insecure-http" help:"Allow plain http on an address that others can reach."`
	GeoIPDB           string   `name:"geoip-db" help:"GeoIP database (mmdb) for rules about the place of a sign-in; read again when it changes."`
	SMTPURL           string   `name:"smtp-url" help:"Mail server for links and notices, smtp://user:password@host or smtps://…; without it an admin makes reset links."`
	MailFrom          string   `help:"Address that mail comes from."`
	AuditArchiveDir   string   `placeholder:"FOLDER" help:"Write events here, as NDJSON that can be verified, before retention removes them."`
	SyslogURL         string   `name:"syslog-url" help:"Send the log to this syslog receiver too, udp://host:port, tcp://… or tls://…."`
	WebhookURL        string   `name:"webhook-url" help:"Post the log to this address too, https://…, in signed batches."`
	WebhookSecretFile string   `help:"File with the secret (whsec_…) that batches are signed with. Default: the one that dashboard keys webhook prints."`
	AllowPrivateSinks bool     `help:"Let --syslog-url and --webhook-url lead to this host and private networks, and --webhook-url be http://."`
	SinkCA            string   `name:"sink-ca" help:"Certificates (PEM) that vouch for these receivers, beside those that the system trusts."`
	AdminEmail        string   `help:"Create this first admin on an empty database."`
	AdminPasswordFile string   `help:"File with the password of the first admin."`
	LogLevel          string   `default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat         string   `default:"text" enum:"text,json" help:"text or json."`

	anyPolicy bool // see security.Options; no flag
}

// streams are what a command reads and writes: results go to out, logs and
// refusals to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// newParser reads command lines into c.
func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append(options,
		kong.Name("dashboard"),
		kong.Description("Sign-in with a second factor, scoped API keys and an audit log for web applications that you host yourself. Every flag --some-flag is also the variable PATRONUS_SOME_FLAG."),
		kong.DefaultEnvars("PATRONUS"),
	)...)
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var c cli
	exited := -1
	parser, err := newParser(&c,
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(errOut, "dashboard:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		fmt.Fprintf(errOut, "dashboard: %v. See dashboard --help.\n", err)
		return exitUsage
	}
	err = command.Run(&c.Settings, streams{in: in, out: out, err: errOut})
	switch usage := (*usageError)(nil); {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintln(errOut, "dashboard:", usage)
		return exitUsage
	default:
		fmt.Fprintln(errOut, "dashboard:", sentence(err))
		return exitFailed
	}
}

// usageError is a setting that cannot be: exit code 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// sentence says an error to the person at the terminal: a refusal in its own
// words, anything else with its cause.
func sentence(err error) string {
	e, ok := errors.AsType[*secerr.Error](err)
	if !ok {
		return err.Error()
	}
	if e.Code == secerr.Unavailable && e.Err != nil {
		return e.Detail + " (" + e.Err.Error() + ")"
	}
	lines := []string{e.Detail}
	for _, f := range e.Fields {
		lines = append(lines, "  "+f.Field+": "+f.Detail)
	}
	return strings.Join(lines, "\n")
}

// logger writes to the error stream, each line with the id of its request.
func (s *Settings) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	// The flag's enum admits only names that parse.
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if s.LogFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	return slog.New(handlers.NewLogHandler(handler))
}

// open opens the data folder for a command that runs beside the server.
func (s *Settings) open(ctx context.Context, std streams) (*security.Service, error) {
	public, err := s.publicURL(s.Listen)
	if err != nil {
		return nil, err
	}
	return security.Open(ctx, security.Options{DataDir: s.DataDir, PublicURL: public, Log: s.logger(std.err), AnyPolicy: s.anyPolicy})
}
