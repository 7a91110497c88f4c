package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"patronus.internal/dashboard/security/db"
)

// version is set by a release build (-ldflags "-X main.version=1.2.3").
var version = "development"

type versionCmd struct{}

func (versionCmd) Run(std streams) error {
	_, err := fmt.Fprintf(std.out, "version %s\ncommit %s\ngo %s\nschema %d\n", version, commit(), runtime.Version(), db.LatestSchema())
	return err
}

// commit is what the Go tool stamped into the binary, if it was built in a
// checkout.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "unknown"
}
