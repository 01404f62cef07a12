package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/app"
)

// Resource is a kind of thing in Kafka that somebody may have a right to.
type Resource = kmsg.ACLResourceType

// Operation is what somebody may do with it.
type Operation = kmsg.ACLOperation

// Grant is one right of one user; a set of them is what an authorizer keeps.
type Grant struct {
	User      string
	Resource  Resource
	Name      string
	Prefixed  bool // all names that begin so
	Operation Operation
}

// String writes it for people: write topic neuronx.ingress.
func (g Grant) String() string {
	star := ""
	if g.Prefixed {
		star = "*"
	}
	return fmt.Sprintf("%s %s %s%s", strings.ToLower(g.Operation.String()), strings.ToLower(g.Resource.String()), g.Name, star)
}

// SortGrants sorts by user, resource, name and operation.
func SortGrants(gs []Grant) {
	slices.SortFunc(gs, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Operation, b.Operation))
	})
}

// ErrNoAuthorizer says that the cluster keeps no rights: everybody may do everything there.
var ErrNoAuthorizer = errors.New("kafka: the brokers have no authorizer (authorizer.class.name), so rights can be neither set nor asked for")

// scramIterations is what Kafka's own tool uses for SCRAM-SHA-512. Passwords are random (130 bits), so more would buy nothing.
const scramIterations = 4096

// ProducerByteRate is the name of the quota on what a user's producers send, in bytes a second and broker.
const ProducerByteRate = "producer_byte_rate"

// Grants returns the rights that a user has, sorted. Rights of everybody (User:*) are not among them.
func (a *Client) Grants(ctx context.Context, user string) ([]Grant, error) {
	answer, err := a.kadm.DescribeACLs(ctx, allowed(user, kadm.ACLPatternAny).AnyResource().Operations())
	var out []Grant
	for _, r := range answer {
		err = errors.Join(err, r.Err)
		for _, d := range r.Described {
			out = append(out, Grant{User: user, Resource: d.Type, Name: d.Name, Operation: d.Operation, Prefixed: d.Pattern == kadm.ACLPatternPrefixed})
		}
	}
	if err != nil {
		return nil, aclError("list the rights of "+user, err)
	}
	SortGrants(out)
	return out, nil
}

// Grant adds a right.
func (a *Client) Grant(ctx context.Context, g Grant) error {
	answer, err := a.kadm.CreateACLs(ctx, g.acl())
	for _, r := range answer {
		err = errors.Join(err, r.Err)
	}
	if err == nil && len(answer) != 1 {
		err = fmt.Errorf("%d rights were created instead of one", len(answer))
	}
	if err != nil {
		return aclError("grant "+g.User+" "+g.String(), err)
	}
	return nil
}

// Withdraw takes a right away; one that is not there is no error.
func (a *Client) Withdraw(ctx context.Context, g Grant) error {
	answer, err := a.kadm.DeleteACLs(ctx, g.acl())
	for _, r := range answer {
		err = errors.Join(err, r.Err)
		for _, d := range r.Deleted {
			err = errors.Join(err, d.Err)
		}
	}
	if err != nil {
		return aclError("withdraw from "+g.User+" "+g.String(), err)
	}
	return nil
}

// allowed are what a user is allowed, from any host.
func allowed(user string, pattern kadm.ACLPattern) *kadm.ACLBuilder {
	return kadm.NewACLs().Allow("User:" + user).AllowHosts().ResourcePatternType(pattern)
}

// acl is the one right.
func (g Grant) acl() *kadm.ACLBuilder {
	b := allowed(g.User, kadm.ACLPatternLiteral).Operations(g.Operation)
	if g.Prefixed {
		b.ResourcePatternType(kadm.ACLPatternPrefixed)
	}
	switch g.Resource {
	case kmsg.ACLResourceTypeTopic:
		return b.Topics(g.Name)
	case kmsg.ACLResourceTypeGroup:
		return b.Groups(g.Name)
	case kmsg.ACLResourceTypeTransactionalId:
		return b.TransactionalIDs(g.Name)
	case kmsg.ACLResourceTypeDelegationToken:
		return b.DelegationTokens(g.Name)
	case kmsg.ACLResourceTypeCluster:
		return b.Clusters()
	}
	// The library has no word for a right to a user. Its operations are those of no other kind, so the name is enough to withdraw it.
	return b.AnyResource(g.Name)
}

// HasUser reports whether there is a user with a SCRAM-SHA-512 password.
func (a *Client) HasUser(ctx context.Context, user string) (bool, error) {
	answer, err := a.kadm.DescribeUserSCRAMs(ctx, user)
	if err != nil {
		return false, fmt.Errorf("kafka: describe user %s: %w", user, err)
	}
	d, ok := answer[user]
	if errors.Is(d.Err, kerr.ResourceNotFound) {
		return false, nil
	}
	if d.Err != nil {
		return false, fmt.Errorf("kafka: describe user %s: %w", user, d.Err)
	}
	for _, c := range d.CredInfos {
		if c.Mechanism == kadm.ScramSha512 {
			return ok, nil
		}
	}
	return false, nil
}

// SetPassword makes a user, or gives it another password. Connections that are open stay so.
func (a *Client) SetPassword(ctx context.Context, user string, password app.Secret) error {
	answer, err := a.kadm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{
		{User: user, Mechanism: kadm.ScramSha512, Iterations: scramIterations, Password: password.Reveal()},
	})
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		return fmt.Errorf("kafka: set the password of %s: %w", user, err)
	}
	return nil
}

// DeleteUser removes a user's password; one that is not there is no error. Connections that are open stay so, which is why rights are
// withdrawn first.
func (a *Client) DeleteUser(ctx context.Context, user string) error {
	answer, err := a.kadm.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha512}}, nil)
	if err == nil {
		err = answer.Error()
	}
	if err != nil && !errors.Is(err, kerr.ResourceNotFound) {
		return fmt.Errorf("kafka: delete user %s: %w", user, err)
	}
	return nil
}

// ProducerRate is a user's quota in bytes a second, as every broker applies it; 0: none of its own.
func (a *Client) ProducerRate(ctx context.Context, user string) (int64, error) {
	answer, err := a.kadm.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{{Type: "user", MatchName: &user}})
	if err != nil {
		return 0, fmt.Errorf("kafka: describe the quota of %s: %w", user, err)
	}
	for _, q := range answer {
		for _, v := range q.Values {
			if v.Key == ProducerByteRate {
				return int64(v.Value), nil
			}
		}
	}
	return 0, nil
}

// SetProducerRate sets a user's quota in bytes a second, as every broker applies it; 0 removes it.
func (a *Client) SetProducerRate(ctx context.Context, user string, rate int64) error {
	answer, err := a.kadm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: ProducerByteRate, Value: float64(rate), Remove: rate == 0}},
	}})
	for _, q := range answer {
		err = errors.Join(err, q.Err)
	}
	if err != nil {
		return fmt.Errorf("kafka: set the quota of %s: %w", user, err)
	}
	return nil
}

func aclError(what string, err error) error {
	if errors.Is(err, kerr.SecurityDisabled) {
		return fmt.Errorf("kafka: %s: %w", what, ErrNoAuthorizer)
	}
	return fmt.Errorf("kafka: %s: %w", what, err)
}
