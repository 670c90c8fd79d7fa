package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// Limits of what a guest may ask the guard for.
const (
	// maxGuestConsumers is per stream; nobody else has consumers on these
	// streams.
	maxGuestConsumers = 256
	// maxGuestIdle is how long a consumer that nobody reads from may stay, also
	// a durable one (nats stream view makes such); it is what nats.go asks for.
	maxGuestIdle = 5 * time.Minute
	// maxGuestPulls is the server's own default of pulls that wait.
	maxGuestPulls = 512
	// maxGuestRequest is the size of one request, in bytes.
	maxGuestRequest = 64 * kib
)

// guestInbox is where a guest's push consumers may deliver.
const guestInbox = "_INBOX."

// guard makes consumers for guests. A request that went to the server as it is
// could name any deliver subject, and the server would then publish in the
// bridge's account for the guest: copies of old records into the streams of
// today. So the guests' account maps such requests to subjects of the guard,
// which lets readers through and forwards their requests as the bridge.
//
// A mapping comes before the permissions, so a guest has no right on the
// server's own subject at all.
type guard struct {
	names Names
	conn  *Conn
}

// guarded are the prefixes of the server's subjects that the guard stands
// before, by the token that stands for them below the guard's own.
var guarded = map[string]string{"create": "$JS.API.CONSUMER.CREATE.", "durable": "$JS.API.CONSUMER.DURABLE.CREATE."}

// startGuard answers from now on, through a connection of its own.
func startGuard(ctx context.Context, s *Server, n Names, password string, log zerolog.Logger) (*guard, error) {
	conn, err := Connect(ctx, ConnConfig{
		Server: s, User: BridgeUser, Password: password, Name: "wechat-bridge guard", InboxPrefix: BridgeInbox, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("guard the guests: %w", err)
	}
	g := &guard{names: n, conn: conn}
	_, err = conn.NC.Subscribe(n.subject("guard", ">"), func(m *nats.Msg) {
		kind, at, _ := strings.Cut(strings.TrimPrefix(m.Subject, n.subject("guard")+"."), ".")
		_ = m.Respond(g.create(guarded[kind], at, m.Data)) // fails on a closed connection only: then there are no guests
	})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("guard the guests: %w", err)
	}
	if err := conn.NC.FlushTimeout(requestTimeout); err != nil {
		conn.Close()
		return nil, fmt.Errorf("guard the guests: %w", err)
	}
	return g, nil
}

func (g *guard) close() { g.conn.Close() }

// create answers one request, one after the other, so that the count holds. at
// is <stream>[.<name>[.<filter>]].
func (g *guard) create(api, at string, body []byte) []byte {
	if api == "" {
		return refusal(server.ApiErrors[server.JSBadRequestErr], "")
	}
	stream, _, _ := strings.Cut(at, ".")
	req, err := g.decide(stream, body)
	if err != nil {
		return refusal(server.ApiErrors[server.JSBadRequestErr], err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	info, err := g.conn.JS.Stream(ctx, stream)
	if err != nil {
		return refusal(server.ApiErrors[server.JSStreamNotFoundErr], "")
	}
	if info.CachedInfo().State.Consumers >= maxGuestConsumers {
		return refusal(server.ApiErrors[server.JSMaximumConsumersLimitErr], "")
	}
	// Encoded anew: what we have read is what the server will read.
	forward, err := json.Marshal(req)
	if err != nil {
		return refusal(server.ApiErrors[server.JSBadRequestErr], "")
	}
	answer, err := g.conn.NC.RequestWithContext(ctx, api+at, forward)
	if err != nil {
		return refusal(&server.ApiError{Code: 503, Description: "the server did not answer"}, "")
	}
	return answer.Data
}

// decide reads a request for a consumer on stream and bounds it. Its errors are
// for the guest.
func (g *guard) decide(stream string, body []byte) (server.CreateConsumerRequest, error) {
	var req server.CreateConsumerRequest
	if len(body) > maxGuestRequest {
		return req, fmt.Errorf("a request may have %d bytes", maxGuestRequest)
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return req, fmt.Errorf("no request for a consumer: %w", err)
	}
	if req.Stream != stream || !slices.Contains(g.names.guestReads(), stream) {
		return req, fmt.Errorf("guests may read %s", strings.Join(g.names.guestReads(), ", "))
	}
	c := &req.Config
	if d := c.DeliverSubject; d != "" && !strings.HasPrefix(d, guestInbox) {
		return req, fmt.Errorf("guests may have messages delivered below %s> only", guestInbox)
	}
	if c.PauseUntil != nil && c.PauseUntil.IsZero() { // as the nats command line says "no pause"
		c.PauseUntil = nil
	}
	if field := forbidden(*c); field != "" {
		return req, fmt.Errorf("guests may not set %s", field)
	}
	if c.Durable != "" && c.InactiveThreshold == 0 || c.InactiveThreshold > maxGuestIdle {
		c.InactiveThreshold = maxGuestIdle
	}
	c.MaxWaiting = min(c.MaxWaiting, maxGuestPulls)
	return req, nil
}

// guestFields are what a guest may say about a consumer, as JSON names it.
// Everything else is refused, also what a later server knows: queue groups,
// pauses, priorities, samples, what servers use among themselves.
var guestFields = strings.Fields(`
	name durable_name description metadata deliver_policy opt_start_seq opt_start_time replay_policy
	ack_policy ack_wait max_deliver max_ack_pending filter_subject filter_subjects headers_only
	deliver_subject flow_control idle_heartbeat rate_limit_bps
	max_waiting max_batch max_expires max_bytes inactive_threshold num_replicas mem_storage`)

// forbidden names the first field that a guest may not set, or nothing.
func forbidden(c server.ConsumerConfig) string {
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if !v.Field(i).IsZero() && !slices.Contains(guestFields, name) {
			return name
		}
	}
	if c.Replicas > 1 {
		return "num_replicas"
	}
	return ""
}

// refusal is an answer as the server itself gives it.
func refusal(e *server.ApiError, why string) []byte {
	told := *e
	if why != "" {
		told.Code, told.Description = 403, why
	}
	body, _ := json.Marshal(server.JSApiConsumerCreateResponse{
		ApiResponse: server.ApiResponse{Type: server.JSApiConsumerCreateResponseType, Error: &told},
	}) // numbers and strings
	return body
}
