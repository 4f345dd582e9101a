package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Certs are PEM files of an authority and of a certificate by it, good for servers
// at 127.0.0.1 and "redis.test" and for clients.
type Certs struct {
	CA, Cert, Key string
}

// NewCerts makes an authority of its own.
func NewCerts(t testing.TB) Certs {
	t.Helper()
	dir := t.TempDir()
	c := Certs{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey := newKey(t)
	signed, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	write(t, c.CA, "CERTIFICATE", signed, err)

	key := newKey(t)
	signed, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis.test"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{"redis.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, &key.PublicKey, caKey)
	write(t, c.Cert, "CERTIFICATE", signed, err)
	raw, err := x509.MarshalECPrivateKey(key)
	write(t, c.Key, "EC PRIVATE KEY", raw, err)
	return c
}

// StartTLS starts a server that beside its other port has one for TLS, at the
// address answered; there clients must show a certificate by the same authority.
func StartTLS(t testing.TB, c Certs, args ...string) (s *Server, addr string) {
	t.Helper()
	s = &Server{t: t, dir: t.TempDir()}
	s.start(func(t testing.TB) int {
		port := strconv.Itoa(freePort(t))
		addr = net.JoinHostPort("127.0.0.1", port)
		s.args = append([]string{
			"--tls-port", port, "--tls-ca-cert-file", c.CA, "--tls-cert-file", c.Cert, "--tls-key-file", c.Key,
		}, args...)
		return freePort(t)
	})
	return s, addr
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return key
}

func write(t testing.TB, path, kind string, der []byte, err error) {
	t.Helper()
	if err == nil {
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
}
