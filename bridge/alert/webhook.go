package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"wechat-bridge/bridge/wire"
)

// The headers of https://www.standardwebhooks.com.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"

	secretPrefix = "whsec_"
	minSecret    = 24 // bytes, as the specification wants them
	maxSecret    = 64
)

const (
	webhookTime  = 10 * time.Second // for one try, redirects and all
	maxRedirects = 3
	maxAnswer    = 64 << 10 // bytes read of headers, and of a body
	maxWait      = 5 * time.Minute
)

// webhook posts a CloudEvent, signed with HMAC-SHA256.
type webhook struct {
	url           *url.URL
	key           []byte
	limit         time.Duration
	open, guarded *http.Client // guarded dials public addresses only
}

var (
	errWebhookURL    = errors.New("it must be webhook+https://host/path#whsec_SECRET")
	errWebhookSecret = fmt.Errorf("its secret must be #whsec_ and the base64 of %d to %d bytes, at the end of the URL; make one with: echo whsec_$(openssl rand -base64 32)", minSecret, maxSecret)
	errWebhookPlain  = errors.New("without TLS (webhook+http) it must be on this machine or in a private network")
)

// newWebhook reads webhook+https://host/path#whsec_…; what follows the # is the
// secret and is not sent.
func newWebhook(raw string) (channel, error) {
	u, err := url.Parse(strings.TrimPrefix(raw, "webhook+"))
	if err != nil || u.Hostname() == "" {
		return nil, errWebhookURL // its own error shows the address
	}
	secret, ok := strings.CutPrefix(u.Fragment, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil || !ok || len(key) < minSecret || len(key) > maxSecret {
		return nil, errWebhookSecret
	}
	if u.Scheme == "http" && !local(u.Hostname()) {
		return nil, errWebhookPlain
	}
	u.Fragment, u.RawFragment = "", ""
	return &webhook{url: u, key: key, limit: webhookTime, open: newClient(nil), guarded: newClient(guard)}, nil
}

// Send posts once. Redirects that keep method and body are followed, three at
// most, not from TLS to plain, and from a public address to public ones only.
func (w *webhook) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	inward := false // the operator's own address is a private one
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { inward = inward || private(i.Conn.RemoteAddr()) },
	})
	target, client := w.url, w.open
	for range maxRedirects + 1 {
		next, err := w.post(ctx, client, target, m)
		if err != nil {
			return failure(err)
		}
		if next == nil {
			return nil
		}
		if next.Scheme != "https" && (next.Scheme != "http" || target.Scheme == "https") {
			break
		}
		if !inward {
			client = w.guarded
		}
		target = next
	}
	return &Failure{Reason: ReasonRedirect}
}

// post gives where to go on, or nil when the message was taken.
func (w *webhook) post(ctx context.Context, client *http.Client, to *url.URL, m Message) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(m.Event))
	if err != nil {
		return nil, &Failure{Reason: ReasonOther}
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", wire.ContentType)
	req.Header.Set("User-Agent", "wechat-bridge")
	req.Header.Set(headerID, m.ID)
	req.Header.Set(headerTimestamp, stamp)
	req.Header.Set(headerSignature, w.sign(m.ID, stamp, m.Event))
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // what it says does not matter, its status does
	return judge(resp)
}

func (w *webhook) sign(id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, w.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func judge(resp *http.Response) (*url.URL, error) {
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil, nil
	case resp.StatusCode == http.StatusTemporaryRedirect, resp.StatusCode == http.StatusPermanentRedirect:
		next, err := resp.Location()
		if err != nil {
			return nil, &Failure{Reason: ReasonRedirect, Status: resp.StatusCode}
		}
		return next, nil
	case resp.StatusCode >= 300 && resp.StatusCode < 400: // would become a GET, without the alert
		return nil, &Failure{Reason: ReasonRedirect, Status: resp.StatusCode}
	}
	return nil, &Failure{Reason: ReasonStatus, Status: resp.StatusCode, Wait: told(resp.Header.Get("Retry-After"))}
}

// told is the wait that a server asks for in seconds, bounded; one that makes
// no sense is none.
func told(header string) time.Duration {
	n, err := strconv.Atoi(header)
	if err != nil || n <= 0 {
		return 0
	}
	return time.Duration(min(n, int(maxWait/time.Second))) * time.Second
}
