// Package containers proves the engine on container images: apache/kafka and postgres started by testcontainers with services in the
// process, and the repository's docker-compose.yml as a whole. Its tests need Docker, the compose plugin and the build tag containers;
// without Docker they fail.
//
// NEURONX_IMAGE names an image of the engine that is built already; otherwise the test of docker-compose.yml builds one.
package containers
