package security

import (
	"context"
	"crypto/sha256"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/device"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// newDevicesShown is for how long the overview tells of a new device.
const newDevicesShown = 7 * 24 * time.Hour

// noteDevice gives the device of a finished sign-in its cookie. From one that
// the user did not use before, the log gets an event, the next page says so,
// and the user gets a mail. The first sign-in of an account is news to nobody.
//
// A program that keeps no cookies is known by its address and its name, or each
// run of a script would be news. That is for this alone: what a stranger could
// gain by it is that nobody is told.
func (s *Service) noteDevice(tx *db.Tx, req Request, in *SignIn) error {
	cookie := req.Device
	if !device.Genuine(cookie, s.keys.MAC) {
		var err error
		if cookie, err = device.New(s.rand, s.keys.MAC); err != nil {
			return err
		}
	}
	in.Device = cookie
	if in.Session.Kind == session.API {
		known, err := device.Known(tx, in.User.ID, cookie, tx.Now())
		if err != nil {
			return err
		}
		alike, err := session.Alike(tx, in.Session, tx.Now().Add(-device.Lifetime))
		if err != nil || alike && !known {
			return err
		}
	}
	name := in.Session.Device()
	known, err := device.Seen(tx, in.User.ID, cookie, device.Device{Name: name, IPAddress: in.Session.IPAddress})
	if err != nil || known || in.User.LastLoginAt == nil {
		return err
	}
	if err := audit.Append(tx, audit.Event{Type: audit.NewDevice, Success: true, Actor: sessionActor(req, in.User, in.Session),
		Details: audit.Details{"device": name}}); err != nil {
		return err
	}
	if in.Session.Kind == session.Browser {
		if err := session.SetNewDevice(tx, in.Session.ID, true); err != nil {
			return err
		}
		in.Session.NewDevice = true
	}
	return s.post(tx, outbox.NewDevice, in.User.Email, map[string]string{"device": name, "ip_address": in.Session.IPAddress}, noticeLifetime)
}

// NewDeviceShown notes that a page tells the caller, whose browser holds the
// cookie, that their device is new. A failure only makes the next page say it again.
func (s *Service) NewDeviceShown(ctx context.Context, c Caller, cookie secret.Text) {
	err := s.commit(ctx, func(tx *db.Tx) error { return session.SetNewDevice(tx, c.Session.ID, false) })
	if err != nil {
		s.log.WarnContext(ctx, "it could not be noted that a notice was shown", "error", err)
		return
	}
	s.memory.cookies.change(sha256.Sum256([]byte(cookie.Reveal())), func(kept *session.Session) { kept.NewDevice = false })
}

// NewDevices lists the devices that signed in as the caller for the first time
// in the last days, but the one that asks.
func (s *Service) NewDevices(ctx context.Context, c Caller) ([]device.Device, error) {
	return device.Since(s.db.Read(ctx), c.User.ID, c.Request.Device, s.now().Add(-newDevicesShown))
}
