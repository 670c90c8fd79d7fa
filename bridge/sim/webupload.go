package sim

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	chunkSize   = 512 << 10
	needCheck   = 25 << 20 // above, webwxcheckupload comes first
	keptUploads = 128      // finished uploads that can be sent
	openUploads = 32       // unfinished ones
	keptBytes   = 64 << 20 // of finished uploads; older ones keep size and MD5 only
)

// upload is a file that a client sends in chunks.
type upload struct {
	key     string
	mediaID string // set when all chunks are there
	name    string
	size    int64
	md5     string
	chunks  [][]byte
	missing int
	data    []byte // nil when it was dropped to save memory
}

// uploadStore keeps the newest uploads; used with the account's mu held.
type uploadStore struct {
	open     []*upload
	finished []*upload
	bytes    int64
	checked  map[string]string // MD5 to the AES key given by webwxcheckupload
}

func newUploadStore() *uploadStore { return &uploadStore{checked: make(map[string]string)} }

// done finds a finished upload by its media id.
func (s *uploadStore) done(mediaID string) *upload {
	for _, u := range s.finished {
		if u.mediaID == mediaID && mediaID != "" {
			return u
		}
	}
	return nil
}

func (s *uploadStore) byMD5(sum string) *upload {
	for _, u := range s.finished {
		if u.md5 == sum {
			return u
		}
	}
	return nil
}

func (s *uploadStore) byKey(key string) *upload {
	for _, list := range [][]*upload{s.open, s.finished} {
		for _, u := range list {
			if u.key == key {
				return u
			}
		}
	}
	return nil
}

func (s *uploadStore) begin(u *upload) {
	s.open = append(s.open, u)
	if len(s.open) > openUploads {
		s.open = append(s.open[:0], s.open[1:]...)
	}
}

func (s *uploadStore) finish(u *upload) {
	s.open = slices.DeleteFunc(s.open, func(o *upload) bool { return o == u })
	s.finished = append(s.finished, u)
	s.bytes += int64(len(u.data))
	if len(s.finished) > keptUploads {
		s.bytes -= int64(len(s.finished[0].data))
		s.finished = append(s.finished[:0], s.finished[1:]...)
	}
	for i := 0; s.bytes > keptBytes && i < len(s.finished)-1; i++ {
		s.bytes -= int64(len(s.finished[i].data))
		s.finished[i].data = nil
	}
}

type uploadRequest struct {
	based
	UploadType    int
	ClientMediaId flexText
	TotalLen      int64
	StartPos      int64
	DataLen       int64
	MediaType     int
	FromUserName  string
	ToUserName    string
	FileMd5       string
	AESKey        string
	Signature     string
}

// chunk is one request of an upload.
type chunk struct {
	req           uploadRequest
	name          string
	passTicket    string
	dataTicket    string
	number, count int
	data          []byte
}

var errForm = errors.New("bad upload form")

// parseChunk reads the multipart form of webwxuploadmedia.
func parseChunk(contentType string, body []byte) (chunk, error) {
	c := chunk{count: 1}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return c, fmt.Errorf("%w: content type", errForm)
	}
	fields := make(map[string]string)
	mr := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := mr.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(fields) > 32 {
			return c, fmt.Errorf("%w: parts", errForm)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return c, fmt.Errorf("%w: part: %w", errForm, err)
		}
		if part.FormName() == "filename" {
			c.data = b
			continue
		}
		fields[part.FormName()] = string(b)
	}
	return c, c.fill(fields)
}

func (c *chunk) fill(fields map[string]string) error {
	if err := json.Unmarshal([]byte(fields["uploadmediarequest"]), &c.req); err != nil {
		return fmt.Errorf("%w: uploadmediarequest: %w", errForm, err)
	}
	c.name, c.passTicket, c.dataTicket = fields["name"], fields["pass_ticket"], fields["webwx_data_ticket"]
	if n := fields["chunks"]; n != "" {
		var err1, err2 error
		c.count, err1 = strconv.Atoi(n)
		c.number, err2 = strconv.Atoi(fields["chunk"])
		if err1 != nil || err2 != nil {
			return fmt.Errorf("%w: chunks", errForm)
		}
	}
	size, err := strconv.ParseInt(fields["size"], 10, 64)
	if err != nil || size != c.req.TotalLen {
		return fmt.Errorf("%w: size", errForm)
	}
	return c.checkSizes()
}

// checkSizes wants chunks of 512 KiB, the last one being the rest.
func (c *chunk) checkSizes() error {
	total := c.req.TotalLen
	want := int((total + chunkSize - 1) / chunkSize)
	if total <= 0 || total > maxFile || c.count != want || c.number < 0 || c.number >= c.count {
		return fmt.Errorf("%w: %d bytes in %d chunks", errForm, total, c.count)
	}
	if int64(len(c.data)) != min(chunkSize, total-int64(c.number)*chunkSize) || c.dataTicket == "" {
		return fmt.Errorf("%w: chunk of %d bytes", errForm, len(c.data))
	}
	return nil
}

type uploadAnswer struct {
	BaseResponse baseResponse
	MediaId      string
	StartPos     int64
}

// uploadMedia takes a chunk; the answer to the last one has the media id.
func (w *web) uploadMedia(rw http.ResponseWriter, c call) {
	ch, err := parseChunk(c.Header.Get("Content-Type"), c.body)
	if err != nil {
		w.refuse(rw, c.endpoint, retParam, 0)
		return
	}
	b := ch.req.BaseRequest
	v, ret := w.locked(func() (*session, int) {
		return w.authorize(c, credentials{uin: string(b.Uin), sid: b.Sid, skey: b.Skey,
			passTicket: ch.passTicket, dataTicket: ch.dataTicket})
	}, func(s *session) (any, int) { return w.takeChunk(s, ch) })
	if ret != retOK {
		w.refuse(rw, c.endpoint, ret, 0)
		return
	}
	answerJSON(rw, v)
}

func (w *web) takeChunk(s *session, ch chunk) (any, int) {
	to := ch.req.ToUserName
	if s.ids[to] == "" || s.ids[ch.req.FromUserName] != selfID {
		return nil, retSystem
	}
	if ch.req.TotalLen > needCheck && (ch.req.AESKey == "" || w.ups.checked[ch.req.FileMd5] != ch.req.AESKey) {
		return nil, retParam
	}
	key := strings.Join([]string{s.sid, string(ch.req.ClientMediaId), ch.req.FileMd5, ch.name, to,
		strconv.FormatInt(ch.req.TotalLen, 10)}, "\x00")
	u := w.ups.byKey(key)
	if u == nil {
		u = &upload{key: key, name: ch.name, size: ch.req.TotalLen, chunks: make([][]byte, ch.count), missing: ch.count}
		w.ups.begin(u)
	}
	if u.mediaID == "" && u.chunks[ch.number] == nil {
		u.chunks[ch.number] = ch.data
		u.missing--
	}
	if u.missing > 0 {
		return uploadAnswer{StartPos: ch.req.TotalLen}, retOK
	}
	return w.finishUpload(u, ch)
}

// finishUpload puts the chunks together and compares the MD5, if one was told.
func (w *web) finishUpload(u *upload, ch chunk) (any, int) {
	if u.mediaID == "" {
		u.data = bytes.Join(u.chunks, nil)
		u.chunks = nil
		sum := md5.Sum(u.data)
		u.md5 = hex.EncodeToString(sum[:])
		if ch.req.FileMd5 != "" && !strings.EqualFold(ch.req.FileMd5, u.md5) {
			w.ups.open = slices.DeleteFunc(w.ups.open, func(o *upload) bool { return o == u })
			return nil, retParam
		}
		u.mediaID = "@crypt_" + hex.EncodeToString(w.secret(4)) + "_" + hex.EncodeToString(w.secret(64))
		w.ups.finish(u)
	}
	return uploadAnswer{MediaId: u.mediaID, StartPos: u.size}, retOK
}

type checkRequest struct {
	based
	FileMd5      string
	FileName     string
	FileSize     int64
	FileType     int
	FromUserName string
	ToUserName   string
}

// checkUpload announces a large file; one that is there already needs no upload.
func (w *web) checkUpload(rw http.ResponseWriter, c call) {
	var req checkRequest
	w.answer(rw, c, &req, func(s *session) (any, int) {
		if s.ids[req.ToUserName] == "" {
			return nil, retSystem
		}
		if len(req.FileMd5) != 32 || req.FileSize <= 0 || req.FileSize > maxFile || req.FileType != 7 {
			return nil, retParam
		}
		ans := struct {
			BaseResponse  baseResponse
			MediaId       string
			AESKey        string
			Signature     string
			EncryFileName string
		}{Signature: hex.EncodeToString(w.secret(32)), EncryFileName: req.FileName}
		if u := w.ups.byMD5(req.FileMd5); u != nil {
			ans.MediaId = u.mediaID
			return ans, retOK
		}
		if len(w.ups.checked) >= keptUploads {
			clear(w.ups.checked)
		}
		ans.AESKey = hex.EncodeToString(w.secret(16))
		w.ups.checked[req.FileMd5] = ans.AESKey
		return ans, retOK
	})
}
