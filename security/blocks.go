package security

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
)

// BlockRequest is a network that a person or a key asks to be shut out.
type BlockRequest struct {
	Network  string // an address, or a network in CIDR notation
	Duration time.Duration
	Reason   string
	// Force blocks also the caller's own address and trusted proxies.
	Force bool
}

// BlockIP shuts an address or a network out, of pages and API alike, from the
// moment in which it returns. It returns secerr.ValidationFailed for what cannot be
// blocked, or only by force.
func (s *Service) BlockIP(ctx context.Context, c Caller, r BlockRequest) (ipblock.Block, error) {
	network, err := ipblock.ParseNetwork(r.Network)
	if err != nil {
		return ipblock.Block{}, err
	}
	if !r.Force && network.Contains(c.Request.IP.Unmap()) {
		return ipblock.Block{}, secerr.Invalid("ip", "This is your own address: you would shut yourself out. Force it to do so all the same.")
	}
	if !r.Force && s.isProxy(network) {
		return ipblock.Block{}, secerr.Invalid("ip", "This is a trusted proxy: everybody behind it would be shut out. Force it to do so all the same.")
	}
	if r.Reason != "" {
		if r.Reason, err = cleanName("reason", r.Reason); err != nil {
			return ipblock.Block{}, err
		}
	}
	var block ipblock.Block
	err = s.change(ctx, c, func(tx *db.Tx) error {
		block, err = s.block(tx, ipblock.Block{Network: network, Reason: r.Reason, Source: ipblock.Manual, CreatedBy: c.User.ID, ExpiresAt: tx.Now().Add(r.Duration)})
		if err != nil {
			return err
		}
		return record(tx, c, audit.IPBlock, blockDetails(block))
	})
	return block, err
}

func (s *Service) block(tx *db.Tx, b ipblock.Block) (ipblock.Block, error) {
	block, err := ipblock.Add(tx, b)
	if err != nil {
		return ipblock.Block{}, err
	}
	_, err = revocation.Advance(tx)
	return block, err
}

// isProxy reports whether a network holds a trusted proxy.
func (s *Service) isProxy(network netip.Prefix) bool {
	for _, proxy := range s.proxies {
		if proxy.Overlaps(network) {
			return true
		}
	}
	return false
}

func blockDetails(b ipblock.Block) audit.Details {
	details := audit.Details{"target_block_id": b.ID, "target_network": b.Network.String(), "source": string(b.Source), "expires_at": audit.Time(b.ExpiresAt)}
	if b.Reason != "" {
		details["reason"] = audit.FreeText(b.Reason)
	}
	return details
}

// UnblockIP ends a block, or is secerr.NotFound.
func (s *Service) UnblockIP(ctx context.Context, c Caller, id string) error {
	return s.change(ctx, c, func(tx *db.Tx) error {
		block, err := ipblock.Remove(tx, id, c.User.ID)
		if err != nil {
			return err
		}
		if _, err := revocation.Advance(tx); err != nil {
			return err
		}
		return record(tx, c, audit.IPUnblock, blockDetails(block))
	})
}

// Blocks lists the blocks in force, newest first, and the cursor of the ones
// that follow; only single ones where ip_blocks:read was granted for these
// alone.
func (s *Service) Blocks(ctx context.Context, c Caller, before string, limit int) ([]ipblock.Block, string, error) {
	var only []string
	if c.Reach(rbac.IPBlocksRead) != rbac.All {
		only = c.Held().Resources(rbac.IPBlocksRead)
	}
	return ipblock.Page(s.db.Read(ctx), s.now(), only, before, limit)
}

// Blocked returns secerr.IPBlocked for a request from a blocked address.
func (s *Service) Blocked(ctx context.Context, req Request) error {
	if err := s.fresh(ctx); err != nil {
		return err
	}
	block, found := s.memory.blocks.Find(req.IP, s.now())
	if !found {
		return nil
	}
	s.noteRefusal(ctx, audit.AuthorizationFailed, req.actor(), req.Route, string(secerr.IPBlocked))
	return &secerr.Error{Code: secerr.IPBlocked, RetryAfter: block.ExpiresAt.Sub(s.now()),
		Detail: fmt.Sprintf("Your address %s is blocked until %s. An admin can tell why, by the request id.", req.IP, block.ExpiresAt.UTC().Format("2006-01-02 15:04:05 UTC"))}
}
