package main

import "context"

type serveCmd struct{}

func (serveCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	app, err := NewApp(ctx, settings, std)
	if err != nil {
		return err
	}
	return app.Run(ctx)
}
