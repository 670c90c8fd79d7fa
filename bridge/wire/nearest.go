package wire

import "strings"

// maxWord bounds what Nearest compares, in characters.
const maxWord = 64

// Nearest gives the known word that looks most like this one, for typing
// errors; of two equally near ones the first. A third of the characters, at
// least one, may differ; two swapped neighbours are one difference; case does
// not count. It is empty if nothing is near.
func Nearest(word string, known []string) string {
	w := letters(word)
	best, dist := "", max(1, len(w)/3)+1
	for _, k := range known {
		if d := distance(w, letters(k)); d < dist && d < len(w) {
			best, dist = k, d
		}
	}
	return best
}

func letters(s string) []rune {
	r := []rune(strings.ToLower(strings.TrimSpace(s[:min(len(s), 4*maxWord)])))
	return r[:min(len(r), maxWord)]
}

// distance is the optimal string alignment distance.
func distance(a, b []rune) int {
	var before, last, line [maxWord + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range a {
		line[0] = i + 1
		for j := range b {
			cost := last[j]
			if a[i] != b[j] {
				cost = 1 + min(last[j], last[j+1], line[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, before[j-1]+1)
			}
			line[j+1] = cost
		}
		before, last = last, line
	}
	return last[len(b)]
}
