package classifier

// ownCodes are found out by the bridge without a fault of WeChat.
var ownCodes = []CodeDoc{
	{Code: "not_logged_in", Class: SessionExpired, Disconnect: true, Recovery: RecoverResume, Own: true,
		Message: Text{"The account is not logged in yet.", "账号尚未登录。"},
		Fix:     Text{"Wait for the login, or do what the bridge asks for.", "请等待登录，或按桥接的提示操作。"}},
	{Code: "no_pulse", Class: Network, Disconnect: true, Retryable: true, Recovery: RecoverResume, Own: true,
		Message: Text{"WeChat has been silent for longer than a poll may last, although the connection looks open.", "连接看似正常，但微信沉默的时间已超过一次轮询的上限。"},
		Fix:     Text{"The bridge reconnects by itself.", "桥接会自动重新连接。"}},
	{Code: "login_budget_used", Class: RateLimited, Retryable: true, Recovery: RecoverSlowDown, Own: true,
		Message: Text{"The bridge has used the logins it allows itself, so that the account is not put at risk.", "为保护账号安全，桥接已用完其允许的登录次数。"},
		Fix:     Text{"Wait until the time shown. If logins are lost this often, find out why before trying more.", "请等待至所示时间；若登录如此频繁丢失，请先查明原因。"}},
	{Code: "qr_unattended", Class: LoginPending, Disconnect: true, NeedsHuman: true, Recovery: RecoverRescan, Own: true,
		Message: Text{"Nobody scanned any of the login codes, so the bridge stopped asking for new ones.", "多次二维码均无人扫描，桥接已停止请求新的二维码。"},
		Fix:     Text{"When somebody has the phone at hand, run: wechat-bridge login", "手机在手边时，请运行：wechat-bridge login"}},
	{Code: "logged_out", Class: SessionExpired, Disconnect: true, NeedsHuman: true, Recovery: RecoverStop, Own: true,
		Message: Text{"An operator logged this account out.", "操作员已将该账号退出登录。"},
		Fix:     Text{"Run: wechat-bridge login", "请运行：wechat-bridge login"}},
	{Code: "identity_changed", Class: Internal, NeedsHuman: true, Recovery: RecoverStop, Own: true,
		Message: Text{"Another WeChat account logged in than before, so the messages that wait are not sent.", "登录的微信账号与之前不同，因此等待中的消息不会发送。"},
		Fix:     Text{"If the messages that wait may go out from this account, run: wechat-bridge resume. Else log in with the former one.", "若等待中的消息可由此账号发送，请运行：wechat-bridge resume；否则请用之前的账号登录。"}},
	{Code: "storage_unavailable", Class: Broker, Retryable: true, Recovery: RecoverRetry, Own: true,
		Message: Text{"What WeChat told cannot be stored now; it is kept and stored later.", "目前无法存储微信传来的内容；桥接会保留并稍后存储。"},
		Fix:     Text{"Check NATS. The bridge tries again by itself.", "请检查 NATS；桥接会自动重试。"}},
}
