package alert

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/matrix"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// shoutrrrSchemes are the services that are allowed. Its generic webhook is
// not: it follows any redirect and takes the environment's proxy; ours does
// not. Its logger is not, as it tells nobody.
var shoutrrrSchemes = []string{
	"bark", "discord", "googlechat", "gotify", "ifttt", "join", "lark", "matrix", "mattermost",
	"notifiarr", "ntfy", "opsgenie", "pagerduty", "pushbullet", "pushover", "rocketchat", "signal",
	"slack", "smtp", "teams", "telegram", "wecom", "zulip",
}

// untitled have no title of their own, or one that does not show: it goes into
// the first line.
var untitled = []string{"googlechat", "ifttt", "mattermost", "pagerduty", "rocketchat", "signal", "wecom", "zulip"}

// abandoned is how many sends that nobody waits for any more may be left in
// one channel: the library takes no context.
const abandoned = 3

// shoutrrr sends with github.com/nicholas-fedor/shoutrrr, which no other file
// knows. A service is made anew for each message: some change their own
// configuration while they send.
type shoutrrr struct {
	url   string
	title bool
	slots chan struct{}
}

var errShoutrrr = errors.New("the address is not as this service wants it; see docs/alerts.md")

// newShoutrrr checks an address without touching the network.
func newShoutrrr(raw string) (channel, error) {
	scheme, _, _ := strings.Cut(raw, "://")
	if err := check(raw, scheme); err != nil {
		return nil, errShoutrrr // its own error shows the address
	}
	scheme, _, _ = strings.Cut(scheme, "+")
	return &shoutrrr{url: raw, title: !slices.Contains(untitled, scheme), slots: make(chan struct{}, abandoned)}, nil
}

func check(raw, scheme string) (err error) {
	defer recovered(&err)
	if scheme == "matrix" { // its service logs in as soon as it is made
		u, err := url.Parse(raw)
		if err != nil {
			return err
		}
		return new(matrix.Config).SetURL(u)
	}
	var r router.ServiceRouter
	_, err = r.Locate(raw)
	return err
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic in shoutrrr: %v", r)
	}
}

// Send gives up when the context ends; the library goes on then until its own
// time is over, so the message may still arrive.
func (s *shoutrrr) Send(ctx context.Context, m Message) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return failure(ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-s.slots }()
		done <- s.send(m)
	}()
	select {
	case err := <-done:
		if err != nil {
			return failure(err)
		}
		return nil
	case <-ctx.Done():
		return failure(ctx.Err())
	}
}

func (s *shoutrrr) send(m Message) (err error) {
	defer recovered(&err)
	var r router.ServiceRouter // without a logger: what it writes shows addresses and texts
	service, err := r.Locate(s.url)
	if err != nil {
		return err
	}
	params := types.Params{}
	if s.title {
		params.SetTitle(m.Title)
		return service.Send(m.Body, &params)
	}
	return service.Send(m.Title+"\n"+m.Body, &params)
}
