package sim

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed nights/*.yaml
var nightFiles embed.FS

// Nights are the scripts that come with the program: first the six nights, then
// those named peer-… that play what was measured on another bot.
func Nights() []Script { return slices.Clone(shipped()) }

// Night is the shipped script of that name.
func Night(name string) (Script, bool) {
	for _, sc := range shipped() {
		if sc.Name == name {
			return sc, true
		}
	}
	return Script{}, false
}

var shipped = sync.OnceValue(func() []Script {
	entries, err := nightFiles.ReadDir("nights")
	if err != nil {
		panic(err) // they are part of the program
	}
	var list []Script
	for _, e := range entries {
		b, err := nightFiles.ReadFile(path.Join("nights", e.Name()))
		if err != nil {
			panic(err)
		}
		sc, err := ParseScript(b)
		if err != nil || sc.Name+".yaml" != e.Name() {
			panic(fmt.Sprintf("%s: %v", e.Name(), err)) // a test reads them all
		}
		list = append(list, sc)
	}
	slices.SortStableFunc(list, func(a, b Script) int { return peerRank(a) - peerRank(b) })
	return list
})

func peerRank(sc Script) int {
	if strings.HasPrefix(sc.Name, "peer-") {
		return 1
	}
	return 0
}
