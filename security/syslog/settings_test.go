package syslog

import (
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"udp://logs.example.org", "udp://logs.example.org:514"},
		{"tcp://192.0.2.7/", "tcp://192.0.2.7:514"},
		{"tls://logs.example.org", "tls://logs.example.org:6514"},
		{"tls://[2001:db8::1]:7000", "tls://[2001:db8::1]:7000"},
		{"TCP://logs.example.org:601", "tcp://logs.example.org:601"},
	} {
		got, err := ParseSettings(c.url)
		if err != nil || got.String() != c.want {
			t.Errorf("%s: %v, %v", c.url, got, err)
		}
	}
	for _, url := range []string{"", "logs.example.org:514", "http://logs.example.org", "tcp://", "tcp://:514", "tcp://h:0", "tcp://h:65536", "tcp://h:x",
		"tcp://user:hunter2@h", "tcp://h/path", "tcp://h?ca=x", "tcp://h?", "tcp://h#x", "tcp://[::1", "unix:///dev/log", "tcp://hunter2 h"} {
		if got, err := ParseSettings(url); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, %v", url, got, err)
		}
	}
}
