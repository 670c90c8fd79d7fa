package webwx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"wechat-bridge/classifier"
)

// errSlow is the cause of an operation's own time-out. It is not a context
// error, so that nobody takes it for a cancellation.
var errSlow error = slow{}

type slow struct{}

func (slow) Error() string   { return "no answer in time" }
func (slow) Timeout() bool   { return true }
func (slow) Temporary() bool { return true }

// ErrClosed is what a closed session answers.
var ErrClosed = fmt.Errorf("the session is closed: %w", net.ErrClosed)

const maxFaultText = 200 // characters of the server's words in a fault

// fault makes a fault about this exchange.
func (ex *exchange) fault(phase classifier.Phase, text string) *classifier.Fault {
	return &classifier.Fault{
		Transport: classifier.WebWX, Op: ex.op, Endpoint: ex.target,
		Status: ex.status, Body: ex.kind, Phase: phase, Text: printable(text),
	}
}

// coded makes a fault from WeChat's own code.
func (ex *exchange) coded(code int, words string) *classifier.Fault {
	f := ex.fault(classifier.PhaseAnswer, words)
	f.Code, f.HasCode = code, true
	return f
}

// unreadable makes a fault from an answer that says 200 but means nothing.
func (ex *exchange) unreadable(text string, cause error) *classifier.Fault {
	f := ex.fault(classifier.PhaseSent, text)
	f.Body, f.Cause = classifier.BodyOther, cause
	return f
}

// broken makes a fault from a request that got no answer.
func (ex *exchange) broken(ctx context.Context, err error) *classifier.Fault {
	err = bare(err)
	if errors.Is(context.Cause(ctx), errSlow) {
		err = errSlow
	}
	f := ex.fault(ex.phase(), networkText(err))
	f.Cause = err
	return f
}

// refused makes a fault of our own: nothing was sent.
func refused(op classifier.Operation, format string, args ...any) *classifier.Fault {
	return &classifier.Fault{
		Transport: classifier.WebWX, Op: op, Phase: classifier.PhasePrepare,
		Text: printable(fmt.Sprintf(format, args...)),
	}
}

// closedFault says that the session was closed before the request left: the
// message surely did not go out and may be tried on the next session.
func closedFault(op classifier.Operation) *classifier.Fault {
	return &classifier.Fault{
		Transport: classifier.WebWX, Op: op, Phase: classifier.PhaseDial,
		Text: "session closed", Cause: ErrClosed,
	}
}

// networkText names the common ways a connection fails, in a few words that
// hold no address.
func networkText(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "name lookup failed"
	case errors.As(err, &cert):
		return "TLS certificate refused"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection ended before the answer"
	case errors.Is(err, errSlow), errors.As(err, &timeout) && timeout.Timeout():
		return "time-out"
	}
	return "connection failed"
}

// printable keeps one bounded line of what a stranger's server wrote.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxFaultText {
		s = string(r[:maxFaultText]) + "…"
	}
	return strings.TrimSpace(s)
}
