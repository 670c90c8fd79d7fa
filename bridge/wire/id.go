package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxID is the length of an id in characters.
const MaxID = 128

const maxPlainKey = 64

// ValidID reports whether s can be an id: 1 to 128 printable characters. The
// only space that counts as printable is U+0020; bidi controls, zero-width
// characters and line breaks do not.
func ValidID(s string) bool {
	if s == "" || len(s) > MaxID*utf8.UTFMax || !utf8.ValidString(s) {
		return false
	}
	return utf8.RuneCountInString(s) <= MaxID && strings.IndexFunc(s, unprintable) < 0
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// MadeID is the id of a command that came without one. It depends only on the
// stored message, so that reading it again gives the same id, and on the time
// it was stored, so that a stream that was emptied or made anew, whose
// sequences begin again, gives new ones. It is its own key.
func MadeID(seq uint64, at time.Time) string {
	return "w" + strconv.FormatUint(uint64(at.UnixNano()), 32) + "-" + strconv.FormatUint(seq, 10)
}

// Key turns an id into one subject token: itself if it matches
// [A-Za-z0-9_-]{1,64}, else ~ and the first 26 characters
// of its SHA-256 in base32 (RFC 4648, capitals), 130 bits.
func Key(id string) string {
	if plain(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "~" + base32.StdEncoding.EncodeToString(sum[:])[:26]
}

func plain(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return id != "" && len(id) <= maxPlainKey
}

// PartID is the id of part n (from 1) of a list.
func PartID(id string, n int) string { return id + "~" + strconv.Itoa(n) }

// PartKey is the key of part n (from 1) of a list, next to the list's own.
func PartKey(key string, n int) string { return key + "~" + strconv.Itoa(n) }

// ConflictKey is the key of the chain that rejects a second command with an id
// that is in use; seq is that command's sequence in the stream.
func ConflictKey(key string, seq uint64) string {
	return key + "~x" + strconv.FormatUint(seq, 10)
}
