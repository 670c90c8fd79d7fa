package classifier

const (
	srcSentence = "WeChat's own sentences: wechaty/wechaty#603, hexsum/Mojo-Weixin#184, eNkru/freechat#30"
	srcOften    = "WeChat's own sentences: 0x5e/wechat-deleted-friends#134, zhayujie/CowAgent#2417, wechaty/puppet-padlocal#109"
	srcChat     = "WeChat's own sentences in the chat: youfou/wxpy#21, HalfdogStudio/wechat-user-bot#23"
	srcOpen     = "openwechat v1.4.10 errors.go, stub.go (Ret.String)"
	srcW4U      = "wechat4u 0.7.14 src/core.js, src/wechat.js"
	srcItchat   = "ItChat 1.3.10 itchat/components/login.py, hotreload.py"
)

// sentenceRules are what WeChat itself says, whatever code comes with it.
var sentenceRules = []rule{
	{name: "says.login_refused", says: "web_login_refused", refusal: true, source: srcSentence,
		any: []string{"登录网页微信", "不能登录网页", "不允许登录网页", "暂时不能登录", "无法登录网页", "不支持网页", "不支持通过此方式", "不能使用网页", "登录环境异常", "登录环境存在异常", "本次登录已失效", "login forbidden", "unable to log in to web", "cannot log in to web", "can't log in to web", "can not log in to web",
			"limited to log in", "newly registered wechat", "login environment"},
		never: []string{"频繁,", "频繁 请"}},
	{name: "says.too_often", says: "too_often", refusal: true, source: srcOften,
		any: []string{"太频繁", "过于频繁", "过度频繁", "频率过快", "频率过高", "操作频繁", "发送频繁", "请求频繁", "频繁,请", "频繁,可", "频繁,等", "频繁 请", "次数过多", "频率限制", "operate too often", "operating too often", "operation too often", "too often 的", "too often,", "too often.", "too frequently", "is too frequent", "are too frequent", "freq limit", "frequency limit", "too many attempts", "触发限流", "被限流"}},
	{name: "says.blocked", says: "blocked_by_recipient", refusal: true, source: srcChat,
		any: []string{"拒收", "被对方拉黑", "已被拉黑", "blocked by the recipient", "recipient has blocked", "rejected by the recipient", "rejected by receiver", "rejected by the receiver", "in his blacklist", "加入黑名单"}},
	{name: "says.not_friend", says: "not_a_friend", refusal: true, source: srcChat + "; cixingguangming55555/wechat-bot#21",
		any: []string{"朋友验证", "好友验证,", "还不是他", "还不是她", "不是对方", "不是你的好友", "不是好友", "非好友", "not your friend", "not on your friend list", "not in your friend", "not a friend", "not friends", "enabled friend confirmation", "friend verification"}},
	{name: "says.left_room", says: "left_room", refusal: true, source: "WeChat's own sentence in a room: opentdp/wrest-chat#68",
		any: []string{"已退出的群聊", "已解散的群聊"}},
	{name: "says.logged_out", says: "logged_out_by_phone", refusal: true, source: "WeChat's own sentences on a logout; nodeWechat/wechat4u#265",
		any: []string{"你已退出微信", "已退出网页微信", "已退出微信", "已在手机上退出", "在手机上退出", "logged out by the phone", "logged out from phone", "logged out on phone", "you have logged out", "you've logged out", "退出了登录"}},
	{name: "says.elsewhere", says: "logged_in_elsewhere", refusal: true, source: "WeChat's own sentences on a second login",
		any: []string{"在其他设备", "在另一设备", "另一台设备", "在其他地方登录", "在别处登录", "异地登录", "logged in elsewhere", "logged in on another", "login on another device", "signed in elsewhere", "被踢下线", "被挤下线", "踢出登录", "kicked out", "kicked offline"}},
	{name: "says.version", says: "client_version_refused", refusal: true, source: "wechaty/puppet-padlocal#298, hp0912/wechat-robot-client#306, Howardzhangdqs/mcp-wechat-server#11",
		any: []string{"版本过低", "版本太低", "版本过旧", "升级微信", "更新微信", "version is too low", "version too low", "client version is too old", "wechat version is too old", "upgrade the wechat", "upgrade wechat", "update wechat"}},
}

// libraryRules are what libraries print for one cause only.
var libraryRules = []rule{
	{name: "lib.no_credentials", says: "web_login_refused", op: OpLogin, source: srcLogin301 + "; youfou/wxpy#283, zhayujie/bot-on-anything#88",
		any: []string{"keyerror: 'pass_ticket", "keyerror: 'wxsid", "keyerror: 'wxuin", "keyerror: 'skey", "keyerror: \"pass_ticket", "undefined index: skey", "undefined index: wxsid", "undefined index: pass_ticket", "cookies[\"wxsid\"]", "301 response missing location", "302 response missing location", "web wechat login failed", "ilink_bot_id missing"}},
	{name: "lib.session_missing", says: "no_stored_session", source: srcOpen + "; " + srcItchat + "; openclaw-weixin 2.4.9 src/channel.ts",
		any: []string{"invalid storage", "no such file, loading login status failed", "cached status ignored", "user not login", "not logged in", "hasn't logged in", "login first", "log in first", "未登录", "没有登录", "尚未登录", "no stored session", "no saved session", "session not found", "no active login", "no active session",
			"not configured: missing token", "channels login", "weixin not configured", "no bot token", "logininfo['url']", "missing bot token", "no bot_token"}},
	{name: "lib.window", says: "reply_window_closed", op: OpSend, source: "chenhg5/cc-connect#1087, Tencent/openclaw-weixin#247, #156",
		any:   []string{"must message the bot first", "must send a message first", "must send a new message", "user must write first", "needs to send a message first", "reply window", "回复窗口", "超过24小时", "超过 24 小时", "24-hour window", "24h window", "24 小时窗口", "no stored context_token", "context token expired", "context_token expired", "waiting for user message", "context_token is required", "missing context_token", "context_token missing", "no context_token", "contexttoken is required", "没有 context_token", "缺少 context_token", "not messaged the bot"},
		never: []string{"sending without context"}},
	{name: "lib.session_over", says: "login_expired", source: srcOpen + "; " + srcItchat + "; eatmoreapple/openwechat#395, #108; formulahendry/wechat-acp#49",
		any: []string{"cookie invalid", "invalid cookie", "cookie has expired", "cookie expired", "cookie失效", "cookie 失效", "cookie过期", "failed login check", "server refused, loading login status failed", "user logout", "session expired", "session has expired", "session is expired", "session timeout", "session timed out", "session invalid", "invalid session", "session is invalid",
			"会话已过期", "会话过期", "会话失效", "会话已失效", "登录已过期", "登录过期", "登录失效", "登录已失效", "登录态失效", "登录态过期", "登录状态已失效", "alreadylogout", "token expired", "token has expired", "token 已失效", "token已失效", "token失效", "re-login required", "relogin required", "needs re-login", "ticket error", "ticket expired", "session exit"},
		never: []string{"qr code", "qrcode", "login qr", "二维码"}},
	{name: "lib.qr_expired", says: "qr_expired", source: srcOpen + "; " + srcItchat + "; " + srcILinkQR + "; wechaty/wechaty#2545, zhayujie/CowAgent#311",
		any: []string{"log in time out", "login time out", "login timeout", "login timed out", "login timed-out", "登录超时", "扫码超时", "扫码登录超时", "scan timeout", "qr timeout", "二维码已过期", "二维码过期", "二维码已失效", "二维码失效", "二维码已经过期", "二维码超时", "qr code expired", "qrcode expired", "qr expired", "qr code has expired", "qr has expired", "qr code timed out", "qr code timeout", "login qr expired", "expired qr", "verify_code_blocked", "reloading qr"}},
	{name: "lib.digits", says: "code_needed", source: srcILinkQR,
		any: []string{"need_verifycode", "请输入手机上显示的数字", "enter the code shown on"}},
	{name: "lib.status_expired", says: "qr_expired", source: srcILinkQR,
		any:  []string{"\"expired\"", "'expired'", "status=expired", "status: expired", "status expired"},
		also: []string{"qrcode", "qr code", "scan", "login", "terminal", "bot"}},
	{name: "lib.no_id", says: "accepted_without_id", op: OpSend, source: "Tencent/openclaw-weixin#263, #278, #310",
		any: []string{"没有 message_id", "没有message_id", "无 message_id", "未返回 message_id", "no message_id", "without message_id", "without a message_id", "omits message_id", "missing message_id", "omits `message_id`", "no `message_id`", "without an id", "accepted but never", "silently dropped"}},
	{name: "lib.quota", says: "reply_quota_used", op: OpSend, source: "iLink protocol, limits: corespeed-io/wechatbot#80, Tencent/openclaw-weixin#81",
		any: []string{"reply quota", "quota of replies", "回复次数已用完", "回复次数", "回复额度", "replies left: 0", "reply limit"}},
	{name: "lib.rate_limited", says: "too_often", source: "gateway/platforms/weixin.py of hermes-agent; NousResearch/hermes-agent#62383",
		any: []string{"rate limited", "rate-limited", "rate limit", "ratelimit", "too many requests", "throttled", "限流"}},
	{name: "lib.gateway_token", says: "gateway_token_refused", source: "wechaty/puppet-service#215, wechaty/wechaty#2500, wechaty/java-wechaty#105",
		any:  []string{"unauthenticated", "invalid wechaty token", "wechaty token", "puppet_service_token", "invalid token", "token invalid", "token is invalid", "token is not valid", "no such token", "token\" does not exist", "token does not exist", "does not exist", "token无效", "token 无效", "token错误", "token 错误", "invalid x-gewe-token", "token must be", "must be prefixed with"},
		also: []string{"token"}},
	{name: "lib.banned", says: "account_banned", source: "wangrongding/wechat-bot#254, hexsum/Mojo-Weixin#125",
		any: []string{"封号", "被封", "封禁", "封控", "被风控", "限制登录", "帐号被限制", "帐号已被限制", "帐号受限", "帐号被冻结", "被冻结", "account has been banned", "account is banned", "account banned", "account has been blocked", "account was blocked", "account is restricted", "account restricted", "account has been restricted", "account suspended", "account has been suspended", "account is limited", "被永久限制", "违规", "涉嫌"}},
	{name: "lib.silence", says: "timeout", source: srcW4U + " (checkPolling); wechaty/getting-started#314",
		any:   []string{"状态同步超过", "同步超时", "heartbeat timeout", "心跳超时", "watchdog reset", "watchdog timeout"},
		never: []string{"watchdog timeout set"}},
	{name: "lib.recipient_id", says: "bad_recipient_id", op: OpSend, source: srcILink + "; Tencent/openclaw-weixin#243, #306",
		any: []string{"invalid arguments", "invalid to_user_id", "bad to_user_id"}},
	{name: "lib.recipient", says: "unknown_recipient", source: srcOpen + "; ItChat 1.3.10 contact.py, returnvalues.py",
		any: []string{"no such user found", "no users found", "no friends found", "no friend found", "no chatroom found", "no such friend", "user not found", "contact not found", "room not found", "member not found", "unknown member", "unknown recipient", "无法找到对应的成员", "找不到该", "找不到用户", "找不到联系人", "找不到好友", "找不到群", "用户不存在", "联系人不存在", "好友不存在", "群成员不存在", "群不存在", "未找到联系人", "未找到好友"}},
	{name: "lib.too_large", says: "too_large", source: "nodeWechat/wechat4u#102, youfou/wxpy#297; axios maxBodyLength",
		any: []string{"entity too large", "payload too large", "file too large", "file is too large", "image too large", "too large", "larger than", "文件过大", "文件太大", "图片过大", "图片太大", "视频过大", "视频太大", "超过大小限制", "大小超过", "超出大小", "exceeds the maximum", "exceeds maximum", "exceeds limit", "exceeds the limit", "file size limit", "maxbodylength", "maxcontentlength size of"}},
	{name: "lib.request", says: "request_refused", source: srcOpen + "; ItChat 1.3.10 messages.py; " + srcW4U,
		any: []string{"undefined == true", "null == true", "false == true", "no mediaid", "empty mediaid", "mediaid is empty", "without media id", "empty file detected", "should be opened file", "should not be an opened file", "either filedir or file_", "can not send message directly", "group must be at least", "group owner required", "invalid members", "create group with no friends", "message required", "message is not from group", "商店表情不能转发", "不能直接转发", "文件名未知", "参数错误", "无效操作", "unsupported message type", "invalid message type", "不支持的消息类型", "content is empty", "消息内容为空"}},
}

// endRules are lines with which a library's loop ends, however it ended.
var endRules = []rule{
	{name: "end.log_out", says: "login_expired", source: "ItChat 1.3.10 itchat/components/login.py start_receiving; littlecodersh/ItChat#642",
		any: []string{"log out!", "logout successfully", "已登出", "登出微信", "退出登录", "下线通知", "已掉线", "掉线了", "已离线", "已下线", "请先登录", "login again", "log in again", "重新登录", "重新扫码", "logged out", "has logged out", "logout event"}},
	{name: "end.poll_refused", says: "server_error", source: "openclaw-weixin 2.4.9 src/api/api.ts; iLink protocol, media",
		one: true, op: OpUpload, any: []string{"returned no upload", "no upload url", "no upload_param", "upload url missing", "无 upload url", "rpc failed", "rpc error", "system error", "系统错误"}},
}

// wrapperRules are lines around a cause that the text does not show.
var wrapperRules = []rule{
	{name: "wrap.upload", says: "upload_refused", op: OpUpload, source: srcW4U + "; nodeWechat/wechat4u#147, wechaty/wechaty#2606",
		any: []string{"上传媒体文件失败", "上传失败", "upload fail", "upload failed", "上传文件失败", "上传图片失败", "上传视频失败", "failed to upload", "uploadmedia"}},
	{name: "wrap.sync", says: "network_error", op: OpSyncCheck, source: srcW4U + "; danni-cool/wechatbot-webhook#90",
		any: []string{"次同步失败", "同步失败", "获取新信息失败", "sync check failed", "sync message failed", "consecutive failures", "同步消息失败"}},
	{name: "wrap.timeout", says: "timeout", source: "a timeout that names no cause: fuergaosi233/wechat-chatgpt#855",
		any: []string{"~timeout", "超时"}, never: []string{"timeout set to", "timeout context manager", "settimeout"}},
	{name: "wrap.qr_shown", says: "qr_not_confirmed", source: srcItchat + "; " + srcILinkQR,
		any: []string{"scaned", "scanned(3)", "press confirm on your phone", "confirm on your phone", "confirm to login", "在手机上确认", "手机端确认", "等待确认", "已扫码", "扫码成功"}},
	{name: "wrap.qr_waiting", says: "qr_not_scanned", source: srcItchat + "; " + srcILinkQR + "; wechaty/puppet-padlocal#21",
		any:  []string{"status: waiting", "status:waiting", "waiting(2)", "waiting for scan", "wait for scan", "waiting for login", "waiting for qr", "\"wait\"", "'wait'", "status=wait", "status: wait", "scan the qr", "scan qr", "scan this qr", "scan event", "等待扫码", "等待扫描", "等待手机", "请扫描二维码", "请使用微信扫", "请用微信扫", "请扫码", "扫码登录:"},
		also: []string{"scan", "扫", "login", "登录", "wait"}},
}
