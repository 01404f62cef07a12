#!/usr/bin/env bash
# Prints lines for a broker's server.properties that add a listener with SASL (PLAIN for the administrator, SCRAM-SHA-512 for those that
# the engine makes, again every 15 s) and an authorizer. On the plain listener everybody is the administrator: for tests, on loopback.
#   secure-kafka.sh PLAIN_PORT CONTROLLER_PORT SASL_PORT ADMIN_PASSWORD
set -euo pipefail
cat <<PROPS
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2,SASL://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$1,SASL://127.0.0.1:$3
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_admin="$4";
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:admin
listener.name.sasl.scram-sha-512.connections.max.reauth.ms=15000
PROPS
