package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/neuronx/engine/services/neuronx/operate"
)

// tenantOf is the tenant that a command line names, by the flag --tenant or the argument <tenant>; empty: none, or one that need not
// be there yet.
func tenantOf(cmd *cobra.Command, args []string) string {
	if cmd.Annotations[newTenant] != "" {
		return ""
	}
	if f := cmd.Flags().Lookup("tenant"); f != nil && f.Value.Type() == "string" {
		return f.Value.String()
	}
	if _, placeholder, _ := strings.Cut(cmd.Use, " "); (placeholder == "<tenant>" || strings.HasPrefix(placeholder, "<tenant> ")) && len(args) >= 1 {
		return args[0]
	}
	return ""
}

// newTenant marks a command whose tenant need not be there: it makes it, or asks only the HTTP endpoint, which knows its own.
const newTenant = "tenant may be unknown"

// nearFlag finds the flag that an unknown one was probably meant to be.
func nearFlag(cmd *cobra.Command, message string) string {
	_, name, ok := strings.Cut(message, "unknown flag: --")
	if !ok {
		return ""
	}
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	if near := operate.Nearest(name, names); near != "" {
		return "--" + near
	}
	return ""
}
