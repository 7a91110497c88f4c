package db

import (
	"database/sql"
	"time"
)

// Micros is a time as it is stored: microseconds since the epoch.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the stored time in UTC.
func FromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// NullMicros is nil for NULL.
func NullMicros(us sql.NullInt64) *time.Time {
	if !us.Valid {
		return nil
	}
	t := FromMicros(us.Int64)
	return &t
}

// MicrosOrNull is NULL for nil.
func MicrosOrNull(t *time.Time) any {
	if t == nil {
		return nil
	}
	return Micros(*t)
}
