package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
)

// Ports are taken below those that systems give to outgoing connections (from 32768 up on Linux): a service that is started again
// must not find that a client has its port meanwhile.
const (
	firstPort = 10_000
	ports     = 10_000
)

// lastPort goes round, from anywhere: clusters of one process don't share ports, and those of two hardly meet.
var lastPort atomic.Uint32

// freeAddr is an address that is free.
func freeAddr(t testing.TB) string {
	t.Helper()
	lastPort.CompareAndSwap(0, 1+rand.Uint32N(ports))
	for range ports {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+lastPort.Add(1)%ports)
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
