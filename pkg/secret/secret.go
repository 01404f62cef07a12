// Package secret has the one type of texts that must not be shown: passwords, tokens, URLs with one of them inside.
package secret

import "log/slog"

// Redacted stands where a secret would.
const Redacted = "[redacted]"

// Text is a secret that hides itself wherever it is printed, logged or encoded. As a flag it is a pflag.Value.
type Text string

// Reveal is the only way to the value.
func (s Text) Reveal() string { return string(s) }

// String implements fmt.Stringer and hides the value.
func (s Text) String() string {
	if s == "" {
		return ""
	}
	return Redacted
}

// GoString hides the value from %#v.
func (s Text) GoString() string { return Redacted }

// LogValue hides the value from slog.
func (s Text) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from encoders.
func (s Text) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Set implements pflag.Value.
func (s *Text) Set(v string) error { *s = Text(v); return nil }

// Type implements pflag.Value.
func (s *Text) Type() string { return "secret" }
