// Package imports connects an import of past facts to an engine: which key and tenant it is for, which schemas rows are checked against,
// where they are sent and what the archive holds of earlier imports. The import itself is services/neuronx/importer.
package imports
