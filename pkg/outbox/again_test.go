package outbox

import (
	"log/slog"
	"testing"
	"time"
)

func TestAdvance_SendsAgainEverMoreSeldomWhatIsNeverSeen(t *testing.T) {
	s := &Sender{box: &Outbox{deriver: "rules", log: slog.New(slog.DiscardHandler), metrics: newMetrics(nil, "rules")}, cfg: SenderConfig{Resend: 10 * time.Second}}
	rows := tenantRows{tenant: "acme", low: 7, high: 90}
	now := time.Unix(1000, 0)
	s.sent = map[string]*cursor{"acme": {through: 90, low: 7, since: now}}
	again := func(within time.Duration) (n int) {
		for end := now.Add(within); now.Before(end); now = now.Add(time.Second) {
			if c := s.advance(rows, now); c.through < rows.low {
				n++
				c.through = 90 // all of it was sent
			}
		}
		return n
	}
	if n := again(time.Hour); n < 10 || n > 17 {
		t.Errorf("sent %d times in an hour in which nothing was seen, want 10, 20, 40 ... 320 seconds after each other", n)
	}
	rows.low = 8 // one was seen
	if n := again(12 * time.Second); n != 1 {
		t.Errorf("sent %d times within 12 s after something was seen", n)
	}
}
