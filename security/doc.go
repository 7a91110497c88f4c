// Package security is the core of the dashboard: what it decides, stores and
// records. Service has a method for everything a person, a script or a command
// may do; what concerns one thing alone lives in a package below:
//
//	secerr    refusals with a code
//	secret    values that no log shows
//	db        the storage core: one writer, group commit, durable answers
//	audit     the log, written in the transaction of each change
//	merkle    the arithmetic of the tree over it
//	savedview filters of the log that a person comes back to
//	export    the log for other programs: JSON, CSV, CEF, OCSF
//	user      accounts, addresses, one-time links
//	password  rules for new passwords, Argon2id in a bounded pool
//	session   signed-in devices
//	revocation what was revoked before it ran out, on disk and in memory
//	token     access tokens (JWT)
//	keyring   keys.json: keys for tokens, the log, encryption and MACs
//	mfa       authenticator apps and backup codes
//	apikey    keys for scripts
//	rbac      roles, permissions, scopes
//	policy    the settings that an admin may change
//	stepup    fresh confirmation of critical operations
//	ratelimit how many requests an address, account or key may make
//	lockout   what failed sign-ins of an account bring
//	captcha   proof of work, or digits, for who fails to sign in
//	device    browsers and programs that signed in before
//	outbox    mail until it is sent
//	mail      one message by SMTP
//	ipblock   blocked addresses and networks, on disk and in memory
//	anomaly   rules for suspicious activity
//	geo       the country and place of an address
//	syslog    the log to a syslog receiver
//	webhook   the log to an HTTP server, in signed batches
//	outbound  which addresses these two may connect to
//
// # Threat model
//
// An attacker may send anything over the network, may hold a stolen cookie,
// token or key, may be a signed-in user who wants more, may read a copy of the
// database without keys.json, and may pull the plug. In turn: input is bounded
// and parsed strictly before it costs anything; what is stolen can be ended at
// once and cannot confirm a critical operation; every permission is that of
// now, not of when a token was made; secrets are hashed or encrypted at rest;
// and what was answered is on disk, together with its event.
package security
