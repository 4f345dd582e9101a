package watcher

import (
	"os"
	"strconv"
	"strings"
)

// watchLimit is the number of directories that all programs of the user may
// watch together: the smaller of the machine's limit and that of the user
// namespace. 0 where neither can be read.
func watchLimit() int {
	limit := 0
	for _, file := range []string{"/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches"} {
		text, err := os.ReadFile(file) //nolint:gosec // constant names
		if err != nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && (limit == 0 || n < limit) {
			limit = n
		}
	}
	return limit
}
