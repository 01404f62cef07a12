package main

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/neuronx/engine/e2e/cluster"
	"github.com/neuronx/engine/pkg/kafka"
)

// bareVerb makes this program the raw limit of the HTTP jobs.
const bareVerb = "bare-http"

// serveBare serves until it is killed: it reads a request to its end, looks at nothing of it, writes records that neuronx-ingest made
// of such requests, and answers when they are acknowledged.
func serveBare(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: " + bareVerb + " LISTEN BROKER FILE EVENTS")
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	made, err := readStored(args[2])
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(producing([]string{args[1]}, kgo.ProducerLinger(0))...)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		of := made[rand.IntN(len(made))] // all of one tenant, as in a batch of neuronx-ingest
		first := rand.IntN(len(of))
		acks := make(chan error, n)
		for i := range n {
			s := of[(first+i)%len(of)]
			rec := &kgo.Record{Topic: topicRaw, Key: []byte(s.Tenant), Headers: s.Headers, Value: s.Value}
			rec.Partition = kafka.PartitionFor(rec.Key, cluster.Partitions)
			client.Produce(r.Context(), rec, func(_ *kgo.Record, err error) { acks <- err })
		}
		for range n {
			if err := <-acks; err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"status":"accepted"}`)
	})}
	return srv.Serve(l)
}

// readStored reads the records of neuronx-ingest, by tenant.
func readStored(file string) ([][]stored, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []stored
	if err := gob.NewDecoder(f).Decode(&all); err != nil {
		return nil, err
	}
	tenants := map[string][]stored{}
	for _, s := range all {
		tenants[s.Tenant] = append(tenants[s.Tenant], s)
	}
	var out [][]stored
	for _, t := range tenants {
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, errors.New("there are no records to write")
	}
	return out, nil
}
