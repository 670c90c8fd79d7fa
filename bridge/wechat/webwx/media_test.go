package webwx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"wechat-bridge/bridge/sim"
	"wechat-bridge/bridge/wechat"
	"wechat-bridge/classifier"
)

func TestDownloadFaults(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	image := w.byID(s, w.say(sim.Message{From: "alice", Type: "image", Data: pngBytes})).Message
	video := w.byID(s, w.say(sim.Message{From: "alice", Type: "video", Data: mp4Bytes})).Message
	w.fault(sim.Fault{On: []string{"webwxgetmsgimg"}, Do: "empty", Count: 2})
	if !holds(pngBytes)(image) {
		t.Error("an empty body means: try again")
	}
	for name, c := range map[string]struct {
		fault sim.Fault
		want  func(*classifier.Fault) bool
		asked int
	}{
		"empty for ever": {sim.Fault{Do: "empty"}, func(f *classifier.Fault) bool { return f.Body == classifier.BodyEmpty }, emptyTries},
		"a page":         {sim.Fault{Do: "html"}, func(f *classifier.Fault) bool { return f.Body == classifier.BodyHTML }, 1},
		"502":            {sim.Fault{Do: "status"}, func(f *classifier.Fault) bool { return f.Status == 502 }, 1},
		"a code":         {sim.Fault{Do: "ret", Ret: 1101}, func(f *classifier.Fault) bool { return f.Code == 1101 || f.Body == classifier.BodyEmpty }, 0},
	} {
		w.sim.ClearFaults()
		c.fault.On = []string{"webwxgetmsgimg"}
		w.fault(c.fault)
		n := w.sim.Requests("webwxgetmsgimg")
		_, err := image.Media.Open(w.ctx())
		if f := faultOf(t, err); f.Op != classifier.OpDownload || !c.want(f) {
			t.Errorf("%s: %+v", name, f)
		}
		if got := w.sim.Requests("webwxgetmsgimg") - n; c.asked > 0 && got != c.asked {
			t.Errorf("%s: asked %d times", name, got)
		}
	}
	w.sim.ClearFaults()
	w.fault(sim.Fault{On: []string{"webwxgetvideo"}, Do: "hang"})
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	done := make(chan error, 1)
	go func() { _, err := video.Media.Open(ctx); done <- err }()
	eventually(t, "the download hangs", func() bool { return w.sim.Requests("webwxgetvideo") > 0 })
	cancel(why)
	if err := <-done; !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestVideoIsAskedForWithARange(t *testing.T) {
	w := newWorld(t)
	tp := w.tap()
	s := w.login(wechat.QR)
	m := w.byID(s, w.say(sim.Message{From: "alice", Type: "video", Data: mp4Bytes})).Message
	if !holds(mp4Bytes)(m) || tp.to("webwxgetvideo")[0].req.Header.Get("Range") != "bytes=0-" {
		t.Error("no Range header")
	}
}

func TestUploadInChunks(t *testing.T) {
	w := newWorld(t)
	tp := w.tap()
	s := w.login(wechat.QR)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1_300_000/16)
	_, err := s.Send(w.ctx(), mediaTo(w.peer("Bob"), wechat.File, "report <1> & 2.pdf", data))
	must(t, err)
	e := w.sim.Sent()[0]
	if e.Content != "report <1> & 2.pdf" || e.Media.Size != int64(len(data)) || e.Type != "file" {
		t.Errorf("ledger %+v %+v", e, e.Media)
	}
	chunks := tp.to("webwxuploadmedia")
	if len(chunks) != 3 {
		t.Fatalf("%d chunks", len(chunks))
	}
	for i, c := range chunks {
		if len(c.body) > chunkBytes+8<<10 {
			t.Errorf("chunk %d has %d bytes", i, len(c.body))
		}
	}
	got, ok := w.sim.MediaBytes(e.MsgID)
	if !ok || !bytes.Equal(got, data) {
		t.Error("other bytes arrived")
	}
}

// zeros is a file of any size that costs no memory.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

func TestLargeFileIsAnnounced(t *testing.T) {
	w := newWorld(t)
	tp := w.tap()
	s := w.login(wechat.QR)
	tp.say("webwxuploadmedia", `{"BaseResponse":{"Ret":0},"MediaId":"@media"}`) // 25 MB over TLS are slow with -race
	tp.say("webwxsendappmsg", `{"BaseResponse":{"Ret":0},"MsgID":"5"}`)
	const size = checkAbove + 5
	out := wechat.Outgoing{To: w.peer("Bob"), Kind: wechat.File, ClientID: "1", Media: &wechat.OutMedia{
		Name: "big.bin", Size: size, Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(&zeros{size}), nil },
	}}
	_, err := s.Send(w.ctx(), out)
	must(t, err)
	if n := w.sim.Requests("webwxcheckupload"); n != 1 {
		t.Errorf("%d announcements", n)
	}
	chunks := tp.to("webwxuploadmedia")
	if len(chunks) != 51 || !strings.Contains(chunks[50].body, `"AESKey":"`) || strings.Contains(chunks[50].body, `"AESKey":""`) {
		t.Errorf("%d chunks, or without the key of the announcement", len(chunks))
	}
	if body := tp.to("webwxsendappmsg")[0].body; !strings.Contains(body, `"Signature":"`) || !strings.Contains(body, "@media") {
		t.Errorf("sent %s", body)
	}
	tp.say("webwxcheckupload", `{"BaseResponse":{"Ret":0},"MediaId":"@ready"}`) // WeChat has the file
	_, err = s.Send(w.ctx(), out)
	must(t, err)
	if n := len(tp.to("webwxuploadmedia")); n != 51 || !strings.Contains(tp.to("webwxsendappmsg")[1].body, "@ready") {
		t.Errorf("%d chunks for a file that WeChat has", n-51)
	}
}

func TestMediumThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	s := w.login(wechat.QR)
	why := errors.New("store is gone")
	broken := mediaTo(w.peer("Bob"), wechat.File, "a.txt", []byte("x"))
	broken.Media.Open = func(context.Context) (io.ReadCloser, error) { return nil, why }
	_, err := s.Send(w.ctx(), broken)
	if f := faultOf(t, err); f.Phase != classifier.PhasePrepare || !errors.Is(err, why) {
		t.Errorf("fault %+v", f)
	}
	broken.Media.Open = func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), &failing{why})), nil
	}
	_, err = s.Send(w.ctx(), broken)
	if f := faultOf(t, err); f.Phase != classifier.PhasePrepare || !errors.Is(err, why) {
		t.Errorf("fault %+v", f)
	}
	if n := w.sim.Requests("webwxuploadmedia"); n != 0 {
		t.Errorf("%d uploads", n)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestTheTemporaryFolderIsLeftEmpty(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	w.restart(func(c *Config) { c.TempDir = dir })
	s := w.login(wechat.QR)
	for _, fault := range []string{"", "reset", "hang"} {
		w.sim.ClearFaults()
		ctx, cancel := context.WithCancel(w.ctx())
		n := w.sim.Requests("webwxuploadmedia")
		if fault != "" {
			w.fault(sim.Fault{On: []string{"webwxuploadmedia"}, Do: fault})
		}
		done := make(chan error, 1)
		go func() {
			_, err := s.Send(ctx, mediaTo(w.peer("Bob"), wechat.Image, "a.png", pngBytes))
			done <- err
		}()
		eventually(t, "an upload", func() bool { return w.sim.Requests("webwxuploadmedia") > n })
		if fault == "hang" {
			if left := entries(t, dir); runtime.GOOS != "windows" && left != 0 {
				t.Errorf("a crash now would leave %d files", left)
			}
			cancel()
		}
		<-done
		cancel()
		if left := entries(t, dir); left != 0 {
			t.Errorf("after %q %d files are left", fault, left)
		}
	}
}
