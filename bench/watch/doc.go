// Package watch puts the file watcher beside chokidar and beside plain fsnotify with a
// walk, each in a process of its own with the same options, and lets them watch the
// same operations on files: which events are missing and which are invented, how long
// after a change its event leaves, and what 50,000 entries cost.
// `make bench SUBJECT=watch` runs it and writes docs/watcher.md.
//
//	ours, plain, chokidar   the watchers: each watches the directory that it is
//	                        given, and says what it sees as lines of JSON
//	process_test.go         one of them as a process
//	tree_test.go            what is in a directory, and what two of these differ in
//	scenarios_test.go       the operations
//	watch_test.go           the benchmarks
package watch
