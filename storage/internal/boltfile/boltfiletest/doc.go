// Package boltfiletest makes the disk below a bbolt file fail in tests, by real
// errors of the system.
package boltfiletest
