package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// State is what GET /sim/v1/state answers.
type State struct {
	Transport string         `json:"transport"`
	Seed      uint64         `json:"seed"`
	Echo      string         `json:"echo"`
	Retell    string         `json:"retell"`
	Host      string         `json:"host"`
	LoggedIn  bool           `json:"logged_in"`
	Logins    int            `json:"logins"`          // so far
	Since     *time.Time     `json:"since,omitempty"` // of the login
	Waiting   string         `json:"waiting"`         // what the phone could do: "", scan, confirm
	QRText    string         `json:"qr_text,omitempty"`
	Contacts  int            `json:"contacts"` // friends and service accounts
	Rooms     []RoomState    `json:"rooms"`
	Sent      int            `json:"sent"`
	Faults    []Fault        `json:"faults"`
	Requests  map[string]int `json:"requests"`
}

// RoomState is a room as it is now.
type RoomState struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Members []string `json:"members"`
	Visible bool     `json:"visible"`
}

// State says how things stand.
func (s *Server) State() State {
	st := State{Seed: s.seed, Echo: s.opts.Echo, Retell: s.opts.Retell, Sent: s.ledger.len(), Faults: s.faults.list(),
		Requests: s.counts.all(), Rooms: []RoomState{}}
	s.proto.describe(&st)
	return st
}

// control is the API with which people and tests play the phone, the world and
// the network:
//
//	GET    /sim/v1/state              State
//	POST   /sim/v1/scan               {"user":"…"} if another person scans; 409 if nothing waits
//	POST   /sim/v1/confirm            409 if nothing waits
//	POST   /sim/v1/decline            409 if nothing waits
//	POST   /sim/v1/logout             {"retcode":1101,"forget":false}; 409 if not logged in
//	POST   /sim/v1/forget             push login is refused from now on
//	POST   /sim/v1/messages           Message; answers {"msg_id"}
//	POST   /sim/v1/contacts           ContactChange
//	POST   /sim/v1/rooms              RoomChange
//	GET    /sim/v1/sent               [Entry]; ?after=SEQ only later ones
//	GET    /sim/v1/sent/{msg_id}/media  the uploaded bytes, while kept
//	POST   /sim/v1/faults             Fault; answers {"id"}
//	GET    /sim/v1/faults             [Fault]
//	DELETE /sim/v1/faults             removes all
//	DELETE /sim/v1/faults/{id}        removes one; 404 if there is none
//
// Errors are {"error":"…"} with 400, 404 or 409. It answers on loopback only,
// and only to requests that name it as such, so that no web site can drive it.
type control struct {
	addr string
	srv  *http.Server
	done chan struct{}
}

func newControl(addr string, s *Server) (*control, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%w: control address %q: %w", ErrInvalid, addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w: control address %q is not loopback", ErrInvalid, addr)
	}
	ln, err := new(net.ListenConfig).Listen(s.ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for control on %s: %w", addr, err)
	}
	c := &control{addr: ln.Addr().String(), done: make(chan struct{})}
	c.srv = &http.Server{Handler: loopbackOnly(s.routes()), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return s.ctx }}
	go func() {
		defer close(c.done)
		_ = c.srv.Serve(ln) // ends with ErrServerClosed
	}()
	return c, nil
}

func (c *control) close() error {
	err := c.srv.Close()
	<-c.done
	return err
}

func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !oneOf(host, "localhost", "127.0.0.1", "::1", "[::1]") || r.Header.Get("Origin") != "" {
			reply(w, http.StatusForbidden, map[string]string{"error": "only for programs on this machine"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sim/v1/state", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.State()) })
	mux.HandleFunc("POST /sim/v1/scan", s.postScan)
	mux.HandleFunc("POST /sim/v1/confirm", func(w http.ResponseWriter, _ *http.Request) { replyDone(w, s.Confirm()) })
	mux.HandleFunc("POST /sim/v1/decline", func(w http.ResponseWriter, _ *http.Request) { replyDone(w, s.Decline()) })
	mux.HandleFunc("POST /sim/v1/logout", s.postLogout)
	mux.HandleFunc("POST /sim/v1/forget", func(w http.ResponseWriter, _ *http.Request) { s.Forget(); replyDone(w, nil) })
	mux.HandleFunc("POST /sim/v1/messages", s.postMessage)
	mux.HandleFunc("POST /sim/v1/contacts", func(w http.ResponseWriter, r *http.Request) { take(w, r, s.ChangeContact) })
	mux.HandleFunc("POST /sim/v1/rooms", func(w http.ResponseWriter, r *http.Request) { take(w, r, s.ChangeRoom) })
	mux.HandleFunc("GET /sim/v1/sent", s.getSent)
	mux.HandleFunc("GET /sim/v1/sent/{id}/media", s.getSentMedia)
	mux.HandleFunc("POST /sim/v1/faults", s.postFault)
	mux.HandleFunc("GET /sim/v1/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, s.Faults()) })
	mux.HandleFunc("DELETE /sim/v1/faults", func(w http.ResponseWriter, _ *http.Request) { s.ClearFaults(); replyDone(w, nil) })
	mux.HandleFunc("DELETE /sim/v1/faults/{id}", s.deleteFault)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusNotFound, map[string]string{"error": "no such call"})
	})
	return mux
}

func (s *Server) postScan(w http.ResponseWriter, r *http.Request) {
	take(w, r, func(req struct {
		User string `json:"user"`
	}) error {
		return s.ScanAs(req.User)
	})
}

func (s *Server) postLogout(w http.ResponseWriter, r *http.Request) {
	take(w, r, func(req struct {
		Retcode int  `json:"retcode"`
		Forget  bool `json:"forget"`
	}) error {
		if err := s.Logout(req.Retcode); err != nil {
			return err
		}
		if req.Forget {
			s.Forget()
		}
		return nil
	})
}

func (s *Server) postMessage(w http.ResponseWriter, r *http.Request) {
	var m Message
	if err := read(w, r, &m); err != nil {
		replyDone(w, err)
		return
	}
	id, err := s.Say(m)
	if err != nil {
		replyDone(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]string{"msg_id": id})
}

func (s *Server) getSent(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.URL.Query().Get("after")) // absent or no number: all
	list := s.ledger.after(after)
	if list == nil {
		list = []Entry{}
	}
	reply(w, http.StatusOK, list)
}

func (s *Server) getSentMedia(w http.ResponseWriter, r *http.Request) {
	b, ok := s.MediaBytes(r.PathValue("id"))
	if !ok {
		replyDone(w, fmt.Errorf("%w: media of %q", ErrUnknown, r.PathValue("id")))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b) // the client may be gone
}

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	err := read(w, r, &f)
	id := 0
	if err == nil {
		id, err = s.AddFault(f)
	}
	if err != nil {
		replyDone(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]int{"id": id})
}

func (s *Server) deleteFault(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || id <= 0 || !s.faults.clear(id) {
		replyDone(w, fmt.Errorf("%w: fault %q", ErrUnknown, r.PathValue("id")))
		return
	}
	replyDone(w, nil)
}

// read decodes a JSON body strictly; an empty body is an empty object.
func read(w http.ResponseWriter, r *http.Request, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 100<<20)) // media come as base64
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func take[T any](w http.ResponseWriter, r *http.Request, do func(T) error) {
	var v T
	err := read(w, r, &v)
	if err == nil {
		err = do(v)
	}
	replyDone(w, err)
}

func replyDone(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		reply(w, http.StatusOK, map[string]bool{"ok": true})
	case errors.Is(err, ErrNothingWaits):
		reply(w, http.StatusConflict, map[string]string{"error": err.Error()})
	case errors.Is(err, ErrUnknown):
		reply(w, http.StatusNotFound, map[string]string{"error": err.Error()})
	default:
		reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, `{"error":"encoding"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}
