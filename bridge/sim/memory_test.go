package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		accepted := make(chan net.Conn)
		go func() {
			c, err := m.Accept()
			must(t, err)
			accepted <- c
		}()
		near, err := m.Dial(t.Context(), "tcp", "wx.qq.com:443")
		must(t, err)
		far := <-accepted
		buf := make([]byte, 3)

		// What was written is read in order, in pieces, also after the end.
		_, err = near.Write([]byte("hello"))
		must(t, err)
		must(t, near.Close())
		for _, want := range []string{"hel", "lo"} {
			if n, err := far.Read(buf); err != nil || string(buf[:n]) != want {
				t.Errorf("%q %v, want %q", buf[:n], err, want)
			}
		}
		if _, err := far.Read(buf); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
		if _, err := far.Write(buf); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("to nobody: %v", err)
		}
		if _, err := near.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("of a closed one: %v", err)
		}

		// A deadline ends a read, also one that waits already.
		go func() {
			c, err := m.Accept()
			must(t, err)
			accepted <- c
		}()
		near, err = m.Dial(t.Context(), "", "")
		must(t, err)
		far = <-accepted
		begin := time.Now()
		time.AfterFunc(time.Second, func() { must(t, far.SetReadDeadline(time.Now().Add(2*time.Second))) })
		if _, err := far.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		must(t, far.SetDeadline(time.Time{}))
		time.AfterFunc(time.Second, func() { _, _ = near.Write([]byte("x")) })
		if n, err := far.Read(buf); n != 1 || err != nil {
			t.Errorf("%d %v", n, err)
		}

		// Nobody accepts, or nobody is there.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Dial(ctx, "", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		must(t, m.Close())
		must(t, m.Close())
		if _, err := m.Dial(t.Context(), "", ""); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := m.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
