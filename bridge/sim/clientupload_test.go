package sim

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
)

// upload sends a file in chunks and returns its media id; change may spoil the
// fields of a chunk.
func (c *client) upload(to, name string, data []byte, change func(chunk int, fields map[string]string)) (string, string) {
	c.t.Helper()
	sum := md5.Sum(data)
	chunks := (len(data) + chunkSize - 1) / chunkSize
	var mediaID, code string
	for i := range chunks {
		part := data[i*chunkSize : min((i+1)*chunkSize, len(data))]
		req := map[string]any{"UploadType": 2, "BaseRequest": c.base, "ClientMediaId": 17, "TotalLen": len(data), "StartPos": 0,
			"DataLen": len(data), "MediaType": 4, "FromUserName": c.self, "ToUserName": to, "FileMd5": hex.EncodeToString(sum[:])}
		b, err := json.Marshal(req)
		if err != nil {
			c.t.Fatal(err)
		}
		fields := map[string]string{"id": "WU_FILE_0", "name": name, "type": "application/octet-stream", "lastModifiedDate": "now",
			"size": fmt.Sprint(len(data)), "mediatype": "doc", "uploadmediarequest": string(b),
			"webwx_data_ticket": c.cookie("file."+c.host, "webwx_data_ticket"), "pass_ticket": c.pass}
		if chunks > 1 {
			fields["chunks"], fields["chunk"] = fmt.Sprint(chunks), fmt.Sprint(i)
		}
		if change != nil {
			change(i, fields)
		}
		m := c.uploadChunk(fields, part)
		mediaID, _ = m["MediaId"].(string)
		if code = ret(m); code != "0" {
			return "", code
		}
	}
	return mediaID, code
}

func (c *client) uploadChunk(fields map[string]string, part []byte) map[string]any {
	c.t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for k, v := range fields {
		if err := w.WriteField(k, v); err != nil {
			c.t.Fatal(err)
		}
	}
	fw, err := w.CreateFormFile("filename", fields["name"])
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := fw.Write(part); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "https://file."+c.host+cgiBin+"webwxuploadmedia?f=json", &buf)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	_, b, err := c.do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		c.t.Fatalf("%v in %q", err, b)
	}
	return m
}

func (c *client) cookie(host, name string) string {
	for _, ck := range c.jar.Cookies(&url.URL{Scheme: "https", Host: host, Path: "/"}) {
		if ck.Name == name {
			return ck.Value
		}
	}
	return ""
}

// setCookie overwrites a cookie as the server would; "" removes it.
func (c *client) setCookie(domain, name, value string) {
	ck := &http.Cookie{Name: name, Value: value, Domain: domain, Path: "/", Secure: true}
	if value == "" {
		ck.MaxAge = -1
	}
	c.jar.SetCookies(&url.URL{Scheme: "https", Host: c.host, Path: "/"}, []*http.Cookie{ck})
}
