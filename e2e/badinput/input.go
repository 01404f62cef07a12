package badinput

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/neuronx/engine/pkg/event"
)

//go:embed corpus
var corpus embed.FS

// Families are the folders of the corpus.
func Families() []string {
	return []string{"http", "kafka", "landing", "schema", "rule", "import", "cli"}
}

// Input is one file of the corpus: exactly one of the ways in is set, that of its folder.
type Input struct {
	Family string `yaml:"-"`
	File   string `yaml:"-"` // its name without .yaml

	Name    string   `yaml:"name"`
	Why     string   `yaml:"why"` // what it would do to an engine that is not careful
	HTTP    *HTTP    `yaml:"http"`
	Kafka   *Kafka   `yaml:"kafka"`
	Landing *Landing `yaml:"landing"`
	Schema  *Program `yaml:"schema"`
	Rule    *Program `yaml:"rule"`
	Import  *Program `yaml:"import"`
	CLI     *Program `yaml:"cli"`
	Expect  Expect   `yaml:"expect"`

	Delays time.Duration `yaml:"delays"` // how much later another tenant's event may come during it, where honest producers cost as much
}

// Expect is the refusal.
type Expect struct {
	Code     event.Code `yaml:"code"`
	Status   int        `yaml:"status"`   // HTTP
	Late     bool       `yaml:"late"`     // HTTP answers 202, and a dead letter names the code
	Exit     int        `yaml:"exit"`     // of the operators' program
	Problem  string     `yaml:"problem"`  // code of a problem that the program lists
	Says     string     `yaml:"says"`     // part of what the program writes
	Registry int        `yaml:"registry"` // error code of the schema registry, asked by its own API; 0: it is not asked
}

// HTTP is one request to the HTTP endpoint.
type HTTP struct {
	Method  string   `yaml:"method"` // POST unless said
	Path    string   `yaml:"path"`   // /v1/events unless said
	Key     string   `yaml:"key"`    // name of the API key: writer unless said, none for no credential
	Headers []string `yaml:"headers"`
	Body    Bytes    `yaml:"body"`
	First   Bytes    `yaml:"first"` // a good body, sent and accepted before
}

// Kafka is one batch of records produced straight to neuronx.ingress.
type Kafka struct {
	Record  `yaml:",inline"`
	Copies  int     `yaml:"copies"`  // of the record in the one batch; 0 is 1
	Batches int     `yaml:"batches"` // so often; 0 is 1
	Codec   string  `yaml:"codec"`   // gzip, snappy, lz4 or zstd
	Whole   bool    `yaml:"whole"`   // the batch is refused as one, under its last offset
	First   *Record `yaml:"first"`   // a good record, produced and admitted before
}

// Landing is one batch of records produced to a tenant's landing topic, which has one partition.
type Landing struct {
	Kafka `yaml:",inline"`
	Of    string `yaml:"of"` // the topic's tenant; victim unless said. A record there has no key unless one is given.
}

// Record is a record of neuronx.ingress.
type Record struct {
	Key       *string  `yaml:"key"` // name of a tenant of the play, or any text; victim unless said
	NullKey   bool     `yaml:"null_key"`
	Misplaced bool     `yaml:"misplaced"` // in a partition that is not the key's
	Headers   []string `yaml:"headers"`   // Name: value
	Fill      int      `yaml:"fill"`      // so many more headers
	FillBytes int      `yaml:"fill_bytes"`
	Value     Bytes    `yaml:"value"`  // null unless said
	Empty     bool     `yaml:"empty"`  // no bytes, which is not null
	Sign      string   `yaml:"sign"`   // engine or stranger
	Signed    Bytes    `yaml:"signed"` // the value that the signature is over, if it is another
}

// Program is a call of the operators' program, with the files that it reads.
type Program struct {
	Args  []string `yaml:"args"` // {dir} is the folder of the files, {victim} the tenant
	Files []File   `yaml:"files"`
	Text  Bytes    `yaml:"text"` // of a schema: also what the registry is asked to take
}

// File is one file in the folder of a call.
type File struct {
	Name string `yaml:"name"`
	Data Bytes  `yaml:"data"`
}

// Load reads the corpus. A file that says too little, or something that is not understood, is an error: it would test nothing.
func Load() ([]Input, error) {
	var out []Input
	names := map[string]string{}
	for _, family := range Families() {
		paths, err := fs.Glob(corpus, path.Join("corpus", family, "*.yaml"))
		if err != nil {
			return nil, fmt.Errorf("list bad inputs: %w", err)
		}
		for _, p := range paths {
			text, err := corpus.ReadFile(p)
			if err != nil {
				return nil, fmt.Errorf("read bad input: %w", err)
			}
			in, err := parse(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			in.Family, in.File = family, strings.TrimSuffix(path.Base(p), ".yaml")
			if err := in.check(); err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			if other, taken := names[family+in.Name]; taken {
				return nil, fmt.Errorf("%s has the name of %s", p, other)
			}
			names[family+in.Name] = p
			out = append(out, in)
		}
	}
	return out, nil
}

func parse(text []byte) (Input, error) {
	var in Input
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err := dec.Decode(&in)
	return in, err
}

func (in *Input) check() error {
	ways := map[string]bool{"http": in.HTTP != nil, "kafka": in.Kafka != nil, "landing": in.Landing != nil, "schema": in.Schema != nil, "rule": in.Rule != nil, "import": in.Import != nil, "cli": in.CLI != nil}
	for family, there := range ways {
		if there != (family == in.Family) {
			return fmt.Errorf("it is in the folder %s and must have that way in, and no other", in.Family)
		}
	}
	switch {
	case in.Name == "" || in.Why == "":
		return fmt.Errorf("it has no name, or does not say why it is bad")
	case in.Expect.Code == "":
		return fmt.Errorf("it names no code")
	case in.HTTP != nil && in.Expect.Status == 0:
		return fmt.Errorf("it names no HTTP status")
	case in.HTTP == nil && in.Kafka == nil && in.Landing == nil && in.Expect.Exit == 0:
		return fmt.Errorf("it names no exit code")
	}
	return nil
}
