package merkle

import (
	"encoding/hex"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// reference is the library's own tree, with every hash in memory.
type reference struct{ hashes []tlog.Hash }

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, i := range indexes {
		found = append(found, r.hashes[i])
	}
	return found, nil
}

func (r *reference) add(t testing.TB, n int64, data []byte) {
	hashes, err := tlog.StoredHashes(n, data, r)
	if err != nil {
		t.Fatal(err)
	}
	r.hashes = append(r.hashes, hashes...)
}

func (r *reference) root(t testing.TB, n int64) tlog.Hash {
	hash, err := tlog.TreeHash(n, r)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func data(i int64) []byte { return fmt.Appendf(nil, "leaf %d", i) }

// TestVectorsOfRFC6962 are those of the certificate-transparency reference
// implementation: eight leaves and the root after each.
func TestVectorsOfRFC6962(t *testing.T) {
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var r Range
	if got, want := hex.EncodeToString(hashBytes(r.Root())), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; got != want {
		t.Errorf("the empty tree: %s, want %s", got, want)
	}
	for i, leaf := range leaves {
		raw, err := hex.DecodeString(leaf)
		if err != nil {
			t.Fatal(err)
		}
		r.Append(Leaf(raw))
		if got := hex.EncodeToString(hashBytes(r.Root())); got != roots[i] {
			t.Errorf("after %d leaves: %s, want %s", i+1, got, roots[i])
		}
	}
}

func hashBytes(h Hash) []byte { return h[:] }

// TestGrowsAsTheLibraryDoes grows a tree in batches, as the log does, each from
// the tiles of the one before, across two levels of tiles.
func TestGrowsAsTheLibraryDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tiles, ref, size := map[[2]int64][]byte{}, &reference{}, int64(0)
		read := func(level int, n int64, width int) ([]byte, error) {
			return tiles[[2]int64{int64(level), n}][:width*tlog.HashSize], nil
		}
		for range rapid.IntRange(1, 6).Draw(rt, "batches") {
			edge, err := LoadEdge(size, read)
			if err != nil {
				rt.Fatal(err)
			}
			for range rapid.IntRange(1, 400).Draw(rt, "events") {
				edge.Append(Leaf(data(size)))
				ref.add(t, size, data(size))
				size++
			}
			for _, tile := range edge.Changed() {
				tiles[[2]int64{int64(tile.Level), tile.N}] = tile.Hashes
			}
			if edge.Root() != ref.root(t, size) || edge.Size() != size {
				rt.Fatalf("the roots differ at %d", size)
			}
		}
		// Every tile is what the library would publish.
		for place, hashes := range tiles {
			tile := tlog.Tile{H: Height, L: int(place[0]), N: place[1], W: len(hashes) / tlog.HashSize}
			want, err := tlog.ReadTileData(tile, ref)
			if err != nil || string(want) != string(hashes) {
				rt.Fatalf("tile %v differs (%v)", tile, err)
			}
		}
		// Leaves and covers in any mixture lead to the same root.
		var mixed Range
		for mixed.Size() < size {
			if rapid.Bool().Draw(rt, "leaf") {
				mixed.Append(Leaf(data(mixed.Size())))
				continue
			}
			for _, s := range Cover(mixed.Size(), rapid.Int64Range(mixed.Size(), size).Draw(rt, "end")) {
				if err := mixed.AppendSubtree(s.Height, ref.hashes[tlog.StoredHashIndex(s.Height, s.Index)]); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if mixed.Root() != ref.root(t, size) {
			rt.Fatal("the mixed root differs")
		}
	})
}

// TestAcrossThreeLevels: 256 full tiles make the first hash of the third level.
func TestAcrossThreeLevels(t *testing.T) {
	edge, ref := &Edge{}, &reference{}
	tiles := map[[2]int64]int{}
	for i := range int64(Width*Width + 3) {
		edge.Append(Leaf(data(i)))
		ref.add(t, i, data(i))
	}
	for _, tile := range edge.Changed() {
		tiles[[2]int64{int64(tile.Level), tile.N}] = len(tile.Hashes) / tlog.HashSize
	}
	if tiles[[2]int64{0, 255}] != Width || tiles[[2]int64{0, 256}] != 3 || tiles[[2]int64{1, 0}] != Width || tiles[[2]int64{2, 0}] != 1 {
		t.Errorf("tiles: %v", tiles)
	}
	if edge.Root() != ref.root(t, Width*Width+3) {
		t.Error("the roots differ")
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	var r Range
	r.Append(Hash{})
	for _, height := range []int{1, -1, 63} {
		if err := r.AppendSubtree(height, Hash{}); err == nil {
			t.Errorf("a subtree of height %d stands at 1", height)
		}
	}
	if _, err := Split(make([]byte, 33)); err == nil {
		t.Error("33 bytes are hashes")
	}
	short := func(int, int64, int) ([]byte, error) { return make([]byte, tlog.HashSize), nil }
	if _, err := LoadEdge(2, short); err == nil {
		t.Error("a short tile is an edge")
	}
}

func BenchmarkAppendBatch64(b *testing.B) {
	tiles := map[[2]int64][]byte{}
	read := func(level int, n int64, width int) ([]byte, error) {
		return tiles[[2]int64{int64(level), n}][:width*tlog.HashSize], nil
	}
	size := int64(0)
	for b.Loop() {
		edge, err := LoadEdge(size, read)
		if err != nil {
			b.Fatal(err)
		}
		for range 64 {
			edge.Append(Hash{})
		}
		for _, tile := range edge.Changed() {
			tiles[[2]int64{int64(tile.Level), tile.N}] = tile.Hashes
		}
		_ = edge.Root()
		size += 64
	}
}
