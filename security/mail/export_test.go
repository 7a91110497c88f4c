package mail

import (
	"context"
	"net"
)

// DialTo makes the Sender connect to address, whatever host its Settings name.
func (s *Sender) DialTo(address string) {
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
