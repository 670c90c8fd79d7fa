package alert

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// guardian refuses all that is not a public address: loopback, private and
// link-local networks, and the rest of IANA's special purpose registries.
var guardian = ssrf.New(ssrf.WithAnyPort())

// guard is a dialer's control: it sees the address after the name was
// resolved, so a name cannot change in between.
var guard = guardian.Safe

type control func(network, address string, c syscall.RawConn) error

// newClient makes a client that follows no redirect, takes no proxy from the
// environment and keeps no connection.
func newClient(c control) *http.Client {
	dialer := &net.Dialer{Timeout: webhookTime, Control: c}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    webhookTime,
			ResponseHeaderTimeout:  webhookTime,
			MaxResponseHeaderBytes: maxAnswer,
			DisableKeepAlives:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// private reports whether an address is one that guard refuses.
func private(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err != nil || guardian.SafeAddr(ap.Addr().Unmap()) != nil
}

// local reports whether a host's name or address belongs to this machine or a
// private network, as far as can be told without asking anybody.
func local(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") { // localhost, a name of the local network or of a container
		return true
	}
	for _, end := range []string{".localhost", ".local", ".internal", ".lan", ".home.arpa"} {
		if strings.HasSuffix(host, end) {
			return true
		}
	}
	return false
}
