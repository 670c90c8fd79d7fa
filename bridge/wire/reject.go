package wire

import (
	"fmt"
	"maps"
	"slices"
)

// shownChars bounds what a message repeats of a command, in characters.
const shownChars = 64

// reject makes a rejection. The field's path and strings among the arguments
// may come from the command, so they pass the filter.
func reject(code, field, format string, args ...any) *Rejection {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = Printable(s, 4*shownChars)
		}
	}
	return &Rejection{Code: code, Field: Printable(field, 2*shownChars), Message: fmt.Sprintf(format, args...)}
}

func quoted(s string) string { return `"` + Printable(s, shownChars) + `"` }

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// synonyms are what users of other APIs type.
var synonyms = map[string]string{
	"recipient": "to", "recipients": "to", "receiver": "to", "target": "to", "chat": "to", "touser": "to",
	"message": "text", "msg": "text", "body": "text", "content": "text",
	"msg_id": "id", "msgid": "id", "message_id": "id", "key": "id",
	"photo": "image", "picture": "image", "document": "file", "attachment": "file", "audio": "voice", "sticker": "emoticon",
	"recall": "revoke", "mentions": "mention", "at": "mention", "timeout": "ttl", "expires": "expires_at",
	"filename": "name", "base64": "data", "bytes": "data", "href": "url", "desc": "description", "name": "nickname",
}

// nearestField names the field that was probably meant.
func nearestField(name string, known []string) string {
	if s := synonyms[name]; s != "" && contains(known, s) {
		return s
	}
	if s := Nearest(name, known); s != "" {
		return s
	}
	if s := synonyms[Nearest(name, slices.Sorted(maps.Keys(synonyms)))]; contains(known, s) {
		return s
	}
	return ""
}
