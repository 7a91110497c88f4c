package session

import "github.com/mileusna/useragent"

// Device names a browser family and a system, as coarsely as a person needs to
// tell their devices apart; a program by the name that it gives itself.
func (s Session) Device() string {
	agent := useragent.Parse(s.UserAgent)
	switch {
	case s.UserAgent == "":
		return "Unknown device"
	case agent.Name == "":
		return "Unknown program"
	case agent.OS == "":
		return agent.Name
	}
	return agent.Name + " on " + agent.OS
}
