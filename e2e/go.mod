module github.com/neuronx/engine/e2e

go 1.26.0

require github.com/neuronx/engine v0.0.0

replace github.com/neuronx/engine => ../
