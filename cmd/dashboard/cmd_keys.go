package main

import (
	"context"
	"fmt"

	"patronus.internal/dashboard/security"
)

type keysCmd struct {
	Rotate  keysRotateCmd  `cmd:"" help:"Sign with a new key from now on and print its id; tokens of the old one stay good until they expire."`
	Webhook keysWebhookCmd `cmd:"" help:"Print the secret that webhooks are signed with, for their receiver."`
}

type keysRotateCmd struct {
	DropOld bool `help:"Let nothing that the old keys signed count any more: for keys that somebody may have read."`
}

func (cmd *keysRotateCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		kid, err := service.RotateKeys(ctx, cmd.DropOld)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(std.out, kid)
		return err
	})
}

type keysWebhookCmd struct{}

func (cmd *keysWebhookCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	fromFile, err := settings.secretFile()
	if err != nil {
		return err
	}
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		_, err := fmt.Fprintln(std.out, webhookSecret(fromFile, service).Reveal())
		return err
	})
}
