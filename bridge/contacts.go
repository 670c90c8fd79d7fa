package bridge

import (
	"context"

	"wechat-bridge/bridge/wire"
	"wechat-bridge/classifier"
)

// contactsReason is the reason in the record of a connection that works, but
// whose contact list WeChat does not give: nobody is found by name.
func contactsReason(err error) *wire.Reason {
	if err == nil {
		return nil
	}
	r := reason(classifier.JudgeError(err))
	if r == nil {
		return nil
	}
	r.Message = "The contact list could not be loaded and is tried again; until then sends by name wait. " + r.Message
	r.MessageZH = "通讯录尚未加载成功，正在重试；在此之前按名称发送的消息会等待。" + r.MessageZH
	return r
}

// watchContacts tells the connection's state again when the contact list fails
// for another reason than before, or has come: the link knows nothing of it.
func (a *account) watchContacts(ctx context.Context) {
	var told string
	for {
		changed := a.directory.Changed()
		if now := textOf(a.directory.Failure()); now != told {
			told = now
			a.observeAgain()
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// observeAgain tells the link's newest status. Under the same lock as observe:
// what the link tells after it is newer.
func (a *account) observeAgain() {
	a.observing.Lock()
	defer a.observing.Unlock()
	a.tell(a.link.Status())
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
