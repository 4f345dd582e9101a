package resilient

// list is a doubly linked list of entries, oldest first. An entry is in at most
// one list.
type list struct {
	front, back *entry
	count       int
}

func (l *list) pushBack(e *entry) {
	e.remove()
	e.in, e.prev = l, l.back
	if l.back != nil {
		l.back.next = e
	} else {
		l.front = e
	}
	l.back = e
	l.count++
}

func (l *list) pushFront(e *entry) {
	e.remove()
	e.in, e.next = l, l.front
	if l.front != nil {
		l.front.prev = e
	} else {
		l.back = e
	}
	l.front = e
	l.count++
}

// remove takes the entry out of its list, if it is in one.
func (e *entry) remove() {
	l := e.in
	if l == nil {
		return
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.front = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.back = e.prev
	}
	e.in, e.prev, e.next = nil, nil, nil
	l.count--
}
