package main

import (
	"context"
	"fmt"

	"patronus.internal/dashboard/security"
)

type keysCmd struct {
	Rotate keysRotateCmd `cmd:"" help:"Sign with a new key from now on and print its id; tokens of the old one stay good until they expire."`
}

type keysRotateCmd struct{}

func (keysRotateCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		kid, err := service.RotateKeys(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(std.out, kid)
		return err
	})
}
