package topology

import (
	"bytes"
	_ "embed"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

//go:embed topics.yaml
var topicsYAML []byte

// Topic is a topic as topics.yaml declares it.
type Topic struct {
	Name       string            `yaml:"name"`
	Doc        string            `yaml:"doc"`
	Partitions string            `yaml:"partitions"` // per_cluster or one
	Config     map[string]string `yaml:"config"`
}

// Topics returns the topics that a cluster of the engine has, in the order of topics.yaml.
func Topics() ([]Topic, error) {
	var file struct {
		Topics []Topic `yaml:"topics"`
	}
	if err := decode("topics.yaml", topicsYAML, &file); err != nil {
		return nil, err
	}
	for _, t := range file.Topics {
		if t.Partitions != "per_cluster" && t.Partitions != "one" {
			return nil, fmt.Errorf("kafka: topics.yaml: topic %s: partitions is %q, not per_cluster or one", t.Name, t.Partitions)
		}
	}
	return file.Topics, nil
}

// decode reads a declaration; a field that is misspelt is an error.
func decode(name string, text []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("kafka: read %s: %w", name, err)
	}
	return nil
}

func (d Topic) perCluster() bool { return d.Partitions == "per_cluster" }

// satisfies reports whether a topic's setting is as good as the declared one. More room and more replicas are; anything else
// has to be equal.
func satisfies(key, want, have string) bool {
	switch key {
	case "max.message.bytes", "min.insync.replicas":
		w, err1 := strconv.ParseInt(want, 10, 64)
		h, err2 := strconv.ParseInt(have, 10, 64)
		return err1 == nil && err2 == nil && h >= w
	}
	return want == have
}
