package classifier

// dictionary finds all phrases of the text rows in one pass over a text, so
// that a text costs the same however many rows there are.
type dictionary struct {
	phrases []string
	word    []bool // the phrase stands for itself: no letter or digit beside it
	ids     map[string]int
	// starts leads from a hash of the first three bytes of a place in the text
	// to the phrases that may begin there: an index into groups, 0 = none.
	starts [1 << 16]uint16
	groups [][]int
}

// anywhere is the id of the phrase that is in each text.
const anywhere = 0

var known = learn(brokerRules, sentenceRules, foreignRules, libraryRules, tunnelRules, wayRules, configRules, answerTextRules, endRules, wrapperRules, internalRules, opNames, marks)

// learn makes the dictionary and gives each row the ids of its phrases.
func learn(tables ...[]rule) *dictionary {
	d := &dictionary{phrases: []string{""}, word: []bool{false}, ids: map[string]int{"": anywhere}, groups: [][]int{nil}}
	for _, table := range tables {
		for i := range table {
			r := &table[i]
			r.anyID, r.alsoID, r.neverID = d.add(r.any), d.add(r.also), d.add(r.never)
		}
	}
	return d
}

func (d *dictionary) add(phrases []string) []int {
	ids := make([]int, 0, len(phrases))
	for _, p := range phrases {
		id, ok := d.ids[p]
		if !ok {
			id = d.append(p)
		}
		ids = append(ids, id)
	}
	return ids
}

func (d *dictionary) append(phrase string) int {
	id := len(d.phrases)
	d.ids[phrase] = id
	whole := phrase[0] == '~'
	if whole {
		phrase = phrase[1:]
	}
	d.phrases, d.word = append(d.phrases, phrase), append(d.word, whole)
	key := start(phrase, 0)
	if d.starts[key] == 0 {
		d.starts[key] = uint16(len(d.groups))
		d.groups = append(d.groups, nil)
	}
	g := d.starts[key]
	d.groups[g] = append(d.groups[g], id)
	return id
}

// shortest is the least length of a phrase, in bytes.
const shortest = 3

func start(s string, at int) uint16 {
	three := uint32(s[at])<<16 | uint32(s[at+1])<<8 | uint32(s[at+2])
	return uint16(three * 2654435761 >> 16) // Knuth's multiplicative hash
}

// find marks the phrases that are in a text.
func (d *dictionary) find(text string) []bool {
	in := make([]bool, len(d.phrases))
	in[anywhere] = true
	for at := 0; at+shortest <= len(text); at++ {
		group := d.starts[start(text, at)]
		if group == 0 {
			continue
		}
		for _, id := range d.groups[group] {
			if !in[id] && d.at(text, at, id) {
				in[id] = true
			}
		}
	}
	return in
}

func (d *dictionary) at(text string, at, id int) bool {
	p := d.phrases[id]
	end := at + len(p)
	if end > len(text) || text[at:end] != p {
		return false
	}
	return !d.word[id] || (at == 0 || !wordByte(text[at-1])) && (end == len(text) || !wordByte(text[end]))
}

// first gives the first row of a table that fits the phrases of a text.
func first(table []rule, in []bool) *rule {
	for i := range table {
		r := &table[i]
		if oneOf(in, r.anyID) && (len(r.alsoID) == 0 || oneOf(in, r.alsoID)) && !oneOf(in, r.neverID) {
			return r
		}
	}
	return nil
}

func oneOf(in []bool, ids []int) bool {
	for _, id := range ids {
		if in[id] {
			return true
		}
	}
	return false
}
