package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"patronus.internal/dashboard/handlers"
	"patronus.internal/dashboard/security"
)

// Bounds on what a connection may take. A request has 64 KiB at most and no
// answer is long yet, so these are generous for the slowest honest client and
// short for one that only holds on.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 30 * time.Second
	maxHeaderBytes    = 128 << 10 // a token of 100 KB is to be refused in our own words
	// The contract drains within 10 s. Of those, 5 are for the writer, which
	// may be waiting for a lock that another process holds.
	drainTimeout = 4 * time.Second
	closeTimeout = 5 * time.Second
	// maxConnections bounds what idle connections hold, some 30 KiB each.
	maxConnections = 2048
)

// App is the server with everything it holds open.
type App struct {
	service  *security.Service
	server   *http.Server
	listener net.Listener
	public   *url.URL
	scheme   string // of the listener; a proxy in front may speak another
	log      *slog.Logger
	std      streams
}

// NewApp opens the data folder and the port. Nothing is served before Run.
func NewApp(ctx context.Context, settings *Settings, std streams) (app *App, err error) {
	if err := settings.checkTransport(); err != nil {
		return nil, err
	}
	proxies, err := settings.trustedProxies()
	if err != nil {
		return nil, err
	}
	if err := settings.checkAdmin(); err != nil {
		return nil, err
	}
	if _, err := settings.publicURL(settings.Listen); err != nil {
		return nil, err
	}
	mailer, err := settings.mailer()
	if err != nil {
		return nil, err
	}
	log := settings.logger(std.err)
	targets, err := settings.sinks()
	if err != nil {
		return nil, err
	}
	places, err := settings.places(log)
	if err != nil {
		return nil, err
	}
	certificates, err := settings.certificates(log)
	if err != nil {
		return nil, err
	}
	app = &App{log: log, std: std}
	defer func() {
		if err != nil {
			err = errors.Join(err, app.Close(ctx))
		}
	}()
	// The port comes first: a second start by mistake ends here, before it
	// touches the data.
	if app.listener, err = net.Listen("tcp", settings.Listen); err != nil {
		return app, fmt.Errorf("cannot serve on %s: %w. Choose another address with --listen", settings.Listen, err)
	}
	app.listener = netutil.LimitListener(app.listener, maxConnections)
	if app.public, err = settings.publicURL(app.listener.Addr().String()); err != nil {
		return app, err
	}
	app.service, err = security.Open(ctx, security.Options{DataDir: settings.DataDir, PublicURL: app.public, Mail: mailer, TrustedProxies: proxies, Places: places, ArchiveDir: settings.AuditArchiveDir, Log: app.log})
	if err != nil {
		return app, err
	}
	// Before anything is written, so that it is pushed from its first event on.
	if err := app.addSinks(ctx, targets); err != nil {
		return app, err
	}
	if settings.AdminEmail != "" {
		created, err := app.service.CreateFirstAdmin(ctx, settings.AdminEmail, settings.adminPassword)
		if err != nil {
			return app, err
		}
		if created {
			app.log.InfoContext(ctx, "the first admin was created", "email", settings.AdminEmail)
		}
	}
	web, err := handlers.New(handlers.Options{Service: app.service, PublicURL: app.public, TrustedProxies: proxies, Version: version, Log: app.log})
	if err != nil {
		return app, err
	}
	app.server = &http.Server{
		Handler: web, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		// "OPTIONS *" goes the way of every request, headers and all.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(app.log.Handler(), slog.LevelWarn),
	}
	app.server.RegisterOnShutdown(web.Stop)
	app.scheme = "http"
	if certificates != nil {
		app.scheme = "https"
		app.listener = tls.NewListener(app.listener, certificates.config())
	}
	return app, nil
}

func (a *App) addSinks(ctx context.Context, targets sinks) error {
	opened, err := targets.open(a.service)
	if err != nil {
		return err
	}
	for _, sink := range opened {
		if err := a.service.AddSink(ctx, sink); err != nil {
			return err
		}
		a.log.InfoContext(ctx, "the log is sent on", "sink", sink.String())
	}
	return nil
}

// Run serves until ctx ends, then lets requests in flight finish and the
// writer drain.
func (a *App) Run(ctx context.Context) error {
	if err := a.service.Started(ctx, version); err != nil {
		return errors.Join(err, a.Close(ctx))
	}
	link, err := a.service.FirstRun(ctx)
	if err != nil {
		return errors.Join(err, a.Close(ctx))
	}
	maintenance, stopMaintenance := context.WithCancel(ctx)
	var maintained sync.WaitGroup
	maintained.Go(func() { a.service.Maintain(maintenance) })
	maintained.Go(func() { a.service.Deliver(maintenance) })
	maintained.Go(func() { a.service.Push(maintenance) })
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(a.listener) }()
	fmt.Fprintf(a.std.out, "listening on %s://%s\n", a.scheme, a.listener.Addr())
	if link != "" {
		fmt.Fprintf(a.std.out, "first run: open %s\n", link)
	}

	select {
	case err = <-served: // only a failure ends it from inside
	case <-ctx.Done():
		a.log.Info("stopping")
		err = nil
	}
	stopMaintenance()
	maintained.Wait()
	return errors.Join(err, a.Close(context.WithoutCancel(ctx)))
}

// Close stops in order: no new requests, the running ones finish, and last the
// writer drains and the database closes.
func (a *App) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	var errs []error
	if a.server != nil {
		if err := a.server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("some requests did not finish in %s: %w", drainTimeout, err), a.server.Close())
		}
	} else if a.listener != nil {
		errs = append(errs, a.listener.Close())
	}
	if a.service != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		errs = append(errs, a.service.Close(closing))
	}
	return errors.Join(errs...)
}
