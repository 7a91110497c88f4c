package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

type healthcheckCmd struct{}

// Run asks the server on this host. The certificate is not checked: it is made
// out to the public name, the question goes to this machine, and neither it
// nor the answer holds a secret.
func (healthcheckCmd) Run(ctx context.Context, settings *Settings, std streams) error {
	host, port, err := net.SplitHostPort(settings.Listen)
	if err != nil {
		return usagef("--listen %q is not an address and a port, for example 127.0.0.1:8080", settings.Listen)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if settings.TLSCert != "" {
		scheme = "https"
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers, and is not ready: %s", response.Status)
	}
	_, err = fmt.Fprintln(std.out, "ok")
	return err
}
