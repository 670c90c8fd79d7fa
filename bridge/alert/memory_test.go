package alert

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// memory is a Memory that can fail.
type memory struct {
	mu    sync.Mutex
	value []byte
	err   error
	saves int
	hang  bool
}

func (m *memory) Load(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value, m.err
}

func (m *memory) Save(ctx context.Context, v []byte) error {
	if m.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	if m.err == nil {
		m.value = v
	}
	return m.err
}

func TestRestartTellsNobodyTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, mem := &fake{}, &memory{}
		for range 5 {
			a := alerterOver(zerolog.Nop(), mem, way{channel: c, name: "1", alerts: true})
			stop := runs(t, a)
			a.Observe(scan())
			after(time.Minute)
			stop()
		}
		same(t, "after five starts", c.kinds(), KindLogin)
		a := alerterOver(zerolog.Nop(), mem, way{channel: c, name: "1", alerts: true})
		stop := runs(t, a)
		a.Observe(up())
		after(2 * time.Minute)
		stop()
		same(t, "back", c.kinds(), KindLogin, KindBack)
		saves := mem.saves
		if saves > 20 {
			t.Errorf("stored %d times", saves)
		}
	})
}

// The time without a process is no outage, as nobody looked.
func TestRestartAfterALongTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, mem := &fake{}, &memory{}
		for range 2 {
			a := alerterOver(zerolog.Nop(), mem, way{channel: c, name: "1", alerts: true})
			stop := runs(t, a)
			a.Observe(held(1))
			after(80 * time.Second)
			stop()
			after(10 * time.Hour)
		}
		same(t, "told", c.kinds())
	})
}

// A memory that is broken, damaged or hangs keeps nobody from being told.
func TestBrokenMemory(t *testing.T) {
	for name, mem := range map[string]*memory{
		"error": {err: errors.New("no")}, "garbage": {value: []byte("{{{")}, "hang": {hang: true}, "other": {value: []byte(`[1,2]`)},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &fake{}
			a := alerterOver(zerolog.Nop(), mem, way{channel: c, name: "1", alerts: true})
			stop := runs(t, a)
			a.Observe(held(1))
			after(4 * time.Minute)
			same(t, name, c.kinds(), KindHeld)
			stop()
		})
	}
}
