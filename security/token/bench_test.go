package token

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// BenchmarkVerify stands beside a bare parse of the library that it uses.
func BenchmarkVerify(b *testing.B) {
	now := born.Add(time.Minute)
	issued, err := at(born).Issue(testClaims())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("library parse", func(b *testing.B) {
		parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(func() time.Time { return now }))
		keys := testRing()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parser.ParseWithClaims(issued.Reveal(), &claims{}, func(*jwt.Token) (any, error) { return keys["k2"], nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first use", func(b *testing.B) {
		i := at(now)
		b.ReportAllocs()
		for b.Loop() {
			i.Forget()
			if _, err := i.Verify(issued); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("later uses", func(b *testing.B) {
		i := at(now)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := i.Verify(issued); err != nil {
				b.Fatal(err)
			}
		}
	})
}
