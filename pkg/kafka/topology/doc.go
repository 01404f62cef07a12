// Package topology is what the engine declares about a cluster: its topics (topics.yaml), its users and their rights (access.yaml), and what
// each tenant with access of its own gets. Plan says what is missing, Provision and Perform make it so, Check and Findings tell what would
// lose data. Planning and judging are pure; only provisioning creates anything, never a service in passing.
package topology
