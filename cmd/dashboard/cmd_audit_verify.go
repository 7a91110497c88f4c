package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
)

type auditVerifyCmd struct {
	Export     string `placeholder:"FILE" help:"Check this NDJSON export (also gzip; - is stdin) instead of the data folder."`
	Checkpoint string `placeholder:"FILE" help:"Prove that the log extends this older signed head of it."`
	PublicKey  string `placeholder:"FILE" help:"File with the public key of the log; without it the keys in the data folder are asked."`
}

type auditPublicKeyCmd struct{}

func (auditPublicKeyCmd) Run(settings *Settings, std streams) error {
	key, err := security.AuditKeyOf(settings.DataDir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, key)
	return err
}

func (cmd *auditVerifyCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	key, err := cmd.key(settings)
	if err != nil {
		return err
	}
	var witnesses []audit.Witness
	if cmd.Checkpoint != "" {
		signed, err := os.ReadFile(cmd.Checkpoint)
		if err != nil {
			return usagef("--checkpoint: %v", err)
		}
		witnesses = append(witnesses, audit.Witness{Name: "the checkpoint in " + cmd.Checkpoint, Signed: string(signed)})
	}
	var report audit.Report
	if cmd.Export != "" {
		report, err = verifyFile(cmd.Export, key, std.in, witnesses)
	} else {
		report, err = security.VerifyLog(ctx, settings.DataDir, key, witnesses...)
	}
	if found, bad := errors.AsType[*audit.Finding](err); bad {
		fmt.Fprintf(std.out, "first bad sequence number: %d\n", found.Seq)
		return fmt.Errorf("the log is not as it was written. Event %d: %s", found.Seq, found.Why)
	}
	if err != nil {
		return err
	}
	return cmd.tell(std.out, report)
}

func (cmd *auditVerifyCmd) key(settings *Settings) (string, error) {
	if cmd.PublicKey == "" {
		return security.AuditKeyOf(settings.DataDir)
	}
	key, err := os.ReadFile(cmd.PublicKey)
	if err != nil {
		return "", usagef("--public-key: %v", err)
	}
	return string(key), nil
}

// tell says what was checked, and what cannot be.
func (cmd *auditVerifyCmd) tell(out io.Writer, r audit.Report) error {
	text := fmt.Sprintf("ok: %d events of %d are as they were written\n", r.Events, r.Head.Size)
	if cmd.Export != "" {
		text += fmt.Sprintf("    %d are not in the file\n", r.Absent)
	} else {
		text += fmt.Sprintf("    %d were removed by retention, their hashes are there\n", r.Absent)
	}
	text += fmt.Sprintf("    %d are without personal fields that were erased\n", r.Erased)
	if r.Strays > 0 {
		text += fmt.Sprintf("    %d rows that this program did not write were moved aside, into the table audit_strays\n", r.Strays)
	}
	if r.Unproven > 0 {
		text += fmt.Sprintf("    %d lack fields, and the events that tell by which erasure are not in the file\n", r.Unproven)
	}
	text += fmt.Sprintf("signed head: %s, %d events, root %s\n", r.Head.Origin, r.Head.Size, r.Head.Root)
	switch {
	case cmd.Export == "":
		text += fmt.Sprintf("%d older checkpoints match\n", r.Checkpoints)
	case cmd.Checkpoint != "":
		text += "the older checkpoint matches\n"
	}
	_, err := io.WriteString(out, text)
	return err
}

// verifyFile reads a file, or stdin, that may be compressed.
func verifyFile(name, key string, stdin io.Reader, witnesses []audit.Witness) (report audit.Report, err error) {
	from := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return report, usagef("--export: %v", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		from = file
	}
	buffered := bufio.NewReader(from)
	if magic, _ := buffered.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return report, fmt.Errorf("unpack the export: %w", err)
		}
		return security.VerifyExport(unpacked, key, witnesses...)
	}
	return security.VerifyExport(buffered, key, witnesses...)
}
