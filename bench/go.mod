module github.com/actionflows/lifeline/bench

go 1.26.0

replace github.com/actionflows/lifeline => ..

require (
	github.com/actionflows/lifeline v0.0.0-00010101000000-000000000000
	github.com/cep21/circuit/v4 v4.0.0
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/mercari/go-circuitbreaker v0.0.2
	github.com/sony/gobreaker/v2 v2.4.0
)

require (
	github.com/benbjohnson/clock v1.3.0 // indirect
	github.com/bits-and-blooms/bitset v1.25.0 // indirect
	github.com/cenkalti/backoff/v3 v3.1.1 // indirect
)
