package main

import (
	"context"
	"fmt"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/policy"
)

type policyCmd struct {
	Reset policyResetCmd `cmd:"" help:"Set the policy, or parts of it, back to the defaults and print what changed: the way back from one that lets nobody in."`
}

type policyResetCmd struct {
	Settings []string `arg:"" optional:"" help:"What goes back, as the API names it: rate_limits, or lockout.lock_after. Without one, everything."`
}

func (cmd *policyResetCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	settings.anyPolicy = true // also one that nothing else starts with
	return withExisting(ctx, settings, std, func(service *security.Service) error {
		changes, err := service.ResetPolicy(ctx, cmd.Settings...)
		if err != nil {
			return err
		}
		for _, c := range changes {
			s, _ := policy.Find(c.Setting)
			if _, err := fmt.Fprintf(std.out, "%s: %s → %s\n", c.Setting, s.Say(c.Old), s.Say(c.New)); err != nil {
				return err
			}
		}
		return nil
	})
}
