package syslog

import (
	"context"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTakeTimeoutIsSet: it is what lets a minute without a broken connection
// count as arrival.
func TestTakeTimeoutIsSet(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	settings, err := ParseSettings("tcp://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := NewSender(settings, Options{Dialer: &net.Dialer{}})
	if err := s.connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw, err := s.link.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	var failed error
	if err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil || got != 30_000 {
		t.Errorf("%d ms, %v", got, failed)
	}
}
