package delivery

// What goes wrong in programs, and how they go on meanwhile.

// cutOff takes Redis away from one server: it is refused, or hears nothing of it, or
// it is heard and does not hear.
func (p *program) cutOff() {
	i := p.rand.IntN(2)
	p.trouble(i)
	cut := []func(bool){p.nodes[i].cut, p.nodes[i].redis.Blackhole, p.nodes[i].redis.DropReplies}[p.rand.IntN(3)]
	cut(true)
	p.inOutage(func() bool { return !p.nodes[i].normal() })
	cut(false)
	p.recover()
	p.settle()
}

// deafen lets messages between the servers be lost. What they were about is noticed
// all the same.
func (p *program) deafen() {
	n := p.nodes[p.rand.IntN(2)]
	n.backend.deaf.Store(true)
	p.inOutage(func() bool { return true })
	n.backend.deaf.Store(false)
}

// cutBothInTurn takes Redis away from one server and, before it is well again, from
// the other one.
func (p *program) cutBothInTurn() {
	p.trouble(0)
	p.trouble(1)
	p.nodes[0].cut(true)
	p.inOutage(func() bool { return !p.nodes[0].normal() })
	p.nodes[1].cut(true)
	p.nodes[0].cut(false)
	p.inOutage(func() bool { return !p.nodes[1].normal() })
	p.nodes[1].cut(false)
	p.recover()
	p.settle()
}

// killRedis has Redis come again with nothing in it.
func (p *program) killRedis() {
	p.trouble(0)
	p.trouble(1)
	p.redis.Kill()
	if p.rand.IntN(3) > 0 {
		p.inOutage(func() bool { return !p.nodes[0].normal() && !p.nodes[1].normal() })
	}
	p.redis.Restart()
	p.recover()
	p.settle()
}

// inOutage lets the program go on while something is wrong.
func (p *program) inOutage(wrong func() bool) {
	if !until(wrong) {
		p.problem("nobody notices that something is wrong")
	}
	for range p.rand.IntN(4) {
		if p.rand.IntN(3) == 0 && len(p.followers) < 12 {
			p.join(p.rand.IntN(2))
		} else {
			p.followers[p.rand.IntN(len(p.followers))].disconnect()
		}
		p.more(p.rand.IntN(60))
	}
}
