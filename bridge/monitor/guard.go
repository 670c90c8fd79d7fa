package monitor

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
)

// headers go with every answer: nothing here is to be kept, framed, guessed
// at, or read by another site.
var headers = map[string]string{
	"Cache-Control":                "no-store",
	"Content-Security-Policy":      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
}

// guard refuses what must not reach the endpoints.
func guard(cfg Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for k, v := range headers {
			w.Header().Set(k, v)
		}
		if status, why := refusal(cfg, r); status != 0 {
			refuse(w, status, why)
			return
		}
		defer func() {
			if p := recover(); p != nil {
				cfg.Log.Error().Str("event", logPanic).Str("path", r.URL.Path).Msgf("%T", p)
				refuse(w, http.StatusInternalServerError, "The bridge could not answer.")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// refusal decides; 0 lets the request through.
func refusal(cfg Config, r *http.Request) (int, string) {
	switch {
	case cfg.Loopback && !localHost(r.Host):
		return http.StatusForbidden, "Open this as localhost, 127.0.0.1 or [::1]."
	case crossSite(r):
		return http.StatusForbidden, "Requests from other sites are refused."
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return http.StatusMethodNotAllowed, "Only GET and HEAD."
	case r.ContentLength != 0:
		return http.StatusRequestEntityTooLarge, "No body is wanted."
	case !cfg.Loopback && !public(r.URL.Path) && !bearer(r, cfg.Token):
		return http.StatusUnauthorized, "Send the token as Authorization: Bearer."
	}
	return 0, ""
}

func refuse(w http.ResponseWriter, status int, why string) {
	switch status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD")
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="wechat-bridge"`)
	case http.StatusRequestEntityTooLarge:
		w.Header().Set("Connection", "close")
	}
	http.Error(w, why, status)
}

// public paths tell one bit, to load balancers and supervisors.
func public(path string) bool { return path == "/livez" || path == "/readyz" }

// localHost keeps out a foreign name that resolves to this machine (DNS
// rebinding). Any port will do: it may be forwarded.
func localHost(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		if strings.Trim(host[i+1:], "0123456789") != "" {
			return false
		}
		host = host[:i]
	}
	switch strings.ToLower(host) {
	case "localhost", "127.0.0.1", "[::1]":
		return true
	}
	return false
}

// crossSite believes what the browser says: another port of this machine is
// another site, too. Tools send neither header.
func crossSite(r *http.Request) bool {
	for _, v := range r.Header.Values("Sec-Fetch-Site") {
		if v != "same-origin" && v != "none" {
			return true
		}
	}
	for _, v := range r.Header.Values("Origin") {
		u, err := url.Parse(v)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}

// bearer compares in a time that tells nothing about the token.
func bearer(r *http.Request, token string) bool {
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token == "" || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	a, b := sha256.Sum256([]byte(strings.TrimSpace(got))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
