package kafka

import (
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The vectors of Kafka's own UtilsTest.testMurmur2.
func TestMurmur2_AgreesWithJava(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, Java says %d", key, got, want)
		}
	}
}

func TestPartitionFor_AgreesWithTheProducersPartitioner(t *testing.T) {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		key := make([]byte, 1+rng.IntN(70))
		for i := range key {
			key[i] = byte(rng.UintN(256))
		}
		n := 1 + rng.IntN(64)
		if got, want := PartitionFor(key, int32(n)), int32(p.Partition(&kgo.Record{Key: key}, n)); got != want {
			t.Fatalf("PartitionFor(%x, %d) = %d, the producer's partitioner says %d", key, n, got, want)
		}
	}
}
