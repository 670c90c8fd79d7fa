package bridge

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"wechat-bridge/bridge/broker"
	"wechat-bridge/bridge/wechat"
)

// Config is everything a worker can be told. The struct tags declare each key
// once: the command line, the environment (WECHAT_BRIDGE_…) and the YAML file
// are all read through them.
type Config struct {
	Account   string `help:"Account name, one token: a-z, 0-9 and -." default:"default" group:"Bridge"`
	Transport string `help:"How to talk to WeChat." enum:"webwx" default:"webwx" group:"Bridge"`
	Prefix    string `help:"Subject prefix; stream and bucket names follow it." default:"wechat" group:"Bridge"`
	DataDir   string `help:"Folder for keys, the lock and the embedded server's data." default:"./wechat-bridge-data" type:"path" group:"Bridge"`

	NATS       NATSConfig `embed:""`
	NATSListen string     `name:"nats-listen" help:"Without --nats: address of the embedded NATS server." default:"127.0.0.1:4222" group:"NATS"`
	HTTP       string     `name:"http" help:"Address of /livez, /readyz and /healthz." default:"127.0.0.1:8080" group:"HTTP"`
	PublicURL  string     `name:"public-url" help:"Address under which people reach the HTTP port; used in links." placeholder:"URL" group:"HTTP"`
	SessionKey string     `name:"session-key-file" help:"Key that encrypts sessions; the same for all workers of a pool. Default: session.key in the data folder." type:"path" group:"Bridge"`

	Pace          string        `help:"Sends per account: N/s, N/m, N/h, or off." default:"20/m" group:"Sending"`
	PaceBurst     int           `name:"pace-burst" help:"Sends that may go at once after a quiet time." default:"5" group:"Sending"`
	PaceDay       int           `name:"pace-day" help:"Sends per account and day; 0 = no limit." default:"500" group:"Sending"`
	MaxInFlight   int           `name:"max-in-flight" help:"Sends that may be open at once; after a crash at most so many are ambiguous." default:"8" group:"Sending"`
	RecipientWait time.Duration `name:"recipient-wait" help:"How long a recipient that is not visible yet is waited for." default:"1h" group:"Sending"`
	TTL           time.Duration `name:"ttl" help:"How long a command waits to be sent if it does not say so itself." default:"72h" group:"Sending"`
	Horizon       time.Duration `help:"How long ids are remembered." default:"168h" group:"Sending"`
	Canary        time.Duration `help:"Send a message to the file helper when none went out for so long, so that a quiet night proves something; 0 = never." default:"0s" group:"Sending"`
	Grace         time.Duration `help:"How long a shutdown waits for sends in flight." default:"40s" group:"Sending"`

	MaxMedia int64 `name:"max-media" help:"Largest received medium that is kept, in bytes." default:"104857600" group:"Receiving"`
	Raw      bool  `help:"Add WeChat's own form of each message to its event." group:"Receiving"`

	Alerts AlertConfig `embed:""`

	WechatEndpoint string            `name:"wechat-endpoint" help:"Send all WeChat traffic to this simulator." placeholder:"https://HOST:PORT" group:"Simulator"`
	WechatCA       string            `name:"wechat-ca" help:"CA certificate of the simulator (PEM)." type:"path" placeholder:"FILE" group:"Simulator"`
	AddressBook    map[string]string `name:"address-book" help:"Own names: NAME=RECIPIENT, e.g. ops=room:Operations." mapsep:";" placeholder:"NAME=WHO;…" group:"Sending"`
}

// NATSConfig says which NATS server to use, and how.
type NATSConfig struct {
	URL      string `name:"nats" help:"NATS servers, comma-separated." placeholder:"URL" group:"NATS"`
	Context  string `name:"nats-context" help:"Context of the nats command line." placeholder:"NAME" group:"NATS"`
	Creds    string `name:"nats-creds" help:"Credentials file." type:"path" placeholder:"FILE" group:"NATS"`
	NKey     string `name:"nats-nkey" help:"Seed file of an nkey." type:"path" placeholder:"FILE" group:"NATS"`
	User     string `name:"nats-user" help:"User name." placeholder:"NAME" group:"NATS"`
	Password string `name:"nats-password-file" help:"File with the password." type:"path" placeholder:"FILE" group:"NATS"`
	Token    string `name:"nats-token-file" help:"File with the token." type:"path" placeholder:"FILE" group:"NATS"`
	CA       string `name:"nats-ca" help:"CA certificate (PEM)." type:"path" placeholder:"FILE" group:"NATS"`
	Cert     string `name:"nats-cert" help:"Client certificate (PEM)." type:"path" placeholder:"FILE" group:"NATS"`
	Key      string `name:"nats-key" help:"Key of the client certificate (PEM)." type:"path" placeholder:"FILE" group:"NATS"`
}

// Embedded reports whether the worker runs its own NATS server.
func (c NATSConfig) Embedded() bool { return c.URL == "" && c.Context == "" }

// Pace is a number of sends per interval; the zero Pace means no limit.
type Pace struct {
	N     int
	Per   time.Duration
	Burst int
	Daily int
}

// ConfigError is a wrong configuration: nothing was started, exit code 2.
type ConfigError struct {
	Key string // the flag's name without dashes
	Msg string // what is wrong and what to do
	Err error
}

func (e *ConfigError) Error() string {
	msg := e.Msg
	if e.Key != "" {
		msg = "--" + e.Key + ": " + msg
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap gives the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

func badValue(key, format string, args ...any) error {
	return &ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)}
}

var (
	accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	prefixName  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	paceForm    = regexp.MustCompile(`^([1-9][0-9]{0,5})/([smh])$`)
)

// Check reports the first bad value by its key.
func (c *Config) Check() error {
	checks := []func() error{c.checkNames, c.checkAddresses, c.checkLimits, c.checkSimulator, c.checkFiles}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	if _, err := c.ParsePace(); err != nil {
		return err
	}
	if _, err := c.Book(); err != nil {
		return err
	}
	return c.Alerts.check()
}

func (c *Config) checkNames() error { return CheckNames(c.Account, c.Prefix, c.NATS) }

// CheckNames reports the first bad value of what the worker and its clients
// share.
func CheckNames(account, prefix string, nats NATSConfig) error {
	if !accountName.MatchString(account) {
		return badValue("account", "%q is no account name: use 1 to 32 of a-z, 0-9 and -, not starting with -", account)
	}
	if !prefixName.MatchString(prefix) {
		return badValue("prefix", "%q is no subject prefix: use one token of a-z, 0-9, - and _", prefix)
	}
	if nats.URL != "" && nats.Context != "" {
		return badValue("nats-context", "give either --nats or --nats-context")
	}
	return nil
}

func (c *Config) checkAddresses() error {
	for key, addr := range map[string]string{"http": c.HTTP, "nats-listen": c.NATSListen} {
		if _, port, err := net.SplitHostPort(addr); err != nil || !validPort(port) {
			return badValue(key, "%q is no address: write HOST:PORT, e.g. 127.0.0.1:8080", addr)
		}
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" {
			return badValue("public-url", "%q is no URL: write https://HOST[/PATH]", c.PublicURL)
		}
	}
	return nil
}

func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= 65535
}

func (c *Config) checkLimits() error {
	switch {
	case c.Horizon < 48*time.Hour:
		return badValue("horizon", "%s is too short: at least 48h, so that a command can wait a day", c.Horizon)
	case c.TTL <= 0 || c.TTL > c.Horizon-24*time.Hour:
		return badValue("ttl", "%s does not fit: more than 0 and at most the horizon less a day (%s)", c.TTL, c.Horizon-24*time.Hour)
	case c.MaxInFlight < 1 || c.MaxInFlight > 256:
		return badValue("max-in-flight", "%d does not fit: 1 to 256", c.MaxInFlight)
	case c.PaceBurst < 1 || c.PaceBurst > 100:
		return badValue("pace-burst", "%d does not fit: 1 to 100", c.PaceBurst)
	case c.PaceDay < 0:
		return badValue("pace-day", "%d does not fit: 0 or more", c.PaceDay)
	case c.RecipientWait < 0:
		return badValue("recipient-wait", "%s does not fit: 0 or more", c.RecipientWait)
	case c.Grace < 0:
		return badValue("grace", "%s does not fit: 0 or more", c.Grace)
	case c.Canary != 0 && c.Canary < canaryMin:
		return badValue("canary", "%s does not fit: 0, or at least %s", c.Canary, canaryMin)
	case c.MaxMedia < 1:
		return badValue("max-media", "%d does not fit: 1 or more bytes", c.MaxMedia)
	}
	return nil
}

func (c *Config) checkSimulator() error {
	if c.WechatEndpoint == "" {
		return nil
	}
	u, err := url.Parse(c.WechatEndpoint)
	if err != nil || u.Scheme != "https" || !validPort(u.Port()) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return badValue("wechat-endpoint", "%q is no address of a simulator: write https://HOST:PORT", c.WechatEndpoint)
	}
	return nil
}

// checkFiles reads what would else be missed only when the account is served.
func (c *Config) checkFiles() error {
	if _, err := c.roots(); err != nil {
		return err
	}
	if c.SessionKey == "" {
		return nil
	}
	if _, err := broker.LoadKey(c.SessionKey, false); err != nil {
		return sessionKeyError(err)
	}
	return nil
}

func sessionKeyError(err error) error {
	return &ConfigError{Key: "session-key-file", Msg: "the key of the sessions cannot be used", Err: err}
}

// roots are the CAs that the traffic to WeChat trusts; nil is the system's.
func (c *Config) roots() (*x509.CertPool, error) {
	if c.WechatCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.WechatCA)
	if err != nil {
		return nil, &ConfigError{Key: "wechat-ca", Msg: "the file cannot be read; is the simulator running?", Err: err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, badValue("wechat-ca", "%s holds no certificate in PEM form", c.WechatCA)
	}
	return pool, nil
}

// ParsePace reads --pace, --pace-burst and --pace-day.
func (c *Config) ParsePace() (Pace, error) {
	if c.Pace == "off" {
		return Pace{Daily: c.PaceDay}, nil
	}
	m := paceForm.FindStringSubmatch(c.Pace)
	if m == nil {
		return Pace{}, badValue("pace", "%q is no pace: write N/s, N/m, N/h or off, e.g. 20/m", c.Pace)
	}
	n, _ := strconv.Atoi(m[1])
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[m[2]]
	return Pace{N: n, Per: per, Burst: c.PaceBurst, Daily: c.PaceDay}, nil
}

// Book reads the address book: a name stands for a bare name, or for
// id:…, remark:…, nickname:…, alias:… or room:….
func (c *Config) Book() (map[string]wechat.Query, error) {
	book := make(map[string]wechat.Query, len(c.AddressBook))
	for name, who := range c.AddressBook {
		if strings.TrimSpace(name) == "" || strings.TrimSpace(who) == "" {
			return nil, badValue("address-book", "%q=%q: both the name and the recipient are needed", name, who)
		}
		if slices.Contains(bookFields, who) {
			return nil, badValue("address-book", "%q=%q: did you mean %s:NAME? To write to somebody called %s, use nickname:%s", name, who, who, who, who)
		}
		if field, value, found := strings.Cut(who, ":"); found && strings.TrimSpace(value) == "" && slices.Contains(bookFields, field) {
			return nil, badValue("address-book", "%q=%q: after %s: comes the recipient", name, who, field)
		}
		book[name] = bookEntry(who)
	}
	return book, nil
}

var bookFields = []string{"id", "remark", "nickname", "alias", "room"}

func bookEntry(who string) wechat.Query {
	field, value, found := strings.Cut(who, ":")
	if !found {
		return wechat.Query{Name: who}
	}
	switch field {
	case "id":
		return wechat.Query{ID: value}
	case "remark":
		return wechat.Query{Remark: value}
	case "nickname":
		return wechat.Query{Nickname: value}
	case "alias":
		return wechat.Query{Alias: value}
	case "room":
		return wechat.Query{Room: value}
	}
	return wechat.Query{Name: who}
}
