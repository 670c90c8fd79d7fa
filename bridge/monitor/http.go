package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"wechat-bridge/bridge/wire"
)

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 15 * time.Second
	idleTimeout   = time.Minute
	stopTimeout   = 3 * time.Second
	maxHeader     = 16 << 10 // bytes; the server adds 4 KiB of slack
)

// The events of this package's log.
const logPanic = "handler_panicked"

// Config is what the endpoints need.
type Config struct {
	Source Source
	// Silence is how long WeChat may say nothing; default DefaultSilence.
	Silence time.Duration
	Version string
	// Loopback says that the port is reachable from this machine only; Serve
	// finds out by itself. Then the Host is checked instead of the token.
	Loopback bool
	// Token is wanted as Authorization: Bearer where Loopback is false, for
	// everything but /livez and /readyz. Without one all that is refused.
	Token string
	// ErrorPage gives the help page of a code as Markdown, the list of all for
	// the empty code, and false for one that does not exist. May be nil.
	ErrorPage func(code string) (string, bool)
	Log       zerolog.Logger
}

func (c Config) facts() Facts {
	if c.Silence <= 0 {
		c.Silence = DefaultSilence
	}
	return gather(c.Source, c.Silence)
}

// New makes the endpoints /livez, /readyz, /healthz, /errors/ and /.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", cfg.livez)
	mux.HandleFunc("/readyz", cfg.readyz)
	mux.HandleFunc("/healthz", cfg.healthz)
	mux.HandleFunc("/errors/{code...}", cfg.errorPage)
	mux.HandleFunc("/{$}", cfg.root)
	return guard(cfg, mux)
}

// Serve answers on ln until ctx ends, and closes it. Whether a token is wanted
// is decided by the listener's address, not by the configuration.
func Serve(ctx context.Context, ln net.Listener, cfg Config) error {
	cfg.Loopback = loopback(ln.Addr())
	srv := &http.Server{
		Handler: New(cfg), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		// What strangers send must not fill the log.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(sctx); err != nil {
		_ = srv.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

func loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

func (c Config) livez(w http.ResponseWriter, _ *http.Request) {
	ok, why := alive(c.Source.Process(), time.Now())
	answer(w, ok, "alive", why)
}

func (c Config) readyz(w http.ResponseWriter, _ *http.Request) {
	ok, why := Ready(c.facts(), time.Now())
	answer(w, ok, "ready", why)
}

// answer is for tools: a status, and one line for the person who looks.
func answer(w http.ResponseWriter, ok bool, yes, no string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		yes = "no: " + wire.Printable(no, 300)
	}
	fmt.Fprintln(w, yes)
}

func (c Config) healthz(w http.ResponseWriter, _ *http.Request) {
	h := Levels(c.facts(), time.Now())
	w.Header().Set("Content-Type", "application/json")
	if h.Status == Fail {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h) // a client that went away needs no answer
}

// errorPage answers /errors/CODE, also as /errors/CODE.md: the pages link to
// one another as files do.
func (c Config) errorPage(w http.ResponseWriter, r *http.Request) {
	code := strings.TrimSuffix(r.PathValue("code"), ".md")
	if code == "README" {
		code = ""
	}
	page, known := "", false
	if c.ErrorPage != nil {
		page, known = c.ErrorPage(code)
	}
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
	_, _ = io.WriteString(w, page) // a client that went away needs no answer
}

func (c Config) root(w http.ResponseWriter, _ *http.Request) {
	h := Levels(c.facts(), time.Now())
	line := func(name string, l wire.Level) string {
		words := name + ": " + l.Status
		if l.State != "" {
			words += " (" + l.State + ")"
		}
		if l.Reason != "" {
			words += ". " + l.Reason
		}
		return "<li>" + html.EscapeString(wire.Printable(words, 300)) + "\n"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><html lang=en><meta name=viewport content=\"width=device-width\"><title>wechat-bridge</title>\n"+
		"<p>wechat-bridge %s: %s\n<ul>\n%s%s%s</ul>\n"+
		"<p><a href=/healthz>/healthz</a> <a href=/readyz>/readyz</a> <a href=/livez>/livez</a>\n",
		html.EscapeString(wire.Printable(c.Version, 64)), h.Status,
		line("Process", h.Process), line("Connection", h.Connection), line("Business", h.Business))
}
