package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS refines how rediss:// connects. Its files are PEM and read by [New] only.
type TLS struct {
	// CA is a file with the authorities to trust. Default: the system's.
	CA string
	// Cert and Key are files with the certificate that we show. Default: none.
	Cert, Key string
	// ServerName is the name that a server's certificate must have. Default: the
	// host by which it is reached; in a Cluster, and for a master named by
	// Sentinels, that is often an IP address.
	ServerName string
}

func (t TLS) validate(u address) error {
	if !u.secure {
		return errors.New("redis tls: the URL must begin with rediss://")
	}
	if (t.Cert == "") != (t.Key == "") {
		return errors.New("redis tls: cert and key belong together")
	}
	return nil
}

// tls reads the files. Without TLS it answers nil.
func (t target) tls() (*tls.Config, error) {
	if !t.secure {
		return nil, nil //nolint:nilnil // no TLS
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.files.ServerName}
	if t.files.CA != "" {
		pem, err := os.ReadFile(t.files.CA)
		if err != nil {
			return nil, fmt.Errorf("redis tls: read the authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("redis tls: %s holds no certificate", t.files.CA)
		}
	}
	if t.files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.files.Cert, t.files.Key)
		if err != nil {
			return nil, fmt.Errorf("redis tls: read certificate and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
