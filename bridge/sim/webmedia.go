package sim

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strconv"
	"time"
)

// mediaInfo is what a message says of its media.
type mediaInfo struct {
	size    int64
	md5     string
	mediaID string
}

// keptMedia bounds the bytes that can be downloaded; the oldest go first.
const keptMedia = 64 << 20

// mediaStore keeps the newest media by message id and by media id; used with
// the account's mu held.
type mediaStore struct {
	items map[string][]byte
	order []string
	bytes int
}

func newMediaStore() *mediaStore { return &mediaStore{items: make(map[string][]byte)} }

func (s *mediaStore) put(msgID, mediaID string, data []byte) {
	if len(data) == 0 {
		return
	}
	for _, key := range []string{msgID, mediaID} {
		if key == "" {
			continue
		}
		s.items[key] = data
		s.order = append(s.order, key)
		s.bytes += len(data)
	}
	for s.bytes > keptMedia && len(s.order) > 2 {
		s.bytes -= len(s.items[s.order[0]])
		delete(s.items, s.order[0])
		s.order = s.order[1:]
	}
}

func (s *mediaStore) get(key string) []byte { return s.items[key] }

func describe(data []byte) mediaInfo {
	sum := md5.Sum(data)
	return mediaInfo{size: int64(len(data)), md5: hex.EncodeToString(sum[:])}
}

// getMessageMedia serves pictures, voice and video of messages.
func (w *web) getMessageMedia(rw http.ResponseWriter, c call) {
	q := c.URL.Query()
	id := q.Get("MsgID")
	if id == "" {
		id = q.Get("msgid")
	}
	w.download(rw, c, func(*session) []byte { return w.media.get(id) })
}

// getMedia serves files; the data ticket is checked on file.H.
func (w *web) getMedia(rw http.ResponseWriter, c call) {
	q := c.URL.Query()
	w.mu.Lock()
	s := w.session
	data := []byte(nil)
	if w.mediaAllowed(s, c) {
		data = w.media.get(q.Get("mediaid"))
	}
	w.mu.Unlock()
	answerMedia(rw, c, data)
}

func (w *web) mediaAllowed(s *session, c call) bool {
	q := c.URL.Query()
	if s == nil || w.checkCookies(c, s) != retOK || q.Get("webwx_data_ticket") != s.dataTicket {
		return false
	}
	if t := q.Get("pass_ticket"); t != "" && !sameTicket(t, s.passTicket) {
		return false
	}
	return oneOf(q.Get("fromuser"), s.uin, s.names[selfID]) && s.ids[q.Get("sender")] != ""
}

// download answers an empty body to who may not have it, as WeChat does.
func (w *web) download(rw http.ResponseWriter, c call, find func(*session) []byte) {
	w.mu.Lock()
	s, ret := w.byCookies(c)
	var data []byte
	if ret == retOK {
		data = find(s)
	}
	w.mu.Unlock()
	answerMedia(rw, c, data)
}

func answerMedia(rw http.ResponseWriter, c call, data []byte) {
	if len(data) == 0 {
		rw.Header().Set("Content-Length", "0")
		return
	}
	rw.Header().Set("Content-Type", http.DetectContentType(data))
	http.ServeContent(rw, c.Request, "", time.Time{}, bytes.NewReader(data))
}

// getIcon serves made-up pictures of people and rooms.
func (w *web) getIcon(rw http.ResponseWriter, c call) {
	name := c.URL.Query().Get("username")
	w.download(rw, c, func(s *session) []byte {
		if id := s.ids[name]; id != "" {
			return avatar(id)
		}
		return nil
	})
}

// avatar draws a square in a colour that belongs to the id.
func avatar(id string) []byte {
	n := stableNumber(id)
	return picture(24, color.RGBA{R: byte(n), G: byte(n >> 8), B: byte(n >> 16), A: 255})
}

func picture(side int, c color.RGBA) []byte {
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{c})
	var buf bytes.Buffer
	_ = png.Encode(&buf, img) // a Buffer does not fail
	return buf.Bytes()
}

// sample makes up the media of a message that came without; n makes each one
// different.
func sample(kind string, n uint64) []byte {
	tag := strconv.FormatUint(n, 10)
	switch kind {
	case "image", "emoticon":
		return picture(16, color.RGBA{R: byte(n), G: byte(n >> 8), B: byte(n >> 16), A: 255})
	case "voice":
		return []byte("ID3\x03\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x44" + tag)
	case "video":
		return []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom\x00\x00\x00\x08free" + tag)
	}
	return []byte("file " + tag + "\n")
}
