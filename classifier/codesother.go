package classifier

// brokerCodes are faults of NATS.
var brokerCodes = []CodeDoc{
	{Code: "nats_unavailable", Class: Broker, Retryable: true, Recovery: RecoverRetry,
		Message: Text{"NATS cannot be reached, is overloaded or does not answer.", "NATS 无法连接、过载或没有应答。"},
		Fix:     Text{"Check the NATS server. The bridge tries again by itself; nothing that NATS acknowledged is lost.", "请检查 NATS 服务器；桥接会自动重试，NATS 已确认的内容不会丢失。"}},
	{Code: "nats_refused", Class: Broker, NeedsHuman: true, Recovery: RecoverRetry,
		Message: Text{"NATS refuses the user, the credentials or a subject.", "NATS 拒绝了用户、凭据或主题权限。"},
		Fix:     Text{"Correct user, password, credentials or permissions.", "请更正用户、密码、凭据或权限。"}},
	{Code: "nats_tls", Class: Broker, NeedsHuman: true, Recovery: RecoverRetry,
		Message: Text{"The encrypted connection to NATS could not be set up.", "无法与 NATS 建立加密连接。"},
		Fix:     Text{"Correct the certificates, or whether TLS is used at all.", "请更正证书，或确认是否应使用 TLS。"}},
	{Code: "nats_storage_full", Class: Broker, NeedsHuman: true, Recovery: RecoverRetry,
		Message: Text{"NATS has no room left: a limit of the stream, the account or the disk is reached.", "NATS 存储空间不足：流、账户或磁盘已达上限。"},
		Fix:     Text{"Raise the limit, purge old messages or make room on the disk.", "请提高上限、清理旧消息或释放磁盘空间。"}},
	{Code: "nats_stream_missing", Class: Broker, NeedsHuman: true, Recovery: RecoverRetry,
		Message: Text{"A stream, bucket or consumer is missing in NATS, or JetStream is switched off.", "NATS 中缺少流、存储桶或消费者，或未启用 JetStream。"},
		Fix:     Text{"Switch JetStream on, or let the bridge make its streams.", "请启用 JetStream，或让桥接创建所需的流。"}},
	{Code: "nats_too_large", Class: Broker, Recovery: RecoverNone,
		Message: Text{"The message is larger than NATS takes.", "消息超过 NATS 允许的大小。"},
		Fix:     Text{"Send media by url or object, or raise max_payload.", "请用 url 或 object 发送媒体，或提高 max_payload。"}},
}

// internalCodes are faults of the program itself.
var internalCodes = []CodeDoc{
	{Code: "cancelled", Class: Internal, Recovery: RecoverNone,
		Message: Text{"The bridge itself gave this up, usually because it is stopping.", "桥接自行放弃了此操作，通常是因为正在停止。"},
		Fix:     Text{"Nothing.", "无需处理。"}},
	{Code: "crash", Class: Internal, Recovery: RecoverNone,
		Message: Text{"A program failed by a mistake in its own code. WeChat is not concerned.", "程序因自身代码错误而失败，与微信无关。"},
		Fix:     Text{"Look for a newer version, or report it with the whole text.", "请查看新版本，或附上完整文本报告。"}},
	{Code: "installation_fault", Class: Internal, NeedsHuman: true, Recovery: RecoverStop,
		Message: Text{"Something is missing on this machine or has the wrong version: a module, a program, a port.", "本机缺少某个组件或其版本不对：模块、程序或端口。"},
		Fix:     Text{"Install what the text names, or free what it names.", "请安装文本中提到的组件，或释放其占用。"}},
	{Code: "file_unusable", Class: Internal, NeedsHuman: true, Recovery: RecoverStop,
		Message: Text{"A file or folder on this machine cannot be read or written.", "本机的某个文件或文件夹无法读写。"},
		Fix:     Text{"Check that it exists, its rights, and the room on the disk.", "请检查其是否存在、权限以及磁盘空间。"}},
	{Code: "config_unreadable", Class: Internal, NeedsHuman: true, Recovery: RecoverStop,
		Message: Text{"The configuration cannot be understood or lacks something.", "配置无法解析或缺少内容。"},
		Fix:     Text{"Correct the place that the text names.", "请更正文本中指出的位置。"}},
}

// unknownCodes are what nobody knows, or cannot know.
var unknownCodes = []CodeDoc{
	{Code: "accepted_without_id", Class: Unknown, Recovery: RecoverNone,
		Message: Text{"WeChat's bot service took the message but gave no message id: it may never be shown.", "微信机器人服务接受了消息但未返回消息编号：消息可能不会显示。"},
		Fix:     Text{"Look into the chat. If it stays so for all messages, WeChat suppresses this bot: wait some days or contact WeChat.", "请查看聊天。若所有消息都如此，说明微信正在屏蔽此机器人：请等待数日或联系微信。"}},
	{Code: "unknown", Class: Unknown, Retryable: true, Recovery: RecoverRetry,
		Message: Text{"Nobody has told the bridge yet what this means.", "桥接尚不了解此错误的含义。"},
		Fix:     Text{"The bridge tries again. Please report the error, so that it gets a name.", "桥接会重试；请报告此错误，以便为其命名。"}},
}
