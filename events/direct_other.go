//go:build !unix

package events

import "syscall"

func rawSocket(socket) syscall.RawConn { return nil }

func tryWrite(uintptr, []byte) (int, error) { return 0, syscall.EAGAIN }

func tryRead(uintptr, []byte) (int, error) { return 0, syscall.EAGAIN }
