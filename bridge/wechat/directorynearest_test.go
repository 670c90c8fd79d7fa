package wechat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNearestNames(t *testing.T) {
	d := loaded(map[string]Query{"Warehouse": {Room: "Team"}})
	for name, want := range map[string][]string{
		"alice":                          {"Alice"},
		"Alcie":                          {"Alice"},
		"Tem":                            {"Team"},
		"Warehosue":                      {"Warehouse"},
		"Twin":                           {"Twins"},
		"小日":                             {"小明"},
		"小明明":                            {"小明"},
		"Zoe":                            nil,
		"":                               nil,
		strings.Repeat("Alice", 200_000): nil,
	} {
		var nf *NotFoundError
		_, err := d.Resolve(Query{Name: name})
		if !errors.As(err, &nf) {
			t.Errorf("%.20q: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, nf.Nearest); diff != "" {
			t.Errorf("%.20q: %s", name, diff)
		}
	}
	d.Put(Peer{ID: "@zo", Name: "Zoé", Type: Friend})
	var nf *NotFoundError
	if _, err := d.Resolve(Query{Name: "Zoe"}); !errors.As(err, &nf) || !slices.Equal(nf.Nearest, []string{"Zoé"}) {
		t.Errorf("after a change: %v", err)
	}
	nf.Nearest[0] = "mine"
	if _, err := d.Resolve(Query{Name: "Zoe"}); !errors.As(err, &nf) || nf.Nearest[0] != "Zoé" {
		t.Error("the caller can change what is remembered")
	}
}

func TestNearestIsBounded(t *testing.T) {
	d := NewDirectory(nil)
	for i := range 30 {
		d.Put(Peer{ID: fmt.Sprint("@", i), Name: fmt.Sprint("shop-", i), Type: Friend})
	}
	d.Loaded()
	for i := range 3 * maxCached {
		var nf *NotFoundError
		if _, err := d.Resolve(Query{Name: fmt.Sprint("shop_", i)}); !errors.As(err, &nf) || len(nf.Nearest) > maxNearest {
			t.Fatal(err)
		}
	}
	if n := len(d.nearest.found); n > maxCached {
		t.Errorf("%d names are remembered", n)
	}
}
