package handlers

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/secerr"
)

type blockJSON struct {
	ID        string         `json:"id"`
	IP        string         `json:"ip"`
	Reason    *string        `json:"reason"`
	Source    ipblock.Source `json:"source"`
	CreatedBy *string        `json:"created_by"`
	CreatedAt timestamp      `json:"created_at"`
	ExpiresAt timestamp      `json:"expires_at"`
}

func showBlock(b ipblock.Block) blockJSON {
	return blockJSON{b.ID, networkText(b), stringOrNull(b.Reason), b.Source, stringOrNull(b.CreatedBy), timestamp(b.CreatedAt), timestamp(b.ExpiresAt)}
}

// networkText writes a network of one address as that address.
func networkText(b ipblock.Block) string {
	if b.Network.IsSingleIP() {
		return b.Network.Addr().String()
	}
	return b.Network.String()
}

// blockDuration reads how long a block is to last.
func blockDuration(s string) (time.Duration, error) {
	d, ok := parseDuration(s)
	if !ok || d < ipblock.MinDuration || d > ipblock.MaxDuration {
		return 0, secerr.Invalid("duration", "Write how long as 30s, 15m, 1h or 7d, up to 365d.")
	}
	return d, nil
}

// apiBlockIP shuts an address or a network out: POST /admin/block-ip.
func (s *Server) apiBlockIP(c echo.Context) error {
	var body struct {
		IP       string `json:"ip"`
		Duration string `json:"duration"`
		Reason   string `json:"reason"`
		Force    bool   `json:"force"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"ip", body.IP}, field{"duration", body.Duration}); err != nil {
		return err
	}
	duration, err := blockDuration(body.Duration)
	if err != nil {
		return err
	}
	block, err := s.service.BlockIP(c.Request().Context(), caller(c), security.BlockRequest{Network: body.IP, Duration: duration, Reason: body.Reason, Force: body.Force})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, showBlock(block))
}

// apiListBlocks lists the blocks in force, the newest first:
// GET /admin/blocked-ips.
func (s *Server) apiListBlocks(c echo.Context) error {
	_, before, limit, err := listParams(c, decodeIDCursor)
	if err != nil {
		return err
	}
	blocks, next, err := s.service.Blocks(c.Request().Context(), caller(c), before, limit)
	if err != nil {
		return err
	}
	return answerList(c, blocks, encodeIDCursor(next), showBlock)
}

// apiUnblockIP ends one: DELETE /admin/blocked-ips/{id}.
func (s *Server) apiUnblockIP(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	if err := s.service.UnblockIP(c.Request().Context(), caller(c), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
