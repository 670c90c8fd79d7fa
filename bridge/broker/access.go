package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// AccessError says that NATS is there but does not let us in, or that what we
// were given to get in cannot be used. Waiting does not mend it.
type AccessError struct {
	What string
	Err  error
}

func (e *AccessError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *AccessError) Unwrap() error { return e.Err }

// accessError judges why a first connection failed; nil means: try again.
func accessError(cfg ConnConfig, err error) error {
	what := ""
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrAccountAuthExpired), errors.Is(err, nats.ErrNkeysNotSupported), strings.Contains(err.Error(), "nkeys not supported"):
		what = "NATS refuses the credentials; check user, password, token, nkey or credentials file"
	case isTLS(err):
		what = "no secure connection to NATS; check --nats-ca, --nats-cert and --nats-key"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		what = "a file for the connection to NATS cannot be read"
	case cfg.Context != "" && isContext(err):
		what = "the context of the nats command line cannot be used"
	case isConfig(err):
		what = "the connection to NATS is not well described"
	default:
		return nil
	}
	return &AccessError{What: what, Err: err}
}

func isTLS(err error) bool {
	var alert tls.AlertError
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &alert) || errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &host) ||
		errors.As(err, &record) || errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted) ||
		strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ")
}

// isContext: natscontext has no error types for an unknown or a broken context.
func isContext(err error) bool {
	for _, s := range []string{"unknown context", "invalid context", "invalid character", "unexpected end of JSON"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

// isConfig: errors before any byte was sent. nats.go has no types for most.
func isConfig(err error) bool {
	for _, s := range []string{"invalid argument", "parse \"", "error loading", "error parsing", "no nkey", "seed", "unable to extract", "failed to parse root certificate"} {
		if strings.Contains(err.Error(), s) {
			return true
		}
	}
	return false
}

// asyncErrors logs what comes outside of any call, such as a forbidden
// subject; the same again within a minute is not worth another line.
type asyncErrors struct {
	log    zerolog.Logger
	denied *deniedRights

	mu   sync.Mutex
	last string
	at   time.Time
}

func (a *asyncErrors) handle(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrConnectionClosed) {
		return
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		a.denied.note(err)
	}
	a.mu.Lock()
	again := err.Error() == a.last && time.Since(a.at) < time.Minute
	if !again {
		a.last, a.at = err.Error(), time.Now()
	}
	a.mu.Unlock()
	if again {
		return
	}
	line := a.log.Warn().Err(err)
	if sub != nil {
		line = line.Str("subject", sub.Subject)
	}
	line.Msg("nats_error")
}
