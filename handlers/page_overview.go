package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/views"
)

// pageOverview is the first page behind the sign-in.
func (s *Server) pageOverview(c echo.Context) error {
	who := caller(c)
	o, err := s.service.Overview(c.Request().Context(), who)
	if err != nil {
		return err
	}
	devices, err := s.service.NewDevices(c.Request().Context(), who)
	if err != nil {
		return err
	}
	var rows []views.DeviceRow
	for _, d := range devices {
		rows = append(rows, views.DeviceRow{Name: d.Name, IP: d.IPAddress, FirstSeenAt: d.FirstSeenAt})
	}
	var expiring []views.APIKeyRow
	for _, k := range o.Expiring {
		expiring = append(expiring, keyRow(k))
	}
	return s.render(c, http.StatusOK, views.Overview(views.OverviewProps{NewDevices: rows, Expiring: expiring, MoreExpire: o.MoreExpire,
		Page: s.page(c, "Overview", views.MenuOverview), MFAEnabled: who.User.MFAEnabled, BackupCodesRemaining: o.BackupCodes,
		ActiveAPIKeys: o.Keys, Sessions: o.Sessions, Recent: eventRows(o.Latest),
		Since: o.Since, Warnings: o.Figures[audit.Warning], Criticals: o.Figures[audit.Critical]}))
}

func eventRows(events []audit.Record) []views.EventRow {
	rows := make([]views.EventRow, 0, len(events))
	for _, e := range events {
		rows = append(rows, views.EventRow{ID: e.Seq, Time: e.Time, Type: string(e.Type), Severity: string(e.Severity),
			Success: e.Success, Email: e.Actor.Email, IP: e.Actor.IPAddress, RequestID: e.Actor.RequestID})
	}
	return rows
}
