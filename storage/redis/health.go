package redis

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// Health implements [storage.Driver]: a script that writes. It fails on a
// read-only replica, out of memory and wherever else appends would, where PING
// would still be answered.
func (d *Driver) Health(ctx context.Context) error {
	_, err := bounded(ctx, d, func(ctx context.Context) (struct{}, error) {
		c := &call{keys: []string{d.keys.health()}}
		d.healthScript.run(ctx, d.write, []*call{c})
		if c.reply == nil {
			return struct{}{}, opError(c.err)
		}
		d.checkServer()
		return struct{}{}, nil
	})
	if err != nil {
		return fmt.Errorf("redis health: %w", err)
	}
	return nil
}

// checkServer looks at the server's configuration in the background, once; it is
// called after the first success. INFO tells all there is to know, where CONFIG
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
		ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
		defer cancel()
		info, err := d.write.Info(ctx).Result()
		if _, refused := ownReply(err); err != nil && !refused {
			d.checked.Store(false) // next time
			return
		}
		d.report(info, err)
	}()
}

// report tells about the server what an operator should know.
func (d *Driver) report(info string, err error) {
	if err != nil {
		d.log.Info("redis does not tell its version and configuration; "+
			"it must be 6.2 or newer, a master, with maxmemory-policy noeviction",
			zap.Error(err))
		return
	}
	fields := infoFields(info)
	version := fields["redis_version"]
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err == nil &&
		(major < 6 || major == 6 && minor < 2) {
		d.log.Error("redis is too old: version 6.2 is needed", zap.String("version", version))
	}
	if p := fields["maxmemory_policy"]; p != "" && p != "noeviction" {
		d.log.Warn("REDIS MAY THROW EVENTS AWAY: its maxmemory-policy must be noeviction, "+
			"or what was acknowledged can vanish when memory runs low",
			zap.String("maxmemory_policy", p))
	}
	if role := fields["role"]; role != "" && role != "master" {
		d.log.Warn("redis is not a master and refuses writes", zap.String("role", role))
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
