package redis

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

type loggerKey struct{}

// logged marks calls whose messages belong to the driver's logger.
func (d *Driver) logged(ctx context.Context) context.Context {
	return context.WithValue(ctx, loggerKey{}, d.log)
}

// relay takes what go-redis logs, by one logger for the whole process. What our
// calls meet is told by their errors, so it is worth a debug message; what others
// in this process do with go-redis is logged where it always was.
type relay struct{ others *log.Logger }

// Printf is called by go-redis.
func (r relay) Printf(ctx context.Context, format string, v ...any) {
	if own, ok := ctx.Value(loggerKey{}).(*zap.Logger); ok {
		own.Debug("go-redis: " + fmt.Sprintf(format, v...))
		return
	}
	const caller = 3 // behind us and two of go-redis
	_ = r.others.Output(caller, fmt.Sprintf(format, v...))
}

// relayLog takes over the logging of go-redis, once.
var relayLog = sync.OnceFunc(func() {
	goredis.SetLogger(relay{log.New(os.Stderr, "redis: ", log.LstdFlags|log.Lshortfile)})
})
