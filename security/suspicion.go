package security

import (
	"context"
	"net/netip"
	"time"

	"patronus.internal/dashboard/security/anomaly"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/user"
)

func (s *Service) thresholds() anomaly.Thresholds {
	p := s.Policy().Anomaly
	return anomaly.Thresholds{SprayAccounts: int(p.SprayAccounts), Window: time.Duration(p.SprayWindowSecs) * time.Second,
		AddressFailures: int(p.AddressFailures), Block: time.Duration(p.BlockSecs) * time.Second}
}

// suspectFailure holds a wrong password against the rules. An attempt that was
// refused before its password was looked at is no failure, and still shows who
// tries many accounts.
func (s *Service) suspectFailure(ctx context.Context, req Request, email string, wrong bool) {
	account := email
	if canonical, err := user.CanonicalEmail(email); err == nil {
		account = canonical
	}
	note := s.tracker.Refused
	if wrong {
		note = s.tracker.Failed
	}
	found := note(req.IP, account, s.now())
	if len(found) == 0 {
		return
	}
	// Whoever is found out does not stop it by closing the connection.
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.suspect(recording, req.actor(), found); err != nil {
		s.tracker.Unsaid(found)
		s.log.ErrorContext(ctx, "suspicious activity could not be recorded", "error", err)
	}
}

// suspect records findings, and blocks whom they say to.
func (s *Service) suspect(ctx context.Context, actor audit.Actor, found []anomaly.Finding) error {
	return s.commit(ctx, func(tx *db.Tx) error {
		for _, f := range found {
			if err := s.recordFinding(tx, actor, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) recordFinding(tx *db.Tx, actor audit.Actor, f anomaly.Finding) error {
	details := audit.Details{"reasons": []string{f.Rule}}
	for name, value := range f.Details {
		details[name] = value
	}
	if f.Account != "" {
		details["target_email"] = f.Account
	}
	blocks := f.Block > 0 && s.blockable(f.Network)
	details["blocked"] = blocks
	if err := audit.Append(tx, audit.Event{Type: audit.SuspiciousActivity, Actor: actor, Details: details}); err != nil || !blocks {
		return err
	}
	block, err := s.block(tx, ipblock.Block{Network: f.Network, Reason: f.Rule, Source: ipblock.Automatic, ExpiresAt: tx.Now().Add(f.Block)})
	if err != nil {
		return err
	}
	return audit.Append(tx, audit.Event{Type: audit.IPBlock, Success: true, Actor: audit.Actor{RequestID: actor.RequestID}, Details: blockDetails(block)})
}

// blockable spares trusted proxies and the two addresses by which a proxy on
// this host comes when nobody has named it: to block one of them by itself would
// shut out everybody.
func (s *Service) blockable(network netip.Prefix) bool {
	return !s.isProxy(network) && !network.Contains(netip.MustParseAddr("127.0.0.1")) && !network.Contains(netip.IPv6Loopback())
}

// suspectKey judges the use of a key from an address that it was not used from
// last, in the transaction that notes the use.
func (s *Service) suspectKey(tx *db.Tx, c Caller) error {
	network := anomaly.KeyNetworkOf(c.Request.IP)
	if !network.IsValid() {
		return nil
	}
	rows, err := tx.Query("SELECT network FROM api_key_networks WHERE api_key_id = $1", c.Key.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	var before []netip.Prefix
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		known, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		if known == network {
			return nil
		}
		before = append(before, known)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	// A key that roams is not worth more rows: what is news about it was told.
	if len(before) >= 100 {
		return nil
	}
	if f, is := anomaly.Key(c.Key.ID, c.Key.CreatedAt, c.Request.IP, before, tx.Now()); is {
		f.Block = 0
		if err := s.recordFinding(tx, c.actor(), f); err != nil {
			return err
		}
	}
	_, err = tx.Exec("INSERT INTO api_key_networks (api_key_id, network, first_seen_at_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		c.Key.ID, network.String(), db.Micros(tx.Now()))
	return err
}
