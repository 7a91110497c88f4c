package handlers

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
)

// TestExportedEventIsTheEventOfTheAPI: whoever reads the one can read the other.
func TestExportedEventIsTheEventOfTheAPI(t *testing.T) {
	for name, e := range map[string]audit.Record{
		"full": {Seq: 7, Time: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC), Type: audit.LoginAttempt, Severity: audit.Warning,
			Actor: audit.Actor{UserID: "u", Email: "ann@example.org", IPAddress: "192.0.2.7", UserAgent: "<a&b>\u2028", SessionID: "s",
				APIKeyID: "k", RequestID: "r"}, Details: json.RawMessage(`{"reason":"wrong_password","n":1}`)},
		"empty": {Seq: 1, Type: audit.Logout, Severity: audit.Info, Success: true, Details: json.RawMessage(`{}`)},
	} {
		shown, err := json.Marshal(showEvent(e))
		if err != nil {
			t.Fatal(err)
		}
		var exported bytes.Buffer
		w := export.NewWriter(export.NDJSON, &exported, export.Product{})
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := bytes.TrimSuffix(exported.Bytes(), []byte("\n")); !bytes.Equal(got, shown) {
			t.Errorf("%s is exported as\n%s\nand shown as\n%s", name, got, shown)
		}
	}
}
