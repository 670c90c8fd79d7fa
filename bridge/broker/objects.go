package broker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// objectTimeout bounds one put or get: without a deadline nats.go waits for
// ever on a cut connection.
const objectTimeout = 5 * time.Minute

// keptPrefix is where media rest until they are sent, in wechat_media.
const keptPrefix = "out/"

// Media is wechat_media: what was received.
type Media struct{ a *Account }

// Media gives the store of received media.
func (a *Account) Media() *Media { return &Media{a: a} }

// Put stores a medium under a name; the same name again replaces it. An error
// of r leaves nothing behind.
func (m *Media) Put(ctx context.Context, name string, r io.Reader) (size int64, sum string, err error) {
	return m.a.conn.put(ctx, m.a.Broker.Media(), name, r)
}

// Objects reads what users put into wechat_uploads, and keeps media until they
// are sent in wechat_media under out/, where users can't change them.
type Objects struct{ a *Account }

// Objects gives the stores of media to send.
func (a *Account) Objects() *Objects { return &Objects{a: a} }

// Upload opens a user's object. A missing one is fs.ErrNotExist, a link
// fs.ErrInvalid: it would let a user read another bucket. The reader ends with
// an error if the object is damaged: use what was read only after io.EOF.
func (o *Objects) Upload(ctx context.Context, name string) (int64, func(context.Context) (io.ReadCloser, error), error) {
	return o.a.conn.object(ctx, o.a.Uploads(), name)
}

// Keep stores bytes under out/<name> once; the same name again is no error. A
// full bucket is wire.ErrFull.
func (o *Objects) Keep(ctx context.Context, name string, r io.Reader) error {
	bucket := o.a.Broker.Media()
	_, _, err := o.a.conn.object(ctx, bucket, keptPrefix+name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, _, err = o.a.conn.put(ctx, bucket, keptPrefix+name, r)
	return err
}

// Kept opens what Keep stored; errors are those of Upload.
func (o *Objects) Kept(ctx context.Context, name string) (int64, func(context.Context) (io.ReadCloser, error), error) {
	return o.a.conn.object(ctx, o.a.Broker.Media(), keptPrefix+name)
}

// Remove removes what Keep stored; a missing one is no error.
func (o *Objects) Remove(ctx context.Context, name string) error {
	return o.a.conn.dropObject(ctx, o.a.Broker.Media(), keptPrefix+name)
}

// dropObject purges an object's bytes and then its description, so that what
// is interrupted is found again. nats.go's Delete would first store a marker,
// for which a full bucket has no room.
func (c *Conn) dropObject(ctx context.Context, bucket, name string) error {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	store, err := c.JS.ObjectStore(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open %s: %w", bucket, err)
	}
	info, err := store.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, jetstream.ErrNameRequired) {
		return nil
	}
	if err != nil {
		return objectError(bucket, name, err)
	}
	subjects := []string{"$O." + bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(name))}
	if safeToken.MatchString(info.NUID) { // else it is garbage, maybe a wildcard
		subjects = append([]string{"$O." + bucket + ".C." + info.NUID}, subjects...)
	}
	for _, s := range subjects {
		if err := c.request(ctx, "STREAM.PURGE.OBJ_"+bucket, map[string]any{"filter": s}, nil); err != nil {
			return fmt.Errorf("remove %.128q from %s: %w", name, bucket, err)
		}
	}
	return nil
}

func (c *Conn) put(ctx context.Context, bucket, name string, r io.Reader) (int64, string, error) {
	ctx, cancel := withDeadline(ctx, objectTimeout)
	defer cancel()
	store, err := c.JS.ObjectStore(ctx, bucket)
	if err != nil {
		return 0, "", fmt.Errorf("open %s: %w", bucket, err)
	}
	sum := sha256.New()
	meta := jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize}}
	info, err := store.Put(ctx, meta, io.TeeReader(r, sum))
	if err != nil {
		return 0, "", fmt.Errorf("store in %s: %w", bucket, full(err))
	}
	return int64(info.Size), hex.EncodeToString(sum.Sum(nil)), nil
}

func (c *Conn) object(ctx context.Context, bucket, name string) (int64, func(context.Context) (io.ReadCloser, error), error) {
	ctx, cancel := withDeadline(ctx, requestTimeout)
	defer cancel()
	store, err := c.JS.ObjectStore(ctx, bucket)
	if err != nil {
		return 0, nil, fmt.Errorf("open %s: %w", bucket, err)
	}
	info, err := store.GetInfo(ctx, name)
	if err != nil {
		return 0, nil, objectError(bucket, name, err)
	}
	if err := checkInfo(bucket, info); err != nil {
		return 0, nil, err
	}
	open := func(ctx context.Context) (io.ReadCloser, error) { return openObject(ctx, store, bucket, info) }
	return int64(info.Size), open, nil
}

// objectError: jetstream calls a bad name invalid; such an object can't exist.
func objectError(bucket, name string, err error) error {
	if errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, jetstream.ErrNameRequired) {
		return fmt.Errorf("%s has no object %.128q: %w", bucket, name, fs.ErrNotExist)
	}
	return fmt.Errorf("look into %s: %w", bucket, err)
}

// checkInfo distrusts what a user wrote into the object's description.
func checkInfo(bucket string, info *jetstream.ObjectInfo) error {
	switch {
	case info.Opts != nil && info.Opts.Link != nil:
		return fmt.Errorf("object %.128q of %s is a link: %w", info.Name, bucket, fs.ErrInvalid)
	case info.Size > 1<<40:
		return fmt.Errorf("object %.128q of %s has an impossible size: %w", info.Name, bucket, fs.ErrInvalid)
	}
	return nil
}

// openObject opens the very object that was looked at: nats.go follows links,
// and the name may have got another object since.
func openObject(ctx context.Context, store jetstream.ObjectStore, bucket string, want *jetstream.ObjectInfo) (io.ReadCloser, error) {
	ctx, cancel := withDeadline(ctx, objectTimeout)
	res, err := store.Get(ctx, want.Name)
	if err != nil {
		cancel()
		return nil, objectError(bucket, want.Name, err)
	}
	got, err := res.Info()
	if err == nil && (got.Bucket != bucket || got.NUID != want.NUID) {
		err = fmt.Errorf("object %.128q of %s was changed meanwhile: %w", want.Name, bucket, fs.ErrInvalid)
	}
	if err != nil {
		cancel()
		return nil, errors.Join(err, res.Close())
	}
	return &objectReader{ObjectResult: res, cancel: cancel, left: int64(want.Size)}, nil
}

// objectReader ends the context with the reader and refuses more bytes than
// were announced.
type objectReader struct {
	jetstream.ObjectResult
	cancel context.CancelFunc
	left   int64
}

func (r *objectReader) Read(p []byte) (int, error) {
	n, err := r.ObjectResult.Read(p)
	r.left -= int64(n)
	if r.left < 0 {
		return 0, fmt.Errorf("the object is longer than it says: %w", fs.ErrInvalid)
	}
	return n, err
}

func (r *objectReader) Close() error {
	defer r.cancel()
	return r.ObjectResult.Close()
}
