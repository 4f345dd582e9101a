package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

var documentTests = []test{
	{"a document comes back as it was given", oneDocument},
	{"what is unknown is not found", unknownDocument},
	{"the later stamp wins", laterStamp},
	{"among equal times the producer decides", stampProducer},
	{"the zero stamp is the backend's clock", zeroStamp},
	{"the zero stamp is above a stamp of the future", zeroStampFuture},
	{"stamps of up to 2^53 µs", largeStamp},
	{"a batch keeps its order", documentOrder},
	{"applying a batch of documents again changes nothing", sameDocuments},
	{"of concurrent writers the one with the highest stamp wins", concurrentPuts},
	{"collections are apart", otherCollection},
	{"a body of 1 MiB, and none", bodies},
	{"odd collections and ids", oddDocuments},
}

func oneDocument(e *env) {
	p := e.put("a", 7)
	p.Stamp.Producer = storage.NewProducer()
	p.Body = []byte("\x00\xff any bytes")
	if r := e.fresh(p); r.Exists {
		e.Fatalf("a first document was answered %+v", r)
	}
	if d := e.get("a"); d.ID != "a" || !bytes.Equal(d.Body, p.Body) || d.Stamp != p.Stamp {
		e.Fatalf("document is %+v, want %+v", d, p)
	}
	if r := e.fresh(e.put("a", 8)); !r.Exists {
		e.Fatalf("a second version was answered %+v", r)
	}
	if d := e.get("a"); string(d.Body) != "body of a" || d.Stamp != at(8) {
		e.Fatalf("document is %+v", d)
	}
}

func unknownDocument(e *env) {
	e.gone("a")
	e.fresh(e.put("a", 1))
	e.gone("b")
	if _, err := e.d.Get(e.ctx, e.log+"-other", "a"); !errors.Is(err, storage.ErrNotFound) {
		e.Fatalf("another collection: %v", err)
	}
}

func laterStamp(e *env) {
	e.fresh(e.put("a", 100))
	for _, micros := range []int64{100, 99, 1} {
		p := e.put("a", micros)
		p.Body = []byte("too late")
		if r := e.duplicate(p); !r.Exists {
			e.Fatalf("stamp %d was answered %+v", micros, r)
		}
		if d := e.get("a"); string(d.Body) != "body of a" || d.Stamp != at(100) {
			e.Fatalf("after stamp %d the document is %+v", micros, d)
		}
	}
	e.fresh(e.put("a", 101))
	if d := e.get("a"); d.Stamp != at(101) {
		e.Fatalf("document is %+v", d)
	}
}

func stampProducer(e *env) {
	by := func(micros int64, producer storage.Producer) *storage.Put {
		p := e.put("a", micros)
		p.Stamp.Producer = producer
		return p
	}
	// Twelve hex digits and their order as numbers: the largest one is no less
	// than the others.
	const low, middle, high = 9, 1 << 40, 1<<48 - 1
	e.fresh(by(5, middle))
	e.duplicate(by(5, middle))
	e.duplicate(by(5, low))
	e.duplicate(by(5, 0))
	e.duplicate(by(4, high))
	e.fresh(by(5, high))
	e.fresh(by(6, 0))
	e.fresh(by(6, low))
}

func zeroStamp(e *env) {
	e.fresh(e.put("a", 0))
	first := e.get("a").Stamp
	if d := time.Since(time.UnixMicro(first.Micros)).Abs(); d > time.Minute {
		e.Fatalf("stamp %+v is %v away from now", first, d)
	}
	p := e.put("a", 0)
	p.Body = []byte("second")
	e.fresh(p)
	if d := e.get("a"); string(d.Body) != "second" || d.Stamp.Compare(first) <= 0 {
		e.Fatalf("document is %+v, the first stamp was %+v", d, first)
	}
	e.duplicate(e.put("a", first.Micros))
}

func zeroStampFuture(e *env) {
	future := e.put("a", time.Now().Add(time.Hour).UnixMicro())
	future.Stamp.Producer = 1<<48 - 1
	e.fresh(future)
	e.fresh(e.put("a", 0))
	if d := e.get("a"); d.Stamp.Compare(future.Stamp) <= 0 || d.Stamp.Micros > future.Stamp.Micros+1 {
		e.Fatalf("stamp is %+v, want just above %+v", d.Stamp, future.Stamp)
	}
	// The same where the later stamp is that of a deletion.
	future.Stamp.Micros += time.Hour.Microseconds()
	e.fresh(&storage.Del{Collection: e.log, ID: "a", Stamp: future.Stamp})
	e.fresh(e.put("a", 0))
	if d := e.get("a"); d.Stamp.Compare(future.Stamp) <= 0 {
		e.Fatalf("stamp is %+v, want above %+v", d.Stamp, future.Stamp)
	}
}

func largeStamp(e *env) {
	const most = 1 << 53
	e.fresh(e.put("a", most-1))
	e.fresh(e.put("a", most))
	e.duplicate(e.put("a", most-1))
	if d := e.get("a"); d.Stamp != at(most) {
		e.Fatalf("stamp is %+v", d.Stamp)
	}
	e.refused(e.put("b", most+1), storage.ErrPoison)
	e.refused(e.put("b", -1), storage.ErrPoison)
	e.refused(e.del("a", most+1), storage.ErrPoison)
	e.members("a")
}

func documentOrder(e *env) {
	r := e.do(e.put("a", 1), e.put("b", 1), e.del("a", 2), e.put("a", 3), e.put("b", 1), e.del("b", 2))
	for i, want := range []struct{ duplicate, exists bool }{
		{}, {}, {exists: true}, {}, {duplicate: true, exists: true}, {exists: true},
	} {
		if r[i].Duplicate != want.duplicate || r[i].Exists != want.exists {
			e.Fatalf("operation %d was answered %+v", i, r[i])
		}
	}
	e.members("a")
}

func sameDocuments(e *env) {
	batch := []storage.Op{e.put("a", 1), e.put("b", 2), e.del("a", 3), e.put("c", 4)}
	e.do(batch...)
	for i, r := range e.do(batch...) {
		if !r.Duplicate {
			e.Fatalf("operation %d was carried out twice: %+v", i, r)
		}
	}
	e.members("b", "c")
}

func concurrentPuts(e *env) {
	const writers, each = 8, 25
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				// Every writer has its own stamps, in an order of its own.
				micros := int64(1 + (i*7%each)*writers + w)
				p := e.put("a", micros)
				p.Body = fmt.Append(nil, micros)
				p.Indexes = map[string]string{"by": fmt.Sprint(micros)}
				r, err := e.d.Apply(e.ctx, []storage.Op{p})
				if errs[w] = err; err == nil {
					errs[w] = r[0].Err
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		e.Fatal(err)
	}
	if d := e.get("a"); d.Stamp != at(writers*each) || string(d.Body) != fmt.Sprint(writers*each) {
		e.Fatalf("document is %+v", d)
	}
	for micros := range writers * each {
		e.having("by", fmt.Sprint(micros))
	}
	e.having("by", fmt.Sprint(writers*each), "a")
}

func otherCollection(e *env) {
	other := e.put("a", 1)
	other.Collection += "-other"
	other.Body = []byte("other")
	for _, r := range e.do(e.put("a", 2), other) {
		if r.Duplicate || r.Exists {
			e.Fatalf("result is %+v", r)
		}
	}
	e.do(e.del("a", 3))
	d, err := e.d.Get(e.ctx, other.Collection, "a")
	if err != nil || string(d.Body) != "other" {
		e.Fatalf("the other collection answers %+v, %v", d, err)
	}
}

func bodies(e *env) {
	big, none := e.put("big", 1), e.put("none", 1)
	big.Body, none.Body = bytes.Repeat([]byte("0123456789abcdef"), 1<<16), nil
	e.do(big, none)
	if d := e.get("big"); !bytes.Equal(d.Body, big.Body) {
		e.Fatal("the body came back different")
	}
	if d := e.get("none"); len(d.Body) != 0 {
		e.Fatalf("body is %q", d.Body)
	}
}

func oddDocuments(e *env) {
	for _, name := range odd {
		p := &storage.Put{Collection: e.log + name, ID: name, Body: []byte(name), Stamp: at(1)}
		if r := e.fresh(p); r.Exists {
			e.Fatalf("document %q exists already", name)
		}
		e.fresh(e.put(name, 1))
	}
	for _, name := range odd {
		d, err := e.d.Get(e.ctx, e.log+name, name)
		if err != nil || d.ID != name || string(d.Body) != name {
			e.Fatalf("document %q is %+v, %v", name, d, err)
		}
	}
	e.members(slices.Sorted(slices.Values(odd))...)
	for _, name := range odd {
		e.fresh(e.del(name, 2))
		e.gone(name)
	}
	e.members()
}
