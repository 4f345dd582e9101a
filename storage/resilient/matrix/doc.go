// Package matrix proves the promise of storage/resilient by breaking things: two
// node processes publish and read through one real redis-server, each through a
// proxy of its own. What goes wrong, who writes and reads meanwhile, and the
// checker are in internal/faultmatrix; here is what is put to the test, which is
// storage without a hub. events/matrix does the same through HTTP.
package matrix
