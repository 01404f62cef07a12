// Package kafka is the one place that speaks to Kafka.
package kafka
