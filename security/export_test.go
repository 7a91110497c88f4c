package security

// PasswordHashes is how many passwords were hashed since the start.
func (s *Service) PasswordHashes() int64 { return s.hasher.Hashes() }
