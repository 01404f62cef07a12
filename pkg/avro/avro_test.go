package avro

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// everything has every type and logical type that is served, in every position that matters.
const everything = `{"type":"record","name":"Everything","namespace":"test.v1","event_type":"test.everything","fields":[
	{"name":"b","type":"boolean"},
	{"name":"i","type":"int","default":-7},
	{"name":"l","type":"long"},
	{"name":"f","type":"float","default":0.5},
	{"name":"d","type":"double"},
	{"name":"by","type":"bytes","default":"\u00ff\u0001"},
	{"name":"s","type":"string"},
	{"name":"fx","type":{"type":"fixed","name":"Four","size":4}},
	{"name":"e","type":{"type":"enum","name":"Color","symbols":["RED","GREEN"],"default":"RED"},"default":"GREEN"},
	{"name":"id","type":{"type":"string","logicalType":"uuid"}},
	{"name":"date","type":{"type":"int","logicalType":"date"}},
	{"name":"tms","type":{"type":"int","logicalType":"time-millis"}},
	{"name":"tus","type":{"type":"long","logicalType":"time-micros"}},
	{"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"us","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
	{"name":"money","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":4}},
	{"name":"rate","type":[{"type":"fixed","name":"Sixteen","size":16,"logicalType":"decimal","precision":38,"scale":0},"null"]},
	{"name":"inner","type":{"type":"record","name":"Inner","fields":[{"name":"x","type":"string","pii":"name","pii_subject":"s"},{"name":"c","type":"Color"}]}},
	{"name":"list","type":{"type":"array","items":{"type":"array","items":["null","Inner"]}},"default":[]},
	{"name":"maybe","type":["null","Inner"],"default":null},
	{"name":"any","type":["null","boolean","long","string",{"type":"array","items":"int"},"Inner"]},
	{"name":"def","type":"Inner","default":{"x":"y","c":"GREEN"}}
]}`

const everythingJSON = `{"b":true,"i":-2147483648,"l":9007199254740993,"f":0.1,"d":-1e-7,"by":"AP8B","s":"Grüße \u2028 \"x\"","fx":"AAECAw==",` +
	`"e":"RED","id":"018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f","date":"1969-12-31","tms":"23:59:59.999","tus":"00:00:00.000001",` +
	`"ms":"0001-01-01T00:00:00.000Z","us":"9999-12-31T23:59:59.999999Z","money":"-99999999999999.9999",` +
	`"rate":"99999999999999999999999999999999999999","inner":{"x":"","c":"GREEN"},"list":[[null,{"x":"a","c":"RED"}],[]],` +
	`"maybe":{"x":"m","c":"RED"},"any":[1,-1],"def":{"x":"d","c":"RED"}}`

func mustParse(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	return s
}

// of returns a record schema whose fields have these types, named f0, f1 …
func of(types ...string) string {
	var b strings.Builder
	for i, typ := range types {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"f%d","type":%s}`, i, typ)
	}
	return `{"type":"record","name":"R","namespace":"test.v1","fields":[` + b.String() + `]}`
}

// cheap fails the test when fn allocates more than mebibytes, or takes more than five seconds: what it guards against
// takes minutes or the machine, and the machine of a test may be busy.
func cheap(t *testing.T, mebibytes uint64, fn func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	fn()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > mebibytes {
		t.Errorf("allocated %d MiB, more than %d", used, mebibytes)
	}
	if took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func zigzag(v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	var b []byte
	for u >= 0x80 {
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}

func cat(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
