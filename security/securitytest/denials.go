package securitytest

import (
	"context"
	"strconv"
	"sync"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// SearchedByIndex is more events than one search examines of a type, a user or an
// address.
const SearchedByIndex = 10_100

// Denials has so many requests of nobody refused, for a log that is longer than a
// search goes. The first of them has the address first@example.org.
func Denials(service *security.Service, n int) {
	deny := func(email string, i int) {
		refusal := secerr.New(secerr.Forbidden, "No.")
		_ = service.Deny(context.Background(), security.Caller{User: user.User{Email: email}, Request: security.Request{Route: "GET /" + strconv.Itoa(i)}}, refusal)
	}
	deny("first@example.org", 0)
	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			for i := worker + 1; i < n; i += 64 {
				deny("", i)
			}
		})
	}
	wg.Wait()
}
