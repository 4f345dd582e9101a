package redis

import (
	"strings"
	"testing"
)

// slotTag is the part of a key that decides about its slot in a Cluster.
func slotTag(key string) string {
	_, rest, ok := strings.Cut(key, "{")
	tag, _, closed := strings.Cut(rest, "}")
	if !ok || !closed || tag == "" {
		return key
	}
	return tag
}

// every is every key of the things of that name, and of a document, a member and a
// scope with the other one.
func every(k keyspace, name, other string) (byPartition, byCollection []string) {
	l, c := k.log(name), k.collection(name)
	byPartition = append([]string{l.stream, l.meta, l.ids0, l.ids1}, k.queue(name).all()...)
	byCollection = []string{
		c.members(), c.ends(), c.chains(), c.document(other), c.ranking(other),
		c.counters(other) + name, c.counters("") + other, c.ranking(""),
	}
	return byPartition, byCollection
}

func FuzzKeys(f *testing.F) {
	for _, s := range [][2]string{
		{"s", "t"},
		{"e:s", "m:s"},
		{"l:e:s", "e:e:s"},
		{"q:w:s", "w:s"},
		{"a}:d:b", "a"},
		{"{", "}"},
		{"%7D", "}"},
		{"%", "%25"},
		{"a:b", "a%3Ab"},
		{"\x00", ""},
		{"i0:s", "i1:s"},
		{"c:x", "x"},
	} {
		f.Add(s[0], s[1])
	}
	k := keyspace{prefix: DefaultKeyPrefix}
	f.Fuzz(func(t *testing.T, a, b string) {
		seen := map[string]string{}
		note := func(whose string, keys []string, tag string) {
			for _, key := range keys {
				if owner, ok := seen[key]; ok {
					t.Errorf("key %q belongs to %s and to %s", key, owner, whose)
				}
				seen[key] = whose
				if slotTag(key) != tag {
					t.Errorf("key %q of %s has tag %q, want %q", key, whose, slotTag(key), tag)
				}
			}
		}
		for _, name := range []string{a, b} {
			p, c := every(k, name, "x"+name)
			note("log "+name, p, slotTag(k.partition(partitionOf(name))))
			note("collection "+name, c, slotTag(k.collection(name).base))
			if a == b {
				return
			}
		}
		// Where two names meet in one key.
		if k.collection("c").counters(a)+b == k.collection("c").counters(b)+a {
			t.Error("counters of two members share a key")
		}
		if indexMembers(a, b) == indexMembers(b, a) {
			t.Error("two indexes share their members")
		}
	})
}

func TestOrdinaryNamesAreReadable(t *testing.T) {
	k := keyspace{prefix: DefaultKeyPrefix}
	c := k.collection("sessions")
	for key, want := range map[string]string{
		c.document("s-1"):           "afw:{c:sessions}:d:s-1",
		c.counters("daily") + "s-1": "afw:{c:sessions}:n:daily:s-1",
		k.queue("i:s-1").waiting:    k.partition(partitionOf("e:s-1")) + "q:w:i:s-1",
	} {
		if key != want {
			t.Errorf("key is %q, want %q", key, want)
		}
	}
}
