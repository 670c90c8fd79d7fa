package bridge

import (
	"net"
	"strings"

	"wechat-bridge/classifier"
)

// helpURL is where people read about a code: the page that the bridge itself
// serves, the same as docs/errors/<code>.md. Empty for a code without a page.
func (w *Worker) helpURL(code string) string {
	if _, known := classifier.Known(code); !known {
		return ""
	}
	return w.publicURL() + "/errors/" + code
}

// publicURL is the address of the HTTP port for people, without a slash at its
// end. Without --public-url it is good on this machine only.
func (w *Worker) publicURL() string {
	if w.cfg.PublicURL != "" {
		return strings.TrimRight(w.cfg.PublicURL, "/")
	}
	host, port, err := net.SplitHostPort(w.facts.http)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// errorPage is the help page of a code, or the list of all for the empty one.
func errorPage(code string) (string, bool) {
	if code == "" {
		return classifier.Index(), true
	}
	return classifier.Page(code)
}
