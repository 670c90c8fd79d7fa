package classifier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// causeKind is what an error below a fault is, as far as Go's types tell.
type causeKind uint8

const (
	causeNone causeKind = iota
	causeCancelled
	causeDNS
	causeRefused
	causeReset
	causeUnreachable
	causeTimeout
	causeEOF
	causeClosed
	causeClock
	causeTrust
	causeTLS
	causeProxy
	causeNet
)

// kindOf names the innermost cause that Go's types tell apart. What it does
// not know is causeNone: the caller looks further.
func kindOf(err error) causeKind {
	if err == nil {
		return causeNone
	}
	if errors.Is(err, context.Canceled) {
		return causeCancelled
	}
	for _, look := range [...]func(error) causeKind{tlsKind, dnsKind, proxyKind, errnoKind, streamKind, netKind} {
		if k := look(err); k != causeNone {
			return k
		}
	}
	return causeNone
}

func tlsKind(err error) causeKind {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		if invalid.Reason == x509.Expired { // also "not yet valid": then the clock is wrong
			return causeClock
		}
		return causeTrust
	}
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var roots x509.SystemRootsError
	if errors.As(err, &unknownCA) || errors.As(err, &host) || errors.As(err, &roots) {
		return causeTrust
	}
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return causeTrust
	}
	var alert tls.AlertError
	var header tls.RecordHeaderError
	if errors.As(err, &alert) || errors.As(err, &header) {
		return causeTLS
	}
	return causeNone
}

func dnsKind(err error) causeKind {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return causeDNS
	}
	return causeNone
}

func proxyKind(err error) causeKind {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" { // net/http's name for the hop to a proxy
		return causeProxy
	}
	return causeNone
}

func errnoKind(err error) causeKind {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return causeNone
	}
	switch errno {
	case syscall.ECONNREFUSED:
		return causeRefused
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return causeReset
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN:
		return causeUnreachable
	case syscall.ETIMEDOUT:
		return causeTimeout
	}
	return causeNone
}

func streamKind(err error) causeKind {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return causeEOF
	case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return causeClosed
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return causeTimeout
	}
	return causeNone
}

func netKind(err error) causeKind {
	var n net.Error // also *url.Error, which says nothing but whether it is a timeout
	if errors.As(err, &n) && n.Timeout() {
		return causeTimeout
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return causeNet
	}
	return causeNone
}

// neverLeft reports errors that came before any byte of a request.
func neverLeft(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	switch kindOf(err) {
	case causeDNS, causeRefused, causeClock, causeTrust, causeUnreachable:
		return true
	}
	return false
}

func asFault(err error) *Fault {
	if f, ok := err.(*Fault); ok { //nolint:errorlint // the usual case, without allocating; what wraps follows
		return f
	}
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}
