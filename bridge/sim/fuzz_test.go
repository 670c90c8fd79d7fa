package sim

import (
	"encoding/json"
	"encoding/xml"
	"html"
	"mime/multipart"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParseSyncKey(f *testing.F) {
	f.Add("1_696|2_713|3_737")
	f.Add("")
	f.Add("1_|_|x_9")
	f.Fuzz(func(t *testing.T, s string) {
		pairs, ok := parseSyncKey(s)
		if ok && (len(pairs) == 0 || len(pairs) > 65 || strings.Count(s, "|") != len(pairs)-1) {
			t.Errorf("%q: %v", s, pairs)
		}
	})
}

func FuzzParseChunk(f *testing.F) {
	var b strings.Builder
	w := multipart.NewWriter(&b)
	for k, v := range map[string]string{"uploadmediarequest": `{"TotalLen":3,"BaseRequest":{"Uin":1}}`, "size": "3", "webwx_data_ticket": "t"} {
		if err := w.WriteField(k, v); err != nil {
			f.Fatal(err)
		}
	}
	part, err := w.CreateFormFile("filename", "x")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := part.Write([]byte("abc")); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(w.FormDataContentType(), []byte(b.String()))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\n\r\n--x--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		c, err := parseChunk(contentType, body)
		if err == nil && (len(c.data) == 0 || len(c.data) > chunkSize || c.number >= c.count || int64(len(c.data)) > c.req.TotalLen) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzLoadWorld(f *testing.F) {
	f.Add("people: [{id: a, name: A}]\nrooms: [{id: r, members: [a]}]")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := LoadWorld(strings.NewReader(text))
		if err == nil && (w.Host == "" || len(w.People) == 0 || w.clone().fill() != nil) {
			t.Errorf("%+v", w)
		}
	})
}

func FuzzFault(f *testing.F) {
	f.Add(`{"on":["*"],"do":"throttle","rate":"20/m"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var in, out Fault
		if json.Unmarshal([]byte(text), &in) != nil {
			return
		}
		b, err := json.Marshal(in)
		if err != nil || json.Unmarshal(b, &out) != nil {
			t.Errorf("%s: %s %v", text, b, err)
		}
		if _, err := newLiveFault(out); err == nil && out.Do == "" {
			t.Errorf("%s", b)
		}
	})
}

// What people write comes back whole after unescaping once, and inside of XML
// after unescaping twice.
func FuzzEscape(f *testing.F) {
	f.Add("a <b> & 'c' \"d\" 😀\nx")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return r < ' ' && r != '\n' || isEmoji(r) || isFlagHalf(r) || r > 0xfffd && r < 0x10000 || r == 0xfeff
		}) {
			return
		}
		if got := html.UnescapeString(strings.ReplaceAll(escapeText(s), "<br/>", "\n")); got != s {
			t.Errorf("%q became %q", s, got)
		}
		var v struct {
			A string `xml:"a,attr"`
		}
		content := escapeText(xmlf(`<m a="%s"/>`, s))
		if err := xml.Unmarshal([]byte(html.UnescapeString(strings.ReplaceAll(content, "<br/>", "\n"))), &v); err != nil || v.A != s {
			t.Errorf("%q became %q: %v", s, v.A, err)
		}
	})
}

func FuzzSameTicket(f *testing.F) {
	f.Add("a+b/c==", "a%2Bb%2Fc%3D%3D")
	f.Fuzz(func(t *testing.T, want, got string) {
		if want != "" && got == "" && sameTicket(got, want) {
			t.Errorf("nothing is taken for %q", want)
		}
		if !sameTicket(want, want) {
			t.Errorf("%q is not itself", want)
		}
	})
}
