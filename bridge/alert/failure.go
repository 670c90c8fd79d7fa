package alert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Reasons of a failure, a closed set: nothing of an address, an answer or a
// library's error text gets into it, so it cannot show a secret.
const (
	ReasonTimeout   = "it did not answer in time"
	ReasonCancelled = "the bridge stopped before it was done"
	ReasonDNS       = "its name could not be resolved"
	ReasonRefused   = "it could not be reached"
	ReasonConnect   = "the connection to it broke"
	ReasonTLS       = "TLS failed: its certificate is not trusted, or it speaks no TLS"
	ReasonStatus    = "it refused"
	ReasonRedirect  = "it redirects in a way that is not followed"
	ReasonInward    = "it redirects to a private address"
	ReasonOther     = "sending failed"
)

// Failure says why a channel did not take a message. It wraps nothing on
// purpose: addresses of channels are secrets, and errors of network and
// libraries carry them.
type Failure struct {
	Reason string
	Status int           // HTTP status, 0 if there was none
	Wait   time.Duration // what the server asked for, 0 if nothing
}

// NotTaken reports that the other side surely does not have the message: it was
// not reached, or it answered that it refuses. A gateway that ran out of time
// (504) may have passed it on, and so may a connection that broke.
func (f *Failure) NotTaken() bool {
	switch f.Reason {
	case ReasonDNS, ReasonTLS, ReasonRefused, ReasonRedirect, ReasonInward:
		return true
	case ReasonStatus:
		return f.Status >= 400 && f.Status != http.StatusGatewayTimeout
	}
	return false
}

// Error is a sentence for an operator.
func (f *Failure) Error() string {
	if f.Status != 0 {
		return fmt.Sprintf("%s: HTTP %d", f.Reason, f.Status)
	}
	return f.Reason
}

// statusText finds the status in the text of a library's error: after the word,
// or before its own text as in "500 Internal Server Error".
var statusText = regexp.MustCompile(`(?i:\b(?:status|status code|http)[:= "]{1,3}([45]\d\d)\b)|\b([45]\d\d) [A-Z][a-z]+`)

// phrases are how errors read whose values a library threw away.
var phrases = []struct{ in, reason string }{
	{"deadline exceeded", ReasonTimeout}, {"timeout", ReasonTimeout}, {"timed out", ReasonTimeout},
	{"no such host", ReasonDNS}, {"server misbehaving", ReasonDNS},
	{"x509:", ReasonTLS}, {"tls:", ReasonTLS},
	{"connection refused", ReasonRefused}, {"unreachable", ReasonRefused}, {"connection reset", ReasonConnect}, {"eof", ReasonConnect},
}

// failure makes the Failure of any error; nil stays nil.
func failure(err error) *Failure {
	if err == nil {
		return nil
	}
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	if reason := known(err); reason != "" {
		return &Failure{Reason: reason}
	}
	return read(err.Error())
}

func known(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var timeout net.Error
	var dial *net.OpError
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork):
		return ReasonInward
	case errors.Is(err, context.Canceled):
		return ReasonCancelled
	case errors.As(err, &dns):
		return ReasonDNS
	case errors.As(err, &dial) && dial.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		return ReasonRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return ReasonTimeout
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &unknown):
		return ReasonTLS
	case errors.As(err, &timeout) && timeout.Timeout():
		return ReasonTimeout
	case errors.Is(err, syscall.ECONNRESET):
		return ReasonConnect
	}
	return ""
}

// read judges the text of an error, without keeping any of it but a status.
func read(s string) *Failure {
	if m := statusText.FindStringSubmatch(s); m != nil {
		status, _ := strconv.Atoi(m[1] + m[2]) // one of them is empty
		return &Failure{Reason: ReasonStatus, Status: status}
	}
	s = strings.ToLower(s)
	for _, p := range phrases {
		if strings.Contains(s, p.in) {
			return &Failure{Reason: p.reason}
		}
	}
	return &Failure{Reason: ReasonOther}
}
