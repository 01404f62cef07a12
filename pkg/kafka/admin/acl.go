package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/neuronx/engine/pkg/app"
)

// scramIterations is what Kafka's own tool uses for SCRAM-SHA-512. Passwords are random (130 bits), so more would buy nothing.
const scramIterations = 4096

// ProducerByteRate is the name of the quota on what a user's producers send, in bytes a second and broker.
const ProducerByteRate = "producer_byte_rate"

const principalPrefix = "User:"

// Grants returns the rights that a user has, sorted. Rights of everybody (User:*) are not among them.
func (a *Client) Grants(ctx context.Context, user string) ([]Grant, error) {
	principal := principalPrefix + user
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	req.Principal, req.Operation, req.PermissionType = &principal, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAllow
	answer, err := kmsgRequest[*kmsg.DescribeACLsResponse](ctx, a, req)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return nil, aclError("list the rights of "+user, err)
	}
	var out []Grant
	for _, r := range answer.Resources {
		for _, acl := range r.ACLs {
			out = append(out, Grant{
				User: user, Resource: r.ResourceType, Name: r.ResourceName, Operation: acl.Operation,
				Prefixed: r.ResourcePatternType == kmsg.ACLResourcePatternTypePrefixed,
			})
		}
	}
	SortGrants(out)
	return out, nil
}

// Grant adds rights.
func (a *Client) Grant(ctx context.Context, grants []Grant) error {
	if len(grants) == 0 {
		return nil
	}
	req := kmsg.NewPtrCreateACLsRequest()
	for _, g := range grants {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = g.Resource, g.Name, g.pattern()
		c.Principal, c.Host, c.Operation, c.PermissionType = principalPrefix+g.User, "*", g.Operation, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	answer, err := kmsgRequest[*kmsg.CreateACLsResponse](ctx, a, req)
	if err != nil {
		return aclError("grant rights", err)
	}
	for i, r := range answer.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return aclError("grant "+grants[i].User+" "+grants[i].String(), err)
		}
	}
	return nil
}

// Withdraw takes rights away; those that are not there are no error.
func (a *Client) Withdraw(ctx context.Context, grants []Grant) error {
	if len(grants) == 0 {
		return nil
	}
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, g := range grants {
		f := kmsg.NewDeleteACLsRequestFilter()
		principal, name := principalPrefix+g.User, g.Name
		f.ResourceType, f.ResourceName, f.ResourcePatternType = g.Resource, &name, g.pattern()
		f.Principal, f.Operation, f.PermissionType = &principal, g.Operation, kmsg.ACLPermissionTypeAllow
		req.Filters = append(req.Filters, f)
	}
	answer, err := kmsgRequest[*kmsg.DeleteACLsResponse](ctx, a, req)
	if err != nil {
		return aclError("withdraw rights", err)
	}
	for i, r := range answer.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return aclError("withdraw from "+grants[i].User+" "+grants[i].String(), err)
		}
	}
	return nil
}

func (g Grant) pattern() kmsg.ACLResourcePatternType {
	if g.Prefixed {
		return kmsg.ACLResourcePatternTypePrefixed
	}
	return kmsg.ACLResourcePatternTypeLiteral
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

func kmsgRequest[R kmsg.Response](ctx context.Context, a *Client, req kmsg.Request) (R, error) {
	var none R
	answer, err := a.client.Request(ctx, req)
	if err != nil {
		return none, err
	}
	r, ok := answer.(R)
	if !ok {
		return none, fmt.Errorf("kafka: unexpected answer %T", answer)
	}
	return r, nil
}

func aclError(what string, err error) error {
	if errors.Is(err, kerr.SecurityDisabled) {
		return fmt.Errorf("kafka: %s: %w", what, ErrNoAuthorizer)
	}
	return fmt.Errorf("kafka: %s: %w", what, err)
}

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
	return fmt.Sprintf("%s %s %s%s", lower(g.Operation.String()), lower(g.Resource.String()), g.Name, star)
}

func lower(s string) string { return string(bytes.ToLower([]byte(s))) }

// SortGrants sorts by user, resource, name and operation.
func SortGrants(gs []Grant) {
	slices.SortFunc(gs, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Operation, b.Operation))
	})
}

// ErrNoAuthorizer says that the cluster keeps no rights: everybody may do everything there.
var ErrNoAuthorizer = errors.New("kafka: the brokers have no authorizer (authorizer.class.name), so rights can be neither set nor asked for")
