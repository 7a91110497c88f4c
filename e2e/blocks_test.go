//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// The two forms of the page of blocks: one explains, one blocks.
const (
	explainForm = `form[method=get][action="/ip-blocks"]`
	blockForm   = `form[method=post][action="/ip-blocks"]`
	liftForms   = `form[action^="/ip-blocks/"][action$="/remove"]`
)

// TestIPBlocks has an admin block addresses, lift a block, and explain to a
// user why something was refused. In the end the admin is shut out as well.
func TestIPBlocks(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		admin := newAdmin(t, s, scripts)
		user := newUser(t, s, data, scripts)

		admin.clicks("/ip-blocks")
		admin.sees("Nothing is blocked")
		admin.inspectOnce("ip-blocks-empty")
		admin.isRefusedBlocks()

		admin.blocks(" 192.0.2.7", "1h", "guesses passwords", 200)
		admin.sees("The address is blocked.")
		if row := admin.row("192.0.2.7"); !strings.Contains(row, "guesses passwords") || !strings.Contains(row, "admin") {
			t.Errorf("the row of the block is %q", row)
		}
		admin.blocks("2001:db8:1234:5678:9abc::1/64", "365d", "", 200)
		admin.row("2001:db8:1234:5678::/64")
		admin.inspectOnce("ip-blocks")
		if links := admin.texts("main tbody a"); len(links) != 1 || links[0] != "192.0.2.7" {
			t.Errorf("the addresses that lead to the audit log are %q", links) // which takes no network
		}
		admin.follow("main tbody a", 200)
		admin.at("/audit")
		admin.clicks("/ip-blocks")

		admin.asksAbout("192.0.2.7", 200)
		if about := admin.text("section:has(#explained)"); !strings.HasPrefix(about, "192.0.2.7") || !strings.Contains(about, "guesses passwords") {
			t.Errorf("the block is explained by %q", about)
		}
		admin.inspectOnce("ip-blocks-explained")
		admin.follow("section:has(#explained) "+liftForms+" button", 200)
		admin.sees("The block is lifted.")
		if left := admin.texts(liftForms); len(left) != 1 {
			t.Errorf("the blocks that can be lifted are %q", left)
		}
		admin.asksAbout("192.0.2.7", 200)
		if about := admin.text("section:has(#explained) dd"); about != "no" {
			t.Errorf("after the block was lifted the address is blocked: %q", about)
		}

		user.visit("/users", 403)
		user.inspectOnce("forbidden")
		request := user.text("main .hint code")
		admin.asksAbout(" "+request+" ", 200) // as it is copied from a mail
		if row := admin.row(request); !strings.Contains(row, "forbidden") || !strings.Contains(row, "GET /users") || !strings.Contains(row, "no X-Forwarded-For") {
			t.Errorf("the refusal is explained by %q", row)
		}
		admin.inspectOnce("ip-blocks-explained-request")
		admin.submit("/ip-blocks/forget", 200)
		admin.sees("is forgotten")

		admin.fillsBlock("127.0.0.1", "1h", "a mistake")
		admin.click("[name=force]")
		admin.follow(blockForm+" button", 403) // the page that says that it is done
		admin.sees("127.0.0.1 is blocked until")
		admin.inspectOnce("blocked")
		user.visit("/", 403)
	})
}

// isRefusedBlocks asks for blocks and explanations that cannot be.
func (p *person) isRefusedBlocks() {
	p.t.Helper()
	p.blocks("nonsense", "1h", "", 422)
	p.refuses("ip")
	p.blocks("192.0.2.7", "for ever", "", 422)
	p.refuses("duration")
	p.blocks("127.0.0.0/8", "1h", "my own network", 422)
	p.refuses("ip")
	p.sees("your own address")
	p.inspectOnce("ip-blocks-refused")
	p.asksAbout("nonsense", 422)
	p.refuses("about")
	p.inspectOnce("ip-blocks-unexplained")
}

// fillsBlock fills in the form that blocks.
func (p *person) fillsBlock(network, duration, reason string) {
	p.t.Helper()
	p.fill("ip", network)
	p.fill("duration", duration)
	p.fill("reason", reason)
}

// blocks asks for a block.
func (p *person) blocks(network, duration, reason string, status int64) {
	p.t.Helper()
	p.fillsBlock(network, duration, reason)
	p.follow(blockForm+" button", status)
}

// asksAbout asks why an address or a request is refused.
func (p *person) asksAbout(what string, status int64) {
	p.t.Helper()
	p.fill("about", what)
	p.follow(explainForm+" button", status)
	p.at("/ip-blocks")
}
