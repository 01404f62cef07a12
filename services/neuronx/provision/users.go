package provision

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/neuronx/engine/pkg/app"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/pkg/kafka/topology"
)

// KafkaUsersFile holds the passwords of the engine's users in Kafka; next to it lies <user>.kafka-password for each, which is what
// NEURONX_KAFKA_SASL_PASSWORD_FILE of a process names.
const KafkaUsersFile = "kafka-users.json"

const kafkaPassword = ".kafka-password"

// keepKafkaUsers makes the passwords that the folder lacks, as keepSecrets does for Postgres, and returns all.
func keepKafkaUsers(dir string, execute bool) ([]Change, map[string]app.Secret, error) {
	users, err := topology.Users()
	if err != nil {
		return nil, nil, err
	}
	names := []string{KafkaUsersFile}
	for _, u := range users {
		names = append(names, u.Name+kafkaPassword)
	}
	have, err := readSecrets(dir, names)
	if err != nil {
		return nil, nil, err
	}
	passwords := map[string]string{}
	if b, ok := have[KafkaUsersFile]; ok {
		if err := json.Unmarshal(b, &passwords); err != nil || passwords == nil {
			return nil, nil, event.Refuse(event.CodeInvalidConfig, "%s is not JSON of the form {user: password}", KafkaUsersFile)
		}
	}
	out, fresh := map[string]app.Secret{}, false
	for _, u := range users {
		if passwords[u.Name] == "" {
			passwords[u.Name], fresh = rand.Text(), true // 130 bits
		}
		out[u.Name] = app.Secret(passwords[u.Name])
	}
	// The list comes before the single files: whatever happens in between, the next run writes the same passwords.
	var changes []Change
	write := map[string][]byte{}
	if fresh {
		if write[KafkaUsersFile], err = json.MarshalIndent(passwords, "", "  "); err != nil {
			return nil, nil, fmt.Errorf("write the passwords: %w", err)
		}
		changes = append(changes, Change{Part: "secrets", Name: KafkaUsersFile, Action: "write", Detail: dir})
	}
	for _, u := range users {
		name := u.Name + kafkaPassword
		if text := passwords[u.Name] + "\n"; string(have[name]) != text {
			write[name] = []byte(text)
			changes = append(changes, Change{Part: "secrets", Name: name, Action: "write", Detail: dir})
		}
	}
	if execute && len(changes) > 0 {
		changes, err = writeSecrets(dir, changes, write)
	}
	return changes, out, err
}

// users makes the engine's users in Kafka and gives them their rights. Passwords are set at every run, as those of Postgres are.
func users(ctx context.Context, o Options) ([]Change, error) {
	out, passwords, err := keepKafkaUsers(o.Secrets, o.Execute)
	if err != nil {
		return out, err
	}
	changes, err := topology.ProvisionUsers(ctx, o.Kafka, passwords, o.Execute)
	for _, c := range changes {
		out = append(out, Change{Part: "kafka", Name: c.Name, Action: c.Action, Detail: c.Detail})
	}
	return out, err
}
