package main

import (
	"bufio"
	"context"
	"errors"
	"time"

	"patronus.internal/dashboard/handlers"
	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
)

type auditCmd struct {
	Export    auditExportCmd    `cmd:"" help:"Write the events of the log to stdout, oldest first."`
	Verify    auditVerifyCmd    `cmd:"" help:"Check that the log is complete and unaltered; name the first event that is not, and exit with 1."`
	PublicKey auditPublicKeyCmd `cmd:"" help:"Print the public key of the log, for those who verify it elsewhere."`
}

type auditExportCmd struct {
	Format string `required:"" enum:"json,ndjson,csv,cef,ocsf" help:"json, ndjson, csv, cef or ocsf."`
	Since  string `help:"From this time on: 2026-01-31T12:00:00Z, or back from now as 1h or 7d."`
	Until  string `help:"Before this time, likewise."`
}

func (cmd *auditExportCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	now := time.Now()
	since, err := handlers.ParseTime("since", cmd.Since, now)
	if err != nil {
		return usagef("--since: %s", sentence(err))
	}
	until, err := handlers.ParseTime("until", cmd.Until, now)
	if err != nil {
		return usagef("--until: %s", sentence(err))
	}
	format, err := export.ParseFormat(cmd.Format)
	if err != nil {
		return err
	}
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		out := bufio.NewWriter(std.out)
		writer := export.NewWriter(format, out, export.Product{Version: version})
		err := service.ExportForHost(ctx, audit.Filter{Since: since, Until: until}, cmd.Format, func(events []audit.Record) error {
			return export.WriteBatch(writer, events)
		})
		if err != nil {
			return err
		}
		return errors.Join(writer.Close(), out.Flush())
	})
}
