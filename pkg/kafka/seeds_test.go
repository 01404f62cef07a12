package kafka

import (
	"slices"
	"testing"
)

func TestSeeds_AreHostsWithoutTheBlanksOfTheList(t *testing.T) {
	for name, x := range map[string]struct{ brokers, want []string }{
		"one":                {[]string{"a:9092"}, []string{"a:9092"}},
		"blanks":             {[]string{"a:9092", " b:9092\t"}, []string{"a:9092", "b:9092"}},
		"none":               {nil, nil},
		"a comma at the end": {[]string{"a:9092", ""}, nil},
		"only blanks":        {[]string{" "}, nil},
	} {
		got, err := seeds(x.brokers)
		if (err != nil) != (x.want == nil) || !slices.Equal(got, x.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := (Config{Brokers: x.brokers}).Options(); (err != nil) != (x.want == nil) {
			t.Errorf("%s: options: %v", name, err)
		}
	}
}
