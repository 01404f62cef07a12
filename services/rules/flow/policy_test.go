package flow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/neuronx/engine/pkg/calendar"
	"github.com/neuronx/engine/services/rules/rulefile"
)

const policyHead = "apiVersion: neuronx/v1\nkind: ContactPolicy\nmetadata: {name: default}\nspec:\n"

func parsedPolicy(text string) (*Policy, rulefile.Problems) {
	left := rulefile.MaxExpressions
	return ParsePolicy("p.yaml", text, Options{Edition: Edition, Left: &left, Reach: reachTests})
}

func TestParsePolicy_HoldsWhatTheFileSays(t *testing.T) {
	p, problems := parsedPolicy(read(t, "testdata/policy.yaml"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	day, week := calendar.Duration{Days: 1}, calendar.Duration{Days: 7}
	if p.Name != "default" || p.Basis["sms"] != OptIn || p.Basis["email"] != OptOut || p.Quiet["call"] != "contact-hours" || len(p.Quiet) != 2 {
		t.Errorf("%+v", p)
	}
	if len(p.Caps) != 2 || p.Caps[0] != (Cap{"sms", 2, day, false}) || p.Caps[1] != (Cap{"*", 5, week, true}) {
		t.Errorf("caps %+v", p.Caps)
	}
	if g := p.Grants; len(g) != 1 || g[0].When == nil || g[0].Lead != nil || g[0].Channel != "email" || g[0].Basis != "box ticked on the web form" {
		t.Errorf("grants %+v", p.Grants)
	}
}

func TestParsePolicy_NamesEveryBadFile(t *testing.T) {
	var all strings.Builder
	for _, c := range []struct{ what, spec, want string }{
		{"nothing", "  {}", "5 no_effect"},
		{"a misspelt key", "  quite_hours: {sms: office}", "5 unknown_key"},
		{"a channel that none is", "  consent: {e-mail: opt_out}", "5 unknown_name"},
		{"a basis that none is", "  consent: {sms: optin}", "5 unknown_value"},
		{"consent as a list", "  consent: [sms]", "5 wrong_kind"},
		{"quiet hours that are written out", "  quiet_hours: {sms: {from: 21}}", "5 wrong_kind"},
		{"a cap without a number", "  caps: [{channel: sms, per: P1D}]", "5 missing_key"},
		{"a cap of none", "  caps: [{channel: sms, most: 0, per: P1D}]", "5 wrong_kind"},
		{"a cap in no time", "  caps: [{channel: sms, most: 1, per: PT0S}]", "5 duration"},
		{"a cap of years", "  caps: [{channel: sms, most: 1, per: P5Y}]", "5 duration"},
		{"a cap twice", "  caps: [{channel: sms, most: 1, per: P1D}, {channel: sms, most: 2, per: P1D}]", "5 duplicate_key"},
		{"a cap that drops", "  caps: [{channel: sms, most: 1, per: P1D, over: drop}]", "5 unknown_value"},
		{"33 caps", "  caps: [" + repeated(33, "{channel: sms, most: 1, per: P%dD},") + "]", "5 too_large"},
		{"a pace of all channels", "  pace: {\"*\": {most: 1, per: PT1M}}", "5 unknown_name"},
		{"a pace without time", "  pace: {sms: {most: 1}}", "5 missing_key"},
		{"a grant without a reason", "  grants: [{on: lead.created, channel: sms}]", "5 missing_key"},
		{"a grant with an empty reason", "  grants: [{on: lead.created, channel: sms, basis: \" \"}]", "5 empty"},
		{"a grant over all channels", "  grants: [{on: lead.created, channel: \"*\", basis: form}]", "5 unknown_name"},
		{"a grant on a text", "  grants: [{on: lead.created, when: '\"x\"', channel: sms, basis: form}]", "5 not_assignable"},
		{"a grant by what is kept", "  grants: [{on: lead.created, when: vars.x, channel: sms, basis: form}]", "5 invalid_expression"},
		{"a grant by the engine", "  grants: [{on: engine.rule.failed, channel: sms, basis: form}]", "5 reserved_trigger"},
	} {
		_, problems := parsedPolicy(policyHead + c.spec + "\n")
		if got := codes(problems); got != c.want {
			t.Errorf("%s: %s, want %s\n%v", c.what, got, c.want, problems)
		}
		fmt.Fprintf(&all, "# %s\n", c.what)
		for _, p := range problems {
			fmt.Fprintln(&all, p)
		}
	}
	golden(t, "testdata/policy-problems.txt", all.String())
}

func TestValidate_NamesWhatDoesNotFitInAPolicy(t *testing.T) {
	c := testCatalogue(t)
	for _, w := range []struct{ what, spec, want string }{
		{"an unknown calendar", "  quiet_hours: {sms: ofice}", "p.yaml:1: error: unknown_name: quiet_hours.sms: the bundle has no calendar ofice; did you mean office?"},
		{"an unknown type", "  grants: [{on: lead.craeted, channel: sms, basis: form}]", "p.yaml:5: error: unknown_type: grants.on: no schema has the type lead.craeted; did you mean lead.created?"},
		{"an unknown field", "  grants: [{on: lead.created, when: data.chanel == \"form\", channel: sms, basis: form}]", "error: unknown_field: each entry of grants.when: data.chanel"},
		{"nobody's consent", "  grants: [{on: rules.published, channel: sms, basis: form}]", "p.yaml:5: error: missing_key: grants: rules.published has no lead_id; say whose consent it is by lead"},
		{"a lead that is a number", "  grants: [{on: lead.scored, lead: data.score, channel: sms, basis: form}]", "error: not_assignable: each entry of grants.lead gives int and must give string"},
	} {
		p, problems := parsedPolicy(policyHead + w.spec + "\n")
		if len(problems) > 0 {
			t.Fatalf("%s: %v", w.what, problems)
		}
		problems, err := Validate(t.Context(), nil, p, c, Edition, names)
		if err != nil || !strings.Contains(fmt.Sprint(problems), w.want) {
			t.Errorf("%s: %v, %v\nwant %s", w.what, problems, err, w.want)
		}
	}
}
