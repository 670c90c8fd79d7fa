package inbox

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"wechat-bridge/bridge/wire"
)

func TestSafeName(t *testing.T) {
	for in, want := range map[string]string{
		"report.pdf":                       "report.pdf",
		"报告 2026.pdf":                      "报告 2026.pdf",
		"../../etc/passwd":                 "passwd",
		`C:\Windows\System32\cmd.exe`:      "cmd.exe",
		"/":                                "file.jpg",
		"":                                 "file.jpg",
		".":                                "file.jpg",
		"..":                               "file.jpg",
		"...":                              "file.jpg",
		".bashrc":                          "bashrc",
		"-rf":                              "_-rf",
		"~root":                            "_~root",
		"a\x00b\x1b[2J\nc.txt":             "ab[2Jc.txt",
		"photo\u202egpj.exe":               "photogpj.exe",
		`a<b>c:d"e|f?g*.txt`:               "a_b_c_d_e_f_g_.txt",
		"???":                              "file.jpg",
		"CON":                              "_CON",
		"nul.txt":                          "_nul.txt",
		"com1.log":                         "_com1.log",
		"console.log":                      "console.log",
		"trailing. . .":                    "trailing",
		"\xff\xfe.txt":                     "_.txt",
		strings.Repeat("字", 100) + ".docx": strings.Repeat("字", 38) + ".docx",
		"a." + strings.Repeat("x", 500):    "a." + strings.Repeat("x", 118),
	} {
		if got := safeName(in, "image/jpeg"); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if got := safeName("", "no/such"); got != "file" {
		t.Errorf("%q", got)
	}
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"a.txt", "../..", "\u202e", "CON.", "-", strings.Repeat("界", 99), "~ .x", "_", "COM¹"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := safeName(in, "text/plain")
		if !wire.ValidFileName(got) || len(got) > maxName+1 || strings.ContainsAny(got, `/\<>:"|?*`) ||
			strings.ContainsFunc(got, unicode.IsControl) || strings.IndexAny(got, ".-~ ") == 0 || device(got) || !utf8.ValidString(got) {
			t.Errorf("%q becomes %q", in, got)
		}
		if again := safeName(got, "text/plain"); again != got {
			t.Errorf("%q becomes %q and then %q", in, got, again)
		}
	})
}
