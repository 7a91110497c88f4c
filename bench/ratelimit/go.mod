module patronus.internal/dashboard/bench/ratelimit

go 1.26.0

require (
	github.com/sethvargo/go-limiter v1.0.0
	github.com/throttled/throttled/v2 v2.13.0
	golang.org/x/time v0.14.0
	patronus.internal/dashboard v0.0.0
)

require github.com/hashicorp/golang-lru v0.5.4 // indirect

replace patronus.internal/dashboard => ../..
