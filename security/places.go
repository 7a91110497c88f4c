package security

import (
	"database/sql"
	"net/netip"

	"patronus.internal/dashboard/security/anomaly"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/geo"
)

// Places tells where an address is, as far as a GeoIP database knows.
type Places interface {
	Lookup(ip netip.Addr) (geo.Place, bool)
}

// suspectPlace judges where a sign-in came from by those before, and remembers
// it. Without a GeoIP database it does nothing.
func (s *Service) suspectPlace(tx *db.Tx, req Request, in SignIn) error {
	if s.places == nil {
		return nil
	}
	place, known := s.places.Lookup(req.IP)
	if !known {
		return nil
	}
	now := anomaly.SignIn{At: tx.Now(), Device: string(in.Device.Hash()), Country: place.Country,
		HasCoordinates: place.HasCoordinates, Latitude: place.Latitude, Longitude: place.Longitude}
	earlier, err := earlierPlaces(tx, in.User.ID)
	if err != nil {
		return err
	}
	var found []anomaly.Finding
	if f, is := anomaly.Country(now, earlier); is {
		found = append(found, f)
	}
	if len(earlier) > 0 { // the last one comes first
		if f, is := anomaly.Travel(earlier[0], now); is {
			found = append(found, f)
		}
	}
	for _, f := range found {
		if err := s.recordFinding(tx, sessionActor(req, in.User, in.Session), f); err != nil {
			return err
		}
	}
	var latitude, longitude any
	if place.HasCoordinates {
		latitude, longitude = place.Latitude, place.Longitude
	}
	_, err = tx.Exec(`INSERT INTO sign_in_places (user_id, country, latitude, longitude, device_hash, last_seen_at_us) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (user_id, country) DO UPDATE SET latitude = excluded.latitude, longitude = excluded.longitude,
			device_hash = excluded.device_hash, last_seen_at_us = excluded.last_seen_at_us`,
		in.User.ID, place.Country, latitude, longitude, in.Device.Hash(), db.Micros(tx.Now()))
	return err
}

func earlierPlaces(tx *db.Tx, userID string) ([]anomaly.SignIn, error) {
	rows, err := tx.Query("SELECT country, latitude, longitude, device_hash, last_seen_at_us FROM sign_in_places WHERE user_id = $1 ORDER BY last_seen_at_us DESC", userID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []anomaly.SignIn
	for rows.Next() {
		var in anomaly.SignIn
		var latitude, longitude sql.NullFloat64
		var device []byte
		var at int64
		if err := rows.Scan(&in.Country, &latitude, &longitude, &device, &at); err != nil {
			return nil, err
		}
		in.At, in.Device = db.FromMicros(at), string(device)
		in.HasCoordinates, in.Latitude, in.Longitude = latitude.Valid && longitude.Valid, latitude.Float64, longitude.Float64
		list = append(list, in)
	}
	return list, rows.Err()
}
