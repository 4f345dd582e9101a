package memory

import (
	"cmp"
	"slices"
)

// sorted is a set of strings in byte order.
type sorted []string

func (s *sorted) add(v string) {
	if i, found := slices.BinarySearch(*s, v); !found {
		*s = slices.Insert(*s, i, v)
	}
}

func (s *sorted) remove(v string) {
	if i, found := slices.BinarySearch(*s, v); found {
		*s = slices.Delete(*s, i, i+1)
	}
}

// after are the strings above v.
func (s sorted) after(v string) []string {
	i, found := slices.BinarySearch(s, v)
	if found {
		i++
	}
	return s[i:]
}

// place is a name's place in an order of removal.
type place struct {
	rank int64
	name string
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.name, b.name))
}

// ranking is a set of names, the lowest rank first and the lowest name first
// among equals.
type ranking []place

func (r *ranking) add(p place) {
	if i, found := slices.BinarySearchFunc(*r, p, comparePlaces); !found {
		*r = slices.Insert(*r, i, p)
	}
}

func (r *ranking) remove(p place) {
	if i, found := slices.BinarySearchFunc(*r, p, comparePlaces); found {
		*r = slices.Delete(*r, i, i+1)
	}
}

// lowest is the first name that is not spared.
func (r ranking) lowest(spared string) (name string, ok bool) {
	for _, p := range r[:min(len(r), 2)] {
		if p.name != spared {
			return p.name, true
		}
	}
	return "", false
}

// highest are up to n names, the highest rank first and the lowest name first among
// equals.
func (r ranking) highest(n int) []string {
	var names []string
	for end := len(r); end > 0 && len(names) < n; {
		begin, _ := slices.BinarySearchFunc(r, place{rank: r[end-1].rank}, comparePlaces)
		for _, p := range r[begin:end] {
			if len(names) == n {
				break
			}
			names = append(names, p.name)
		}
		end = begin
	}
	return names
}
