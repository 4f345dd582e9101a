package memory

import (
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// What was deleted takes no room from what is there, nor from what comes.
func TestDeletionsGiveWay(t *testing.T) {
	d := New(Options{MaxSize: 64 << 10})
	defer d.Close()
	body := make([]byte, 1<<10)
	for i := range 20 {
		mustApply(t, d, &storage.Append{Log: "l", ID: fmt.Sprint(i), Data: body})
	}
	for i := range 2000 {
		id := fmt.Sprint(i)
		mustApply(t, d, &storage.Put{Collection: "c", ID: id}, &storage.Del{Collection: "c", ID: id},
			&storage.Del{Collection: "other", ID: id})
		mustApply(t, d, &storage.Put{Collection: "bounded", ID: id, Rank: int64(i), MaxMembers: 3})
		if d.size > d.maxSize {
			t.Fatalf("size is %d of %d", d.size, d.maxSize)
		}
	}
	for i := range 200 { // nothing but deletions
		mustApply(t, d, &storage.Del{Collection: "third", ID: fmt.Sprint(i)})
		if d.size > d.maxSize {
			t.Fatalf("size is %d of %d", d.size, d.maxSize)
		}
	}
	for i := range 5 { // history before deletions
		mustApply(t, d, &storage.Append{Log: fmt.Sprint("short", i), ID: "1", Data: body})
	}
	if n := kept(d, "l"); n != 20 || d.size > d.maxSize {
		t.Errorf("%d of 20 entries are kept, size is %d of %d", n, d.size, d.maxSize)
	}
	for i := range 40 { // the rest of the memory, and as much of the history as need be
		mustApply(t, d, &storage.Put{Collection: "c", ID: fmt.Sprint("new", i), Body: body})
	}
	if d.size > d.maxSize {
		t.Errorf("size is %d of %d", d.size, d.maxSize)
	}
	mustApply(t, d, &storage.Append{Log: "other", ID: "1", Data: body})
	if d.graves.Len() > 0 {
		t.Errorf("%d deletions are remembered in a full memory", d.graves.Len())
	}
}

func TestDeletionsAreBounded(t *testing.T) {
	d := New(Options{})
	defer d.Close()
	const more = 10
	ops := make([]storage.Op, maxGraves+more)
	for i := range ops {
		ops[i] = &storage.Del{Collection: "c", ID: fmt.Sprint(i), Stamp: storage.Stamp{Micros: 10}}
	}
	mustApply(t, d, ops...)
	if n := d.graves.Len(); n != maxGraves || len(d.collections["c"].graves) != n {
		t.Fatalf("%d deletions are remembered", n)
	}
	for i, forgotten := range map[int]bool{0: true, more - 1: true, more: false, maxGraves + more - 1: false} {
		late := &storage.Put{Collection: "c", ID: fmt.Sprint(i), Stamp: storage.Stamp{Micros: 5}}
		if r := apply(t, d, late)[0]; r.Duplicate == forgotten {
			t.Errorf("a late document %d was answered %+v", i, r)
		}
	}
}

func TestEndings(t *testing.T) {
	var e endings
	start := time.Now()
	of := make(map[string]*ending)
	for i, id := range []string{"c", "a", "d", "b", "e"} {
		of[id] = e.add(id, start.Add(time.Duration([]int{3, 1, 4, 2, 5}[i])*time.Second))
	}
	if never := e.add("never", time.Time{}); never != nil {
		t.Fatal("what never ends has an end")
	}
	e.remove(nil)
	e.remove(of["b"])
	now := start.Add(4 * time.Second)
	var got []string
	for id, ok := e.over(now); ok; id, ok = e.over(now) {
		got = append(got, id)
		e.remove(of[id])
	}
	if fmt.Sprint(got) != "[a c d]" || len(e.heap) != 1 {
		t.Errorf("over are %v, left %d", got, len(e.heap))
	}
}
