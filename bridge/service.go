package bridge

// serveAPI answers requests on wechat.api.<account>.>.
func (a *account) serveAPI() (stop func(), err error) { return func() {}, nil }
