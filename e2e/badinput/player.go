package badinput

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka"
)

// Victim is the tenant in whose name bad input is sent, unless a file names another.
const Victim = "victim"

// Player plays inputs against one engine. It is not safe for concurrent use.
type Player struct {
	HTTPURL  string // URL
	Registry string // URL
	Keys     map[string]string
	Kafka    kafka.Config
	Signer   *event.Keyring
	Schemas  SchemaID
	Command  func(ctx context.Context, args ...string) *exec.Cmd
	Dir      string // for files of calls
	Tape     *Tape
	Within   time.Duration // in which each input must be refused; 0: 10 s

	Admitted  int   // good events sent first, that some inputs need to be bad
	ProgramKB int64 // the most memory that a call of the operators' program had

	stranger *event.Keyring
	clients  map[string]*kgo.Client
	bombs    map[*Kafka]*bomb
	topicIDs map[string]string // of landing topics, as hex
	marks    int
	calls    int
}

// verdictIn is how long the engine may take to decide, unless the player says otherwise.
const verdictIn = 10 * time.Second

// Play plays one input, which was prepared, and returns nil when it was refused as its file says.
func (p *Player) Play(ctx context.Context, in Input) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.Within, verdictIn))
	defer cancel()
	switch {
	case in.HTTP != nil:
		return p.http(ctx, in.File, in.HTTP, in.Expect)
	case in.Kafka != nil:
		return p.kafka(ctx, in.Kafka, in.Expect)
	case in.Landing != nil:
		return p.landing(ctx, in.Landing, in.Expect)
	case in.Schema != nil:
		if err := p.register(ctx, in.Schema.Text, in.Expect.Registry); err != nil {
			return err
		}
		return p.program(ctx, in.Schema, in.Expect)
	case in.Rule != nil:
		return p.program(ctx, in.Rule, in.Expect)
	case in.Import != nil:
		return p.program(ctx, in.Import, in.Expect)
	}
	return p.program(ctx, in.CLI, in.Expect)
}

// Close closes the connections.
func (p *Player) Close() {
	for _, c := range p.clients {
		c.Close()
	}
}

func post(ctx context.Context, method, url string, headers http.Header, body io.Reader) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, nil, err
	}
	req.Header = headers
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("no answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}
