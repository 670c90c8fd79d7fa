package classifier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"syscall"
)

// causeKind is what an error below a fault is, as far as Go's types tell. In a
// chain of errors the smallest kind explains the others.
type causeKind uint8

const (
	causeCancelled causeKind = iota + 1
	causeClock
	causeTrust
	causeTLS
	causeDNS
	causeProxy
	causeRefused
	causeReset
	causeUnreachable
	causeTimeout
	causeEOF
	causeClosed
	causeNet
	causeNone
)

// maxDepth bounds the walk over an error that wraps itself.
const maxDepth = 50

// kindOf names the cause that Go's types tell. What it does not know is
// causeNone: the caller looks further. It walks the tree of wrapped errors by
// itself, because errors.As would allocate for each type it is asked about.
func kindOf(err error) causeKind {
	best := causeNone
	walk(err, maxDepth, func(e error) bool {
		best = min(best, kindOfOne(e))
		return true
	})
	return best
}

// walk visits an error and all that it wraps, until visit says no.
func walk(err error, depth int, visit func(error) bool) bool {
	for ; err != nil && depth > 0; depth-- {
		if !visit(err) {
			return false
		}
		switch e := err.(type) { //nolint:errorlint // this is the unwrapping
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				if !walk(one, depth-1, visit) {
					return false
				}
			}
			return true
		default:
			return true
		}
	}
	return true
}

func kindOfOne(err error) causeKind {
	switch e := err.(type) { //nolint:errorlint // the caller unwraps
	case syscall.Errno:
		return errnoKind(e)
	case *net.DNSError:
		return causeDNS
	case *net.OpError:
		if e.Op == "proxyconnect" { // net/http's name for the hop to a proxy
			return causeProxy
		}
		return causeNet
	}
	return min(tlsKind(err), streamKind(err))
}

func tlsKind(err error) causeKind {
	switch e := err.(type) { //nolint:errorlint // the caller unwraps
	case x509.CertificateInvalidError:
		if e.Reason == x509.Expired { // also "not yet valid": then the clock is wrong
			return causeClock
		}
		return causeTrust
	case x509.UnknownAuthorityError, x509.HostnameError, x509.SystemRootsError, *tls.CertificateVerificationError:
		return causeTrust
	case tls.AlertError, tls.RecordHeaderError:
		return causeTLS
	}
	return causeNone
}

func errnoKind(errno syscall.Errno) causeKind {
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
	case same(err, context.Canceled):
		return causeCancelled
	case same(err, context.DeadlineExceeded), same(err, os.ErrDeadlineExceeded):
		return causeTimeout
	case same(err, io.EOF), same(err, io.ErrUnexpectedEOF):
		return causeEOF
	case same(err, net.ErrClosed), same(err, io.ErrClosedPipe):
		return causeClosed
	}
	if n, ok := err.(net.Error); ok && n.Timeout() { //nolint:errorlint // the caller unwraps
		return causeTimeout
	}
	return causeNone
}

// same is errors.Is for one link of the chain.
func same(err, target error) bool {
	if err == target { //nolint:errorlint // the caller unwraps
		return true
	}
	is, ok := err.(interface{ Is(error) bool })
	return ok && is.Is(target)
}

// neverLeft reports errors that came before any byte of a request.
func neverLeft(err error) bool {
	dialed := false
	walk(err, maxDepth, func(e error) bool {
		op, ok := e.(*net.OpError) //nolint:errorlint // walk unwraps
		dialed = ok && (op.Op == "dial" || op.Op == "proxyconnect")
		return !dialed
	})
	if dialed {
		return true
	}
	switch kindOf(err) {
	case causeDNS, causeRefused, causeClock, causeTrust, causeUnreachable:
		return true
	}
	return false
}

// asFault finds the fault in a chain of errors; nil if there is none.
func asFault(err error) *Fault {
	var found *Fault
	walk(err, maxDepth, func(e error) bool {
		f, ok := e.(*Fault) //nolint:errorlint // walk unwraps
		if ok && f != nil {
			found = f
		}
		return found == nil
	})
	return found
}
