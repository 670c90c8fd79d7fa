package inbox

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"

	"wechat-bridge/bridge/wire"
)

const (
	maxName = 120 // bytes of a safe name
	maxExt  = 16  // bytes of an extension that is kept when a name is cut
)

// safeName makes a stranger's file name one that can be written to any file
// system and typed after any command: no folder, no control character, no
// hidden file, no option, no device of Windows. Other scripts stay.
func safeName(name, mime string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(safeRune, strings.ToValidUTF8(name, "_"))
	name = strings.Trim(name, " .\u00a0\u3000")
	name = shorten(name)
	if strings.HasPrefix(name, "-") || strings.HasPrefix(name, "~") || device(name) {
		name = "_" + name
	}
	if !wire.ValidFileName(name) || strings.Trim(name, "_. ") == "" {
		return "file" + extension(mime)
	}
	return name
}

func safeRune(r rune) rune {
	switch {
	case strings.ContainsRune(`<>:"|?*`, r):
		return '_'
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029', r == utf8.RuneError:
		return -1
	}
	return r
}

// shorten cuts in the middle of a name, so that its extension stays.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	ext := path.Ext(name)
	if len(ext) > maxExt {
		ext = ""
	}
	n := maxName - len(ext)
	for n > 0 && !utf8.RuneStart(name[n]) {
		n--
	}
	return strings.TrimRight(name[:n], " .") + ext
}

// device are names that mean hardware on Windows, whatever the extension.
func device(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	base = strings.TrimSpace(base)
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")) && base[3] >= '0' && base[3] <= '9'
}

func extension(mime string) string {
	if m := mimetype.Lookup(mime); m != nil {
		return m.Extension()
	}
	return ""
}
