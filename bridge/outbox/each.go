package outbox

import "sync"

// each calls f for all, at most n at once, and gives the first error. After an
// error nothing new is begun.
func each[T any](n int, all []T, f func(T) error) error {
	if len(all) == 1 {
		return f(all[0])
	}
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
		stop  = make(chan struct{})
		slots = make(chan struct{}, n)
	)
	for _, x := range all {
		select {
		case <-stop:
		case slots <- struct{}{}:
			wg.Go(func() {
				defer func() { <-slots }()
				if err := f(x); err != nil {
					once.Do(func() { first = err; close(stop) })
				}
			})
		}
	}
	wg.Wait()
	return first
}
