package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/micro"
)

// maxCalls bounds the requests that one service answers at a time.
const maxCalls = 64

// Codes of errors that the service itself gives.
const (
	CodeInternal = "internal"
	CodeBusy     = "busy"
)

// CodeError is an answer that is no success, in the micro service's way: code
// and description as headers, both again as JSON.
type CodeError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *CodeError) Error() string { return e.Message + " (" + e.Code + ")" }

// Handler answers one request, JSON in and out. An error that is no *CodeError
// is answered as "internal" and told to the log only. The context ends when the
// service is closed.
type Handler func(ctx context.Context, request []byte) (answer any, err error)

// Service is the account's micro service.
type Service struct {
	a      *Account
	micro  micro.Service
	ctx    context.Context
	cancel context.CancelFunc
	places chan struct{}
	wg     sync.WaitGroup
}

// Serve offers verbs on <prefix>.api.<account>.<verb> as the NATS micro service
// that is named like the prefix. version is semantic.
func (a *Account) Serve(version string, verbs map[string]Handler) (*Service, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Service{a: a, ctx: ctx, cancel: cancel, places: make(chan struct{}, maxCalls)}
	var err error
	s.micro, err = micro.AddService(a.conn.NC, micro.Config{
		Name: a.Prefix, Version: version, Description: "Bridge between NATS and WeChat",
		Metadata: map[string]string{"account": a.name},
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("offer the service: %w", err)
	}
	for verb, h := range verbs {
		name := strings.ReplaceAll(verb, ".", "-") // a name of the micro service has no dots
		err := s.micro.AddEndpoint(name, s.endpoint(verb, h), micro.WithEndpointSubject(a.APISubject(a.name, verb)))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("offer %s: %w", verb, err)
		}
	}
	// A request that comes right after this must find the server subscribed.
	// Without one it is offered all the same: the client subscribes again when
	// it is back.
	if err := a.conn.NC.FlushTimeout(requestTimeout); err != nil {
		a.log.Warn().Err(err).Msg("api_not_flushed")
	}
	return s, nil
}

// Close takes the service back and waits for the requests that run.
func (s *Service) Close() {
	_ = s.micro.Stop() // fails only on a closed connection
	s.cancel()
	s.wg.Wait()
}

// endpoint answers each request beside the others: a send may wait for long.
func (s *Service) endpoint(verb string, h Handler) micro.Handler {
	return micro.HandlerFunc(func(r micro.Request) {
		select {
		case s.places <- struct{}{}:
		default:
			s.refuse(r, &CodeError{Code: CodeBusy, Message: "too many requests at a time; try again"})
			return
		}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer func() { <-s.places }()
			s.answer(verb, h, r)
		}()
	})
}

func (s *Service) answer(verb string, h Handler, r micro.Request) {
	answer, err := s.call(h, r.Data())
	if err == nil {
		var body []byte
		if body, err = json.Marshal(answer); err == nil {
			err = r.Respond(body)
		}
	}
	var coded *CodeError
	switch {
	case err == nil:
	case errors.As(err, &coded):
		s.refuse(r, coded)
	default:
		s.a.log.Error().Err(err).Str("verb", verb).Msg("api_failed")
		s.refuse(r, &CodeError{Code: CodeInternal, Message: "the bridge could not answer; its log tells why"})
	}
}

// call keeps one broken handler from taking the worker down.
func (s *Service) call(h Handler, request []byte) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h(s.ctx, request)
}

func (s *Service) refuse(r micro.Request, e *CodeError) {
	body, _ := json.Marshal(e) // two strings
	if err := r.Error(e.Code, e.Message, body); err != nil {
		s.a.log.Debug().Err(err).Msg("api_unanswered")
	}
}
