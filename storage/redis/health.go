package redis

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// Health implements [storage.Driver]: the write of [Driver.Beat] in the first
// partition. It fails on a read-only replica, out of memory and wherever else appends
// would, where PING would still be answered.
func (d *Driver) Health(ctx context.Context) error {
	if err := d.beat(ctx, partitionNames[:1]); err != nil {
		return fmt.Errorf("redis health: %w", err)
	}
	return nil
}

// checkServer looks at the configuration of every server in the background, once;
// it is called after each success. INFO tells all there is to know, where CONFIG
// is often forbidden.
func (d *Driver) checkServer() {
	if d.checked.Swap(true) {
		return
	}
	if d.enter() != nil {
		return
	}
	go func() {
		defer d.wg.Done()
		ctx, cancel := context.WithTimeout(d.logged(d.ctx), d.timeout)
		defer cancel()
		nodes, err := d.write.all(ctx)
		for _, n := range nodes {
			if n.checked.Load() {
				continue
			}
			var info string
			info, err = n.Info(ctx).Result()
			if _, refused := ownReply(err); err != nil && !refused {
				break
			}
			n.checked.Store(true)
			d.report(n.addr, info, err)
			err = nil
		}
		if err != nil {
			d.checked.Store(false) // next time
		}
	}()
}

// report tells about a server what an operator should know.
func (d *Driver) report(addr, info string, err error) {
	server := zap.String("server", addr)
	if err != nil {
		d.log.Info("redis does not tell its version and configuration; "+
			"it must be 6.2 or newer, a master, with maxmemory-policy noeviction",
			server, zap.Error(err))
		return
	}
	fields := infoFields(info)
	version := fields["redis_version"]
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err == nil &&
		(major < 6 || major == 6 && minor < 2) {
		d.log.Error("redis is too old: version 6.2 is needed", server, zap.String("version", version))
	}
	if p := fields["maxmemory_policy"]; p != "" && p != "noeviction" {
		d.log.Warn("REDIS MAY THROW EVENTS AWAY: its maxmemory-policy must be noeviction, "+
			"or what was acknowledged can vanish when memory runs low",
			server, zap.String("maxmemory_policy", p))
	}
	if role := fields["role"]; role != "" && role != "master" {
		d.log.Warn("redis is not a master and refuses writes", server, zap.String("role", role))
	}
}

func infoFields(info string) map[string]string {
	fields := map[string]string{}
	for line := range strings.SplitSeq(info, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}
