package securitytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Rsyslog is a real rsyslogd that writes what it receives to a file, a line for
// each message. It listens on the loopback interface by UDP, TCP and TLS.
type Rsyslog struct {
	UDP, TCP, TLS string         // addresses with ports
	Roots         *x509.CertPool // that its certificate comes from
	CAFile        string         // the same as a file

	dir     string
	command *exec.Cmd
}

// rsyslogConfig writes of each message what was understood of it, field by field.
const rsyslogConfig = `
global(workDirectory="%[1]s" maxMessageSize="64k" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="%[1]s/cert.pem"
	defaultNetstreamDriverCertFile="%[1]s/cert.pem" defaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imudp")
module(load="imtcp" streamDriver.name="ptcp" streamDriver.mode="0")
template(name="fields" type="string" string="%%syslogfacility%% %%syslogseverity%% %%timereported:::date-rfc3339%% %%hostname%% %%app-name%% %%procid%% %%msgid%% %%structured-data%% %%msg%%\n")
ruleset(name="received") {
	action(type="omfile" file="%[1]s/received" template="fields")
}
input(type="imudp" address="127.0.0.1" port="%[2]s" ruleset="received")
input(type="imtcp" address="127.0.0.1" port="%[4]s" ruleset="received" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="%[3]s" ruleset="received" streamDriver.name="ptcp" streamDriver.mode="0")
`

// StartRsyslog starts an rsyslogd, which ends with the test. A machine without
// one fails the test: the Debian packages are rsyslog and rsyslog-gnutls.
func StartRsyslog(t testing.TB) *Rsyslog {
	t.Helper()
	r := &Rsyslog{dir: t.TempDir()}
	udp, tcp, private := freePort(t), freePort(t), freePort(t)
	r.UDP, r.TCP, r.TLS = "127.0.0.1:"+udp, "127.0.0.1:"+tcp, "127.0.0.1:"+private
	r.CAFile = filepath.Join(r.dir, "cert.pem")
	r.Roots = writeCertificate(t, r.CAFile, filepath.Join(r.dir, "key.pem"))
	if err := os.WriteFile(filepath.Join(r.dir, "conf"), fmt.Appendf(nil, rsyslogConfig, r.dir, udp, tcp, private), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.command != nil {
			r.Kill(t)
		}
	})
	r.Start(t)
	return r
}

// Start starts it, for the first time or again, and returns when it listens.
func (r *Rsyslog) Start(t testing.TB) {
	t.Helper()
	path, err := exec.LookPath("rsyslogd")
	if err != nil {
		path = "/usr/sbin/rsyslogd" // not in everybody's path
	}
	r.command = exec.Command(path, "-n", "-f", filepath.Join(r.dir, "conf"), "-i", filepath.Join(r.dir, "pid"))
	r.command.Stdout, r.command.Stderr = t.Output(), t.Output()
	if err := r.command.Start(); err != nil {
		r.command = nil
		t.Fatalf("rsyslogd does not start; install the packages rsyslog and rsyslog-gnutls: %v", err)
	}
	for _, address := range []string{r.TCP, r.TLS} {
		Eventually(t, "rsyslogd listens on "+address, func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
}

// Kill ends it with SIGKILL: what it had not written is lost.
func (r *Rsyslog) Kill(t testing.TB) {
	t.Helper()
	if err := r.command.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = r.command.Wait() // it was killed
	r.command = nil
	if err := os.Remove(filepath.Join(r.dir, "pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Lines are the messages that it has written, as "facility severity time host
// app process type data text".
func (r *Rsyslog) Lines(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "received"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	return lines[:len(lines)-1] // the last one is empty, or being written
}

// Eventually waits until something is so. The limit is for a failure.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// freePort is a port that nobody listens on. It is below those that the system hands
// out by itself: one of these may be the other end of any connection by the time
// that rsyslogd comes back and wants it again.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + mathrand.IntN(10_000))
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no port is free")
	return ""
}

// writeCertificate makes a certificate for 127.0.0.1 that vouches for itself.
func writeCertificate(t testing.TB, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rsyslog"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: certificate}, keyFile: {Type: "EC PRIVATE KEY", Bytes: private}} {
		text := pem.EncodeToMemory(block)
		pool.AppendCertsFromPEM(text)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}
