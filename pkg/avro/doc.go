// Package avro is everything the engine knows about Avro: reading schemas, checking bodies, encoding checked JSON,
// decoding checked bodies, and the rules a schema of the catalogue must keep.
//
// # What is authoritative
//
// A schema is authoritative in its own text. [Parse] reads it with the bounds below into an immutable [Schema]; the
// canonical text (RFC 8785) is what is registered and hashed, so two files that differ only in layout are one schema.
// Data is valid under a schema when [Schema.Check] says so: it walks the body once, builds no value, allocates
// nothing, and is strict where the libraries underneath are not (UTF-8, NUL, uuid, decimal precision, minimal
// varints, trailing bytes). Everything that reads a body from outside calls it first.
//
// # How it fails
//
//   - A schema that is too big, too deep, recursive, has maps, or anything else that would make the codecs
//     underneath allocate without bound or encode one value in two ways is refused by [Parse] with a [*SchemaError],
//     before any of those codecs sees it.
//   - A body that does not decode exactly is refused by Check with a [*BodyError] that holds the offset and the field.
//   - JSON that does not fit is refused by [Schema.EncodeJSON] with an [*InvalidError] that holds every problem found.
//
// JSON is encoded by [Transcoder] straight from its tokens; what that does not take goes by way of Go values and goavro, which
// is also what names all that is wrong. The two are held against each other by FuzzTranscode, byte for byte.
//
// goavro encodes defaults, and trees that were checked here before, and nothing else: it must never decode bytes or JSON from
// outside, because a few bytes make it allocate gigabytes. twmb/avro decodes bodies that Check accepted, and answers
// whether two schemas are compatible.
//
// More than fifteen files: every file is one operation on the same unexported tree of a schema (check, encode, decode, transcode, compare, render), which is
// what keeps that tree out of the hands of callers.
package avro
