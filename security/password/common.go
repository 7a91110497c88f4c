package password

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed" // the list
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/trustelem/zxcvbn/frequency"
)

// commonList is one password a line, 12 characters and longer; see NOTICE.
//
//go:embed common.txt.gz
var commonList []byte

// common holds 64 bits of the SHA-256 of each password of the list, sorted:
// 350 KB for 44,000 of them, where the texts in a map would take some 5 MB.
// That another password shares its 64 bits with one of them has a chance of
// 2^-48. It is built by the first new password, not by the start.
var common = sync.OnceValue(func() []uint64 {
	unpacked, err := gzip.NewReader(bytes.NewReader(commonList))
	if err != nil {
		panic(fmt.Sprintf("password: the embedded list: %v", err)) // a broken build
	}
	var hashes []uint64
	lines := bufio.NewScanner(unpacked)
	for lines.Scan() {
		hashes = append(hashes, commonHash(lines.Text()))
	}
	if err := lines.Err(); err != nil {
		panic(fmt.Sprintf("password: the embedded list: %v", err))
	}
	slices.Sort(hashes)
	return slices.Clip(hashes)
})

// isCommon reports whether a password is in the list, whatever its case. For a
// policy that allows fewer than 12 characters the 30,000 of zxcvbn, which are in
// memory anyway, stand in.
func isCommon(password string) bool {
	_, found := slices.BinarySearch(common(), commonHash(password))
	return found || slices.Contains(frequency.FrequencyLists["passwords"], strings.ToLower(password))
}

func commonHash(password string) uint64 {
	sum := sha256.Sum256([]byte(strings.ToLower(password)))
	return binary.BigEndian.Uint64(sum[:8])
}
