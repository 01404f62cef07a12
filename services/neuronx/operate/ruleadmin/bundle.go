package ruleadmin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/expr"
	"github.com/neuronx/engine/services/neuronx/operate"
	"github.com/neuronx/engine/services/rules/ruleset"
)

// Bundle is one version of a tenant's whole set of rules. Version 0: the tenant never published rules.
type Bundle struct {
	Tenant    string    `json:"tenant_id"`
	Version   int64     `json:"version"`
	Sequence  string    `json:"sequence"` // a string: it passes 2^53
	Hash      string    `json:"hash"`
	Semantics int64     `json:"semantics"`
	Files     int       `json:"files"`
	By        string    `json:"by,omitempty"`
	Published time.Time `json:"published_at"`
	Tripped   []string  `json:"tripped"` // rules that are off
}

// List returns the bundles in force, or with all also earlier ones, newest first: of one tenant, or of all for "", at most limit.
func List(ctx context.Context, env *operate.Env, tenant string, all bool, limit int) ([]Bundle, error) {
	return operate.Rows(ctx, env, "list rules", pgx.RowToStructByPos[Bundle], `SELECT b.tenant_id, b.version, b.sequence::text, b.hash, b.semantics, json_array_length(b.files), b.published_by, b.published_at,
		coalesce((SELECT array_agg(h.rule ORDER BY h.rule) FROM neuronx.rule_health h WHERE h.tenant_id = b.tenant_id AND h.tripped <> ''), '{}')
		FROM neuronx.rule_bundles b
		WHERE ($1 = '' OR b.tenant_id = $1) AND ($2 OR b.sequence = (SELECT max(sequence) FROM neuronx.rule_bundles n WHERE n.tenant_id = b.tenant_id))
		ORDER BY b.tenant_id, b.sequence DESC LIMIT $3`, tenant, all, limit)
}

// load returns a version of a tenant's bundle with its files; version 0 is the one in force.
func load(ctx context.Context, env *operate.Env, tenant string, version int64) ([]ruleset.File, Bundle, error) {
	b := Bundle{Tenant: tenant}
	var text []byte
	// An unqualified ORDER BY sequence would sort by the column of the result, a text, in which 9 comes after 10.
	found, err := env.Row(ctx, "read the rules in force", []any{&b.Version, &b.Sequence, &b.Hash, &b.Semantics, &b.By, &b.Published, &text}, `SELECT b.version, b.sequence::text, b.hash, b.semantics, b.published_by, b.published_at, b.files FROM neuronx.rule_bundles b
		WHERE b.tenant_id = $1 AND ($2 = 0 OR b.version = $2) ORDER BY b.sequence DESC LIMIT 1`, tenant, version)
	if err != nil || !found {
		return nil, b, err
	}
	var files []ruleset.File
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, b, operate.Fail("read the rules in force", err)
	}
	b.Files = len(files)
	return files, b, nil
}

// Shown is a bundle with its texts.
type Shown struct {
	Bundle
	Texts []Text `json:"texts"`
}

// Text is one rule of a bundle, as it was published.
type Text struct {
	Rule string `json:"rule"`
	File string `json:"file"`
	Off  string `json:"off,omitempty"` // "tripped": the rule is off
	Text string `json:"text"`
}

// Show returns the texts in force, or those of an earlier version, which need not be what lies in a folder; with a rule's name only that one.
func Show(ctx context.Context, env *operate.Env, tenant string, version int64, only ...string) (Shown, error) {
	files, b, err := load(ctx, env, tenant, version)
	switch {
	case err != nil:
		return Shown{}, err
	case b.Version == 0 && version > 0:
		return Shown{}, operate.Fail("show the rules", nil).Because("%s never published a version %d", tenant, version).Hint("`neuronx rules list --all --tenant %s` lists the versions", tenant)
	case b.Version == 0:
		return Shown{}, operate.Fail("show the rules", nil).Because("%s never published rules", tenant).Hint("neuronx rules publish <folder> --tenant %s", tenant)
	}
	shown := Shown{Bundle: b, Texts: []Text{}}
	off, err := tripped(ctx, env, tenant)
	if err != nil {
		return Shown{}, err
	}
	shown.Tripped = operate.Each(off, func(t Tripped) string { return t.Rule })
	names := operate.Each(files, ruleset.RuleName)
	for i, f := range files {
		if len(only) > 0 && !slices.Contains(only, names[i]) {
			continue
		}
		t := Text{Rule: names[i], File: f.Name, Text: f.Text}
		if slices.Contains(shown.Tripped, t.Rule) {
			t.Off = "tripped"
		}
		shown.Texts = append(shown.Texts, t)
	}
	if len(only) == 0 || len(shown.Texts) > 0 {
		return shown, nil
	}
	e := operate.Fail("show the rules", nil).Because("version %d of %s has no rule %q", b.Version, tenant, only[0])
	if near := expr.Nearest(only[0], names); near != "" {
		return Shown{}, e.Hint("did you mean %s?", near)
	}
	if len(names) == 0 {
		return Shown{}, e.Hint("that version has no rules at all")
	}
	return Shown{}, e.Hint("it has %s", strings.Join(names, ", "))
}

// checkRule refuses a rule that the tenant's rules in force do not have.
func checkRule(ctx context.Context, env *operate.Env, tenant, rule string) error {
	files, b, err := load(ctx, env, tenant, 0)
	if err != nil {
		return err
	}
	names := operate.Each(files, ruleset.RuleName)
	if slices.Contains(names, rule) {
		return nil
	}
	e := operate.Unknown("rule", rule, names, "`neuronx rules show --tenant "+tenant+"`")
	if b.Version == 0 {
		return e.Hint("%s has no rules; `neuronx rules publish <file or folder> --tenant %s` publishes some", tenant, tenant)
	}
	return e
}
