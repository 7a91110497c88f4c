package audit

import (
	"crypto/rand"
	"log/slog"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func newTree(t testing.TB) *Tree {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "dashboard.example.org/audit")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := NewTree(signer, public, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
