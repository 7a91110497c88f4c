package handlers

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/views"
)

// apiCheckpoint answers the signed head of the log (C2SP tlog-checkpoint):
// GET /audit/checkpoint.
func (s *Server) apiCheckpoint(c echo.Context) error {
	if _, err := queryParams(c); err != nil {
		return err
	}
	head, err := s.service.Checkpoint(c.Request().Context())
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", []byte(head))
}

// proofView is an inclusion proof (RFC 6962 §2.1.1). Hashes are base64, as in a
// checkpoint. The leaf hash follows from the event and its integrity.
type proofView struct {
	ID         int64      `json:"id"`
	LeafIndex  int64      `json:"leaf_index"` // from 0
	LeafHash   []byte     `json:"leaf_hash"`
	TreeSize   int64      `json:"tree_size"`
	RootHash   []byte     `json:"root_hash"`
	Hashes     [][]byte   `json:"hashes"`
	Checkpoint string     `json:"checkpoint"`
	PublicKey  string     `json:"public_key"`
	Verified   bool       `json:"verified"`
	Problem    *string    `json:"problem"`
	Event      audit.View `json:"event"`
}

// proofOfEvent answers the proof of one event, by API and page alike:
// GET /audit/{id}/proof.
func (s *Server) proofOfEvent(c echo.Context) error {
	if _, err := queryParams(c); err != nil {
		return err
	}
	p, err := s.proofByParam(c)
	if err != nil {
		return err
	}
	view := proofView{ID: p.Event.Seq, LeafIndex: p.Event.Seq - 1, LeafHash: p.Leaf[:], TreeSize: p.Head.Size, RootHash: p.Head.Root[:],
		Hashes: [][]byte{}, Checkpoint: p.Checkpoint, PublicKey: s.service.AuditKey(), Verified: p.Problem == "", Event: p.Event.View()}
	for _, hash := range p.Path {
		view.Hashes = append(view.Hashes, hash[:])
	}
	if p.Problem != "" {
		view.Problem = &p.Problem
	}
	if c.Path() == proofPath {
		c.Response().Header().Set("Content-Disposition", `attachment; filename="audit-`+c.Param("id")+`-proof.json"`)
	}
	return c.JSON(http.StatusOK, view)
}

// proofPath is that of the page.
const proofPath = "/audit/:id/proof"

func (s *Server) proofByParam(c echo.Context) (audit.Proof, error) {
	seq, err := eventNumber(c)
	if err != nil {
		return audit.Proof{}, err
	}
	return s.service.Proof(c.Request().Context(), caller(c), seq)
}

// eventProof is what the page of an event says of its proof: how to ask for it, or
// the result.
func (s *Server) eventProof(c echo.Context, values url.Values) (views.EventProof, error) {
	proof := views.EventProof{URL: "/audit/" + c.Param("id")}
	if values.Get("verify") == "" {
		return proof, nil
	}
	p, err := s.proofByParam(c)
	if err != nil {
		return views.EventProof{}, err
	}
	proof.Checked, proof.Problem = true, p.Problem
	proof.Size, proof.Steps, proof.Checkpoint, proof.Key = p.Head.Size, len(p.Path), p.Checkpoint, s.service.AuditKey()
	proof.Leaf, proof.Root = p.Leaf.String(), p.Head.Root.String()
	return proof, nil
}
