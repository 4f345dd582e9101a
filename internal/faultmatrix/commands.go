package faultmatrix

import (
	"errors"
	"fmt"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// commanded is the session that is sent commands.
const commanded = "commanded"

// command is one that was sent; the book knows it by what it says. A node draws the
// ids, so a command that is sent again is another: each attempt says something else.
type command struct {
	node   int
	sent   time.Time // acknowledged; zero: not known
	id     string    // once somebody has seen it in a list
	acking bool      // somebody has tried to acknowledge it
	gone   time.Time // that was answered
}

// command sends commands through one node, one after the other, and acknowledges
// most of those that it finds in the list there.
func (a actor) command(node int) {
	for i := 0; a.pause(20*time.Millisecond, 120*time.Millisecond); i++ {
		var c *command
		_, ok := a.insistWith(a.r.nodes[node], func(n int) request {
			c = &command{node: node}
			says := fmt.Sprintf("%s-%d.%d", a.name, i, n)
			a.r.book.locked(func() { a.r.book.commands[says] = c })
			return request{Do: DoCommand, Name: commanded, ID: says}
		}, func() {})
		if !ok {
			return
		}
		a.r.book.locked(func() { c.sent = time.Now() })
		for _, found := range a.list(node) {
			if a.rand.IntN(3) > 0 {
				a.acknowledge(node, found)
			}
		}
	}
}

// list answers the commands that wait, as the node has them. While nothing loses any,
// it must have all that it acknowledged; that it cannot answer now is an answer.
func (a actor) list(node int) []Command {
	began := time.Now()
	r, err := a.r.nodes[node].call(a.r.ctx, request{Do: DoCommands, Name: commanded})
	if errors.Is(err, errDown) {
		_ = a.r.nodes[node].awaitUp(a.r.ctx)
	}
	if err != nil || r.Error != "" {
		return nil
	}
	a.r.book.locked(func() { a.r.checkList(a.name, node, began, r.Commands) })
	return r.Commands
}

// checkList compares a list with what was sent through the node that answers it, and
// what was acknowledged there, before it was asked. The book is locked.
func (r *run) checkList(who string, node int, began time.Time, list []Command) {
	b, there := r.book, make(map[string]struct{}, len(list))
	for _, found := range list {
		c := b.commands[found.Says]
		if c == nil {
			b.problems = append(b.problems, fmt.Sprintf("%s: nobody has sent the command %q", who, found.Says))
			continue
		}
		if _, twice := there[found.Says]; twice {
			b.problems = append(b.problems, fmt.Sprintf("%s: the command %s is listed twice", who, found.Says))
		}
		there[found.Says] = struct{}{}
		c.id = found.ID
		if c.node == node && !c.gone.IsZero() && c.gone.Before(began) && !r.fault.loses {
			b.problems = append(b.problems, fmt.Sprintf("%s: the command %s was acknowledged and is listed", who, found.Says))
		}
	}
	for says, c := range b.commands {
		if _, ok := there[says]; !ok && c.node == node && !c.acking && !c.sent.IsZero() &&
			c.sent.Before(began) && !c.expired() && !r.fault.loses {
			b.problems = append(b.problems, fmt.Sprintf("%s: the command %s was sent and is not listed", who, says))
		}
	}
}

// expired reports whether a command may have been dropped for its age, or soon will be.
func (c *command) expired() bool { return time.Since(c.sent) > storage.CommandAge-time.Minute }

// acknowledge acknowledges a command until the node says so. That it is gone already
// is an answer as well: an attempt before this one may have got through.
func (a actor) acknowledge(node int, found Command) {
	var c *command
	a.r.book.locked(func() {
		if c = a.r.book.commands[found.Says]; c != nil && c.node == node && !c.acking {
			c.acking = true
		} else {
			c = nil // another's
		}
	})
	if c == nil {
		return
	}
	if _, ok := a.insist(a.r.nodes[node], request{Do: DoAck, ID: found.ID}); ok {
		a.r.book.locked(func() { c.gone = time.Now() })
	}
}

// checkCommands checks that what was sent and not acknowledged waits, and nothing else.
func (r *run) checkCommands(v *verdict, waiting []Command) {
	there := make(map[string]int, len(waiting))
	for _, found := range waiting {
		c := r.book.commands[found.Says]
		if there[found.Says]++; c == nil || there[found.Says] > 1 {
			v.duplicated++
			v.problem("command %s waits, and was not sent or waits already", found.Says)
		} else if !c.gone.IsZero() {
			v.duplicated++
			v.problem("command %s waits, and was acknowledged", found.Says)
		}
	}
	for says, c := range r.book.commands {
		if there[says] == 0 && !c.sent.IsZero() && !c.acking && !c.expired() {
			v.lost++
			v.problem("command %s was sent and is lost", says)
		}
	}
}
