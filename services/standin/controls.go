package standin

import "errors"

// The same controls as under /_standin/, for tests in the same process.

// AddFault queues a fault behind those that are there.
func (s *Server) AddFault(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) >= maxFaults {
		return errors.New("too many faults are waiting")
	}
	s.nextFault++
	f.ID, f.Hits = s.nextFault, 0
	s.faults = append(s.faults, &f)
	return nil
}

// Merge makes one contact of two, as a person does: from is gone, into gets what it lacks. It reports whether both were there.
func (s *Server) Merge(location, from, into string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locations[location]
	if l == nil || !l.merge(from, into, s.now()) {
		return false
	}
	s.file.write(record{Op: "contact", ID: from, At: location})
	s.file.write(record{Op: "contact", ID: into, At: location, Contact: l.contacts[into]})
	s.flush(l)
	return true
}

// ClearFaults takes back all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Requests lists what was received after request number since; location "" means all.
func (s *Server) Requests(since int64, location string) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests.since(since, location, logEntries)
}

// Contacts lists the contacts as they are, without search lag, oldest first.
func (s *Server) Contacts(location string) []*Contact {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locations[location]
	if l == nil {
		return []*Contact{}
	}
	return l.sorted()
}

// Reset forgets contacts, their objects, requests, faults and used-up limits; locations with what Setup made, and tokens, stay.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.locations {
		limit := *l.limit
		limit.used, limit.today = 0, 0
		s.locations[id] = l.afterReset(&limit)
	}
	s.faults = nil
	s.requests.reset()
	s.file.write(record{Op: "reset"})
}
