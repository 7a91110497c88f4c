package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secret"
)

type userCmd struct {
	Add  userAddCmd  `cmd:"" help:"Add a user and print its id, and a one-time link to set the password."`
	List userListCmd `cmd:"" help:"List the users."`

	Unlock  userUnlockCmd  `cmd:"" help:"Forget the failed sign-ins of a user: lock, wait and CAPTCHA."`
	Disable userDisableCmd `cmd:"" help:"Shut a user out: sessions, tokens and keys are dead at once."`

	ResetMFA userResetMFACmd `cmd:"" name:"reset-mfa" help:"Sign a user out and demand a new second factor; print a one-time link, good for 24 hours, that stands in for the old one."`
}

type userAddCmd struct {
	Email         string `arg:"" help:"E-mail address to sign in with."`
	Role          string `required:"" enum:"admin,operator,viewer,user" help:"admin, operator, viewer or user."`
	PasswordStdin bool   `help:"Read the password from standard input instead of printing a link."`
}

func (cmd *userAddCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	var pw secret.Text
	if cmd.PasswordStdin {
		var err error
		if pw, err = readPassword(std.in); err != nil {
			return err
		}
	}
	return withService(ctx, settings, std, func(service *security.Service) error {
		u, link, err := service.AddUser(ctx, cmd.Email, cmd.Role, pw)
		if err != nil {
			return err
		}
		fmt.Fprintln(std.out, u.ID)
		if link != "" {
			fmt.Fprintln(std.out, link)
		}
		return nil
	})
}

type userListCmd struct{}

func (cmd *userListCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tEMAIL\tROLE\tSTATE\tSECOND FACTOR\tLAST SIGN-IN")
		users, err := service.ListUsers(ctx)
		if err != nil {
			return err
		}
		for _, u := range users {
			state, factor, last := "enabled", "no", "never"
			if !u.Enabled {
				state = "disabled"
			}
			if u.MFAEnabled {
				factor = "yes"
			}
			if u.LastLoginAt != nil {
				last = u.LastLoginAt.Format(time.RFC3339)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.Email, u.Role, state, factor, last)
		}
		return table.Flush()
	})
}

type userDisableCmd struct {
	Email string `arg:"" help:"E-mail address of the user."`
}

func (cmd *userDisableCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		return service.DisableUser(ctx, cmd.Email)
	})
}

type userUnlockCmd struct {
	Email string `arg:"" help:"E-mail address of the user."`
}

func (cmd *userUnlockCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		return service.UnlockUser(ctx, cmd.Email)
	})
}

type userResetMFACmd struct {
	Email string `arg:"" help:"E-mail address of the user."`
}

func (cmd *userResetMFACmd) Run(ctx context.Context, settings *Settings, std streams) error {
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		link, err := service.ResetMFA(ctx, cmd.Email)
		if err != nil {
			return err
		}
		fmt.Fprintln(std.out, link.Reveal())
		return nil
	})
}

// withService opens the data folder for one command and closes it again. A
// running server knows what the command has changed when this returns.
func withService(ctx context.Context, settings *Settings, std streams, do func(*security.Service) error) error {
	service, err := settings.open(ctx, std)
	if err != nil {
		return err
	}
	err = errors.Join(do(service), service.Close(ctx))
	time.Sleep(2 * security.FreshFor) // twice, for clocks that are not quite even
	return err
}

// withExisting is withService for a command that makes no sense on an empty
// folder: a mistyped one must not become a new installation.
func withExisting(ctx context.Context, settings *Settings, std streams, do func(*security.Service) error) error {
	if _, err := os.Stat(filepath.Join(settings.DataDir, "patronus.db")); err != nil {
		return usagef("there is no database in %s; name the folder with --data-dir", settings.DataDir)
	}
	return withService(ctx, settings, std, do)
}

// readPassword reads one password; one line end behind it is not part of it.
func readPassword(r io.Reader) (secret.Text, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPasswordFile+1))
	if err != nil {
		return secret.Text{}, fmt.Errorf("the password cannot be read: %w", err)
	}
	pw := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	switch {
	case len(raw) > maxPasswordFile:
		return secret.Text{}, usagef("the password is longer than %d bytes", maxPasswordFile)
	case pw == "":
		return secret.Text{}, usagef("the password is empty")
	}
	return secret.NewText(pw), nil
}
