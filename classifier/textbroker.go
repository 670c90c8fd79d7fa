package classifier

const (
	srcNATS    = "nats.go v1.55 nats.go, jserrors.go; nats-server v2.15 errors.json"
	srcNATSAll = "nats-io/nats-server#4281, nats-io/nats.java#708"
	srcAbroad  = "a host that is not WeChat's says nothing about WeChat: 869413421/wechatbot#3, MartialBE/one-hub#249"
)

// brokerRules judge texts with evidence of NATS. The last row fits each.
var brokerRules = []rule{
	{name: "nats.too_large", says: "nats_too_large", source: srcNATS,
		any: []string{"maximum payload", "max_payload", "max payload", "payload too large", "payload exceeded", "message size exceeds", "maxpayload"}},
	{name: "nats.refused", says: "nats_refused", source: srcNATS,
		any: []string{"authorization", "authentication", "permissions violation", "permission violation", "permissions_violation", "publish violation", "subscription violation",
			"permission denied", "not authorized", "unauthorized", "user expired", "account expired", "invalid credentials", "not permitted", "bad credentials", "nkey"}},
	{name: "nats.tls", says: "nats_tls", source: srcNATS,
		any: []string{"x509", "certificate", "secure connection", "~tls", "~ssl"}, never: []string{"timeout", "timed out"}},
	{name: "nats.storage", says: "nats_storage_full", source: srcNATS + "; nats-io/nats-server#4281",
		any: []string{"insufficient storage", "insufficient resources", "insufficient memory", "resource limits exceeded", "maximum bytes exceeded", "maximum messages exceeded", "maximum messages per subject", "maximum streams",
			"maximum consumers", "no space left", "storage resources", "storage limit", "10047", "10023", "10028", "10002", "10026", "10077"}},
	{name: "nats.missing", says: "nats_stream_missing", source: srcNATS,
		any: []string{"stream not found", "stream_not_found", "no stream found", "no stream matches", "consumer not found", "bucket not found", "object not found", "jetstream not enabled", "jetstream is not enabled",
			"10059", "10014", "10039", "10076"}, never: []string{"no responders", "503"}},
	{name: "nats.unavailable", says: "nats_unavailable", source: srcNATSAll,
		any: []string{""}},
}

// foreignRules are what other services say in words of their own.
var foreignRules = []rule{
	{name: "other.key", says: "config_unreadable", source: "OpenAI API reference, error codes: 401",
		any: []string{"invalid api key", "incorrect api key", "invalid_api_key", "authenticationerror", "no api key", "didn't provide an api key", "401 unauthorized", "status code 401", "status code: 401", "invalid authentication"}},
	{name: "other.limited", says: "other_service_limited", source: "OpenAI API reference, error codes: 429",
		any: []string{"rate limit", "ratelimiterror", "rate_limit", "exceeded your current quota", "insufficient_quota", "too many requests", "status code 429", "status code: 429", "quota"}},
}

// abroadRules stand for the rows of the way to WeChat when the way led to
// another service.
var abroadRules = []rule{
	{name: "other.down", says: "other_service_down", source: srcAbroad},
	{name: "other.untrusted", says: "other_service_untrusted", source: "yqchilde/wxbot#75, riba2534/openai-on-wechat#5"},
	{name: "other.error", says: "other_service_error", source: srcAbroad},
	{name: "other.unreadable", says: "other_service_unreadable", source: srcAbroad},
}

const (
	srcNode   = "Node.js 22 errors; x-dr/wechaty-bot#2, wechaty/wechaty#2266"
	srcPython = "Python 3.12 exceptions; zhayujie/CowAgent#221, #594"
)

// configRules are configurations that cannot be read; they come before answers
// that cannot be read, because both are often JSON.
var configRules = []rule{
	{name: "config.json", says: "config_unreadable", source: "zhayujie/CowAgent#142",
		any:   []string{"config.json", "load_config", "config_str", "config.yaml", "config.yml", "config.toml", "package.json", "tsconfig", "appsettings.json", "docker-compose.y", "openclaw.json", "配置文件", "config file", "configuration file"},
		also:  []string{"jsondecode", "json.loads", "json.parse", "in json", "valid json", "expecting", "parse", "syntax", "invalid", "decode", "unexpected", "解析", "格式", "unmarshal", "property name"},
		never: []string{"no such file", "~enoent", "cannot find module", "filenotfound"}},
	{name: "config.yaml", says: "config_unreadable", source: "PyYAML 6 scanner.py, gopkg.in/yaml.v3",
		any: []string{"yaml: ", "yaml.scanner", "yaml.parser", "yamlexception", "yamlparseerror", "toml.decoder", "tomldecodeerror", "configparser.", "invalid configuration", "configuration error", "config validation", "invalid config", "missing required config"}},
}

// internalRules are what is none of WeChat's business.
var internalRules = []rule{
	{name: "internal.cancelled", says: "cancelled", source: "Go context.Canceled; Python asyncio.CancelledError",
		any: []string{"context canceled", "context cancelled", "operation was canceled", "cancellederror", "taskcanceled", "canceled by user", "keyboardinterrupt"}},
	{name: "internal.session_file", says: "no_stored_session", source: "openwechat v1.4.10 storage.go; ItChat itchat/components/hotreload.py",
		any:  []string{"storage.json", "itchat.pkl", "wxpy.pkl", "memory-card.json", "token.json", "credentials.json"},
		also: []string{"no such file", "~enoent", "filenotfound", "cannot find the file", "not found", "ran out of input", "unpicklingerror", "不存在", "找不到"}},
	{name: "internal.module", says: "installation_fault", source: srcNode + "; " + srcPython,
		any: []string{"modulenotfounderror", "no module named", "cannot find module", "cannot find package", "err_module_not_found", "module_not_found", "importerror", "cannot import name", "failed to import", "failed to load",
			"noclassdeffound", "classnotfoundexception", "dll load failed", "err_unsupported_esm", "err_require_esm", "cannot use import statement", "package is not in", "no required module provides"}},
	{name: "internal.program", says: "installation_fault", source: "Node.js 22 and shell messages; wechaty/wechaty#1039 (Chromium)",
		any: []string{"command not found", "is not recognized as an internal", "address already in use", "eaddrinuse", "only one usage of each socket address", "unsupported engine", "requires node", "node version", "python version", "requires python",
			"failed to launch the browser", "could not find chromium", "could not find chrome", "chromium revision is not downloaded", "glibc_", "exec format error", "unsupported platform", "npm err!", "error while loading shared libraries"}},
	{name: "internal.syntax", says: "installation_fault", source: "Node.js 14 on newer syntax; Python 3.6 on newer syntax",
		any: []string{"syntaxerror", "indentationerror", "unsupportedclassversionerror"}},
	{name: "internal.config_missing", says: "config_unreadable", source: "zhayujie/CowAgent#1262; xiangsx/wechatgpt#6",
		any: []string{"config.json", "config.yaml", "config.yml", "config.js", "config/index", "~.env", "环境变量", "environment variable", "is not configured", "not configured", "未配置", "配置错误", "配置不正确", "missing api key", "invalid api key", "no api key", "api key is", "apikey is", "api key not", "missing required", "must be set"}},
	{name: "internal.file", says: "file_unusable", source: "POSIX error texts; Node.js 22 ENOENT, EACCES",
		any: []string{"no such file or directory", "~enoent", "filenotfounderror", "file not found", "eacces", "permission denied", "permissionerror", "~eperm", "read-only file system", "~erofs", "no space left", "enospc", "enametoolong", "file name too long", "cannot find the file", "cannot find the path", "is a directory", "~eisdir", "database is locked", "too many open files", "~emfile", "文件不存在", "文件位置错误", "找不到文件", "没有权限"}},
	{name: "internal.crash", says: "crash", source: "padlocal/wechaty-puppet-padlocal-demo#12; Go, Python, Java and Node.js runtime errors",
		any: []string{"panic:", "panic(", "nil pointer", "segmentation fault", "sigsegv", "nullpointerexception", "indexoutofbounds", "classcastexception", "illegalargumentexception", "illegalstateexception", "typeerror", "attributeerror", "nameerror", "indexerror", "index out of range", "referenceerror", "rangeerror",
			"keyerror", "valueerror", "unboundlocalerror", "zerodivisionerror", "recursionerror", "notimplementederror", "heap out of memory", "outofmemoryerror", "out of memory", "maximum call stack", "stackoverflow", "runtimeerror", "eoferror", "unicodedecodeerror", "unicodeencodeerror", "cannot read propert", "is not a function", "is not defined", "undefined index", "fatal error:", "concurrent map"}},
}
