//go:build !linux

package syslog

import (
	"net"
	"time"
)

// setTakeTimeout does nothing. Fails open because these systems have no such
// setting: when the receiver's whole host vanishes, what was sent to it more than
// a minute before that is noticed may be lost.
func setTakeTimeout(*net.TCPConn, time.Duration) error { return nil }
