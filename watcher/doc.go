// Package watcher turns what changes beneath a directory into events of a
// session.
//
// Truth is a snapshot: a tree of what each entry was when it was last looked
// at. Notifications of the kernel, taken from one fsnotify instance that all
// watchers of the process share, are only hints that say where to look again.
// A hint that is late, doubled or meaningless costs a stat call and nothing
// else; a hint that was lost (the kernel's queue overflowed) costs a comparison
// of the whole tree.
//
// # What it promises
//
//   - What is there when a watcher starts is not reported; what changes after
//     [Start] has returned is. A root that is missing at the start counts as
//     empty: what it holds once it appears is reported as created.
//   - One event per path and debounce window. Created and then modified leaves
//     as created, created and then deleted as nothing, a file deleted and then
//     created as modified, modified and then deleted as deleted. A change of
//     type, or a directory replaced by another, leaves as deleted and created.
//   - Deletions leave children first, creations parents first. Event ids grow
//     within the process.
//   - An event of a file waits until size and modification time have held for
//     100 ms, but never longer than the maximum wait: a file written without end
//     is reported once per maximum wait.
//   - A watcher that fails is started again after the delays of its retry
//     policy (1, 2 and 4 s) and then given up. Its snapshot survives, so that
//     what changed while it was down is reported when it is back. A run that has
//     finished its scan and held for 10 s clears the count. A watcher that was
//     given up because its root is gone starts again when the root appears.
//   - A directory that cannot be watched or read (no permission, no watches
//     left) is no failure: it is compared with the snapshot every 2 s, and the
//     state reads degraded. That also goes for the root, as far as watches are
//     concerned.
//   - The root's device and inode and the list of watches are checked every 2 s,
//     as a file system is unmounted without a hint. An unmounted root counts as
//     gone; watches that have ended are found within 6 s and the tree is compared.
//   - With Config.Poll there are no hints: the whole tree is compared with the
//     snapshot, one comparison that long after the end of the other.
//   - All looks go through an [os.Root] that is opened for them: no link leads
//     out of the root, nothing keeps the file system from being unmounted, and
//     with Config.Beneath the root itself is reached from there each time.
//
// # Depth, ignores and links
//
// Depth counts the directories between the root and an entry; an entry directly
// in the root has depth 0. A directory at the limit is reported, its content is
// not. Ignored entries are skipped before a watch is spent on them. Symbolic
// links are entries of their own and are never followed; only the root itself
// may be given through links, and it is resolved once.
//
// # What it does not know
//
//   - Who changed a file, and which step of a session was active: StepNumber of
//     an event is null until a Sink sets it.
//   - Changes of mode, owner or times alone; they are no events.
//   - Writes through a hard link outside of the root or through a memory
//     mapping, as inotify tells nothing of them until the next comparison.
//   - Moves as such: a rename is a deletion and a creation.
//   - A name's bytes, where they are not UTF-8: such bytes appear as U+FFFD.
package watcher
