package webwx

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eatmoreapple/openwechat"
)

// cookie is a cookie as it is stored. The library's jar forgets hosts and
// domains when it is saved, and then neither file.H nor webpush.H get any.
type cookie struct {
	Name    string    `json:"name"`
	Value   string    `json:"value"`
	Domain  string    `json:"domain,omitempty"` // as the server named it; "" = only Host
	Host    string    `json:"host"`             // who set it
	Path    string    `json:"path,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // zero: until the login ends
}

func (c cookie) sameAs(o cookie) bool {
	return c.Name == o.Name && c.Path == o.Path && c.scope() == o.scope()
}

func (c cookie) scope() string {
	if c.Domain != "" {
		return "." + strings.TrimPrefix(c.Domain, ".")
	}
	return c.Host
}

// cookieBook notes every cookie WeChat sets, with its domain.
type cookieBook struct {
	mu   sync.Mutex
	list []cookie
}

func (b *cookieBook) note(u *url.URL, set []*http.Cookie) {
	if len(set) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range set {
		b.put(cookie{
			Name: c.Name, Value: c.Value, Domain: c.Domain, Host: u.Hostname(),
			Path: c.Path, Expires: expiry(c),
		}, c.MaxAge < 0)
	}
}

func (b *cookieBook) put(c cookie, remove bool) {
	b.list = slices.DeleteFunc(b.list, c.sameAs)
	if !remove {
		b.list = append(b.list, c)
	}
}

func expiry(c *http.Cookie) time.Time {
	if c.MaxAge > 0 {
		return time.Now().Add(time.Duration(c.MaxAge) * time.Second).UTC()
	}
	return c.Expires
}

// all gives a copy of what is noted and not expired.
func (b *cookieBook) all() []cookie {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(b.list), func(c cookie) bool {
		return !c.Expires.IsZero() && c.Expires.Before(now)
	})
}

// restoreCookies makes the book and the library's jar that goes with it.
func restoreCookies(list []cookie) (*cookieBook, *openwechat.Jar) {
	jar := openwechat.NewJar()
	for _, c := range list {
		jar.SetCookies(&url.URL{Scheme: "https", Host: c.Host}, []*http.Cookie{{
			Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Expires: c.Expires,
		}})
	}
	return &cookieBook{list: slices.Clone(list)}, jar
}

// cookieValue gives one cookie as the jar would send it to a host.
func cookieValue(jar *openwechat.Jar, host, name string) string {
	for _, c := range jar.Cookies(&url.URL{Scheme: "https", Host: host, Path: "/cgi-bin/mmwebwx-bin/"}) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}
