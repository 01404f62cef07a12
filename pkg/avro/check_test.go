package avro

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheck_AcceptsAndRefusesByType(t *testing.T) {
	decimal := `{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`
	wide := `{"type":"fixed","name":"F","size":16,"logicalType":"decimal","precision":38}`
	union := `["null","boolean","string"]`
	ten38 := []byte{0x4b, 0x3b, 0x4c, 0xa8, 0x5a, 0x86, 0xc4, 0x7a, 0x09, 0x8a, 0x22, 0x40, 0, 0, 0, 0} // 10^38
	minus38 := make([]byte, 16)
	for i, c := range ten38 { // -10^38 is ^(10^38 - 1)
		minus38[i] = ^c
	}
	minus38[11], minus38[12], minus38[13], minus38[14], minus38[15] = 0xc0, 0, 0, 0, 0
	below := bytes.Clone(ten38) // 10^38 - 1
	below[11], below[12], below[13], below[14], below[15] = 0x3f, 0xff, 0xff, 0xff, 0xff
	for name, c := range map[string]struct {
		typ  string
		body []byte
		ok   bool
	}{
		"true":                     {`"boolean"`, []byte{1}, true},
		"boolean 2":                {`"boolean"`, []byte{2}, false},
		"int max":                  {`"int"`, zigzag(math.MaxInt32), true},
		"int beyond":               {`"int"`, zigzag(math.MaxInt32 + 1), false},
		"long min":                 {`"long"`, zigzag(math.MinInt64), true},
		"long of 11 bytes":         {`"long"`, append(bytes.Repeat([]byte{0x80}, 10), 1), false},
		"long beyond 64 bits":      {`"long"`, append(bytes.Repeat([]byte{0xff}, 9), 2), false},
		"long padded":              {`"long"`, []byte{0x82, 0x00}, false},
		"long cut":                 {`"long"`, []byte{0x82}, false},
		"float":                    {`"float"`, []byte{0, 0, 0x80, 0x3f}, true},
		"float NaN":                {`"float"`, []byte{0, 0, 0xc0, 0x7f}, false},
		"float infinite":           {`"float"`, []byte{0, 0, 0x80, 0xff}, false},
		"float cut":                {`"float"`, []byte{0, 0, 0x80}, false},
		"double infinite":          {`"double"`, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x7f}, false},
		"double":                   {`"double"`, []byte{0, 0, 0, 0, 0, 0, 0xe0, 0x7f}, true},
		"text":                     {`"string"`, cat(zigzag(9), []byte("\xc3\xa4bcdefgh")), true},
		"text empty":               {`"string"`, []byte{0}, true},
		"text not UTF-8":           {`"string"`, cat(zigzag(10), []byte("abcdefghi\xff")), false},
		"text with surrogate":      {`"string"`, cat(zigzag(3), []byte("\xed\xa0\x80")), false},
		"text overlong":            {`"string"`, cat(zigzag(2), []byte("\xc0\x80")), false},
		"text with NUL":            {`"string"`, cat(zigzag(12), []byte("abc\x00efghijkl")), false},
		"text with NUL at the end": {`"string"`, cat(zigzag(9), []byte("abcdefgh\x00")), false},
		"text with NUL after ä":    {`"string"`, cat(zigzag(3), []byte("\xc3\xa4\x00")), false},
		"length negative":          {`"string"`, zigzag(-1), false},
		"length min":               {`"string"`, zigzag(math.MinInt64), false},
		"length huge":              {`"bytes"`, zigzag(math.MaxInt64), false},
		"length 2^31":              {`"bytes"`, zigzag(1 << 31), false},
		"bytes":                    {`"bytes"`, cat(zigzag(3), []byte{0, 0xff, 0}), true},
		"fixed cut":                {`{"type":"fixed","name":"F","size":4}`, []byte{1, 2, 3}, false},
		"symbol":                   {`{"type":"enum","name":"E","symbols":["A","B"]}`, zigzag(1), true},
		"symbol 2":                 {`{"type":"enum","name":"E","symbols":["A","B"]}`, zigzag(2), false},
		"symbol -1":                {`{"type":"enum","name":"E","symbols":["A","B"]}`, zigzag(-1), false},
		"uuid":                     {`{"type":"string","logicalType":"uuid"}`, cat(zigzag(36), []byte("018F3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0f")), true},
		"uuid without dashes":      {`{"type":"string","logicalType":"uuid"}`, cat(zigzag(32), []byte("018f3c1e7b2a7d109c4e5a6b7c8d9e0f")), false},
		"uuid with g":              {`{"type":"string","logicalType":"uuid"}`, cat(zigzag(36), []byte("018f3c1e-7b2a-7d10-9c4e-5a6b7c8d9e0g")), false},
		"uuid empty":               {`{"type":"string","logicalType":"uuid"}`, []byte{0}, false},
		"date":                     {`{"type":"int","logicalType":"date"}`, zigzag(2932896), true},
		"date of year 10000":       {`{"type":"int","logicalType":"date"}`, zigzag(2932897), false},
		"time of day":              {`{"type":"int","logicalType":"time-millis"}`, zigzag(86_399_999), true},
		"time of 24 h":             {`{"type":"int","logicalType":"time-millis"}`, zigzag(86_400_000), false},
		"time negative":            {`{"type":"long","logicalType":"time-micros"}`, zigzag(-1), false},
		"moment of year 1":         {`{"type":"long","logicalType":"timestamp-micros"}`, zigzag(-62135596800_000_000), true},
		"moment of year 0":         {`{"type":"long","logicalType":"timestamp-micros"}`, zigzag(-62135596800_000_001), false},
		"moment max":               {`{"type":"long","logicalType":"timestamp-millis"}`, zigzag(math.MaxInt64), false},
		"decimal":                  {decimal, []byte{4, 0x27, 0x0f}, true},  // 99.99
		"decimal too big":          {decimal, []byte{4, 0x27, 0x10}, false}, // 100.00
		"decimal negative":         {decimal, []byte{4, 0xd8, 0xf1}, true},
		"decimal too small":        {decimal, []byte{4, 0xd8, 0xf0}, false},
		"decimal too long":         {decimal, []byte{8, 0, 0, 0, 1}, false},
		"decimal empty":            {decimal, []byte{0}, false},
		"decimal 10^38":            {wide, ten38, false},
		"decimal 10^38-1":          {wide, below, true},
		"decimal -10^38":           {wide, minus38, false},
		"decimal -2^127":           {wide, append([]byte{0x80}, make([]byte, 15)...), false},
		"branch null":              {union, []byte{0}, true},
		"branch boolean":           {union, []byte{2, 1}, true},
		"branch 3":                 {union, []byte{6}, false},
		"branch -1":                {union, []byte{1}, false},
		"branch padded":            {union, []byte{0x80, 0}, false},
		"null first":               {`["null","int"]`, []byte{0}, true},
		"null last":                {`["int","null"]`, []byte{2}, true},
		"value where null is last": {`["int","null"]`, []byte{0, 4}, true},
		"nullable branch 2":        {`["null","int"]`, []byte{4}, false},
		"nullable branch -1":       {`["null","int"]`, []byte{1}, false},
		"nullable cut":             {`["null","int"]`, []byte{2}, false},
		"array":                    {`{"type":"array","items":"int"}`, cat(zigzag(2), zigzag(1), zigzag(2), zigzag(1), zigzag(3), []byte{0}), true},
		"array empty":              {`{"type":"array","items":"int"}`, []byte{0}, true},
		"array without end":        {`{"type":"array","items":"int"}`, cat(zigzag(1), zigzag(1)), false},
		"block with its size":      {`{"type":"array","items":"int"}`, cat(zigzag(-2), zigzag(2), zigzag(1), zigzag(2), []byte{0}), true},
		"block with a false size":  {`{"type":"array","items":"int"}`, cat(zigzag(-2), zigzag(1), zigzag(1), zigzag(2), []byte{0}), false},
		"block with size -1":       {`{"type":"array","items":"int"}`, cat(zigzag(-2), zigzag(-1), zigzag(1), zigzag(2), []byte{0}), false},
		"block of min":             {`{"type":"array","items":"int"}`, cat(zigzag(math.MinInt64), zigzag(1), []byte{0}), false},
		"nothing":                  {`"int"`, nil, false},
		"something left":           {`"int"`, []byte{0, 0}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, of(c.typ))
			err := s.Check(c.body)
			if (err == nil) != c.ok {
				t.Fatalf("%x: %v", c.body, err)
			}
			if _, ok := errors.AsType[*BodyError](err); !ok && err != nil {
				t.Errorf("%T is not a BodyError", err)
			}
			if err == nil {
				agree(t, s, c.body)
			}
		})
	}
}

// agree fails when something that reads checked bodies does not read body, or reads it differently.
func agree(t *testing.T, s *Schema, body []byte) {
	t.Helper()
	values, err := s.Decode(body)
	if err != nil {
		t.Fatalf("the check passed, Decode says %v for %x", err, body)
	}
	rendered, err := s.RenderJSON(body)
	if err != nil {
		t.Fatalf("the check passed, RenderJSON says %v for %x", err, body)
	}
	fromValues, err := s.EncodeMap(values)
	if err != nil {
		t.Fatalf("decoded values of %x do not encode: %v", body, err)
	}
	fromJSON, err := s.EncodeJSON(rendered)
	if err != nil {
		t.Fatalf("rendered %s does not encode: %v", rendered, err)
	}
	if !bytes.Equal(fromValues, fromJSON) {
		t.Fatalf("%x encodes from values as %x, from JSON as %x", body, fromValues, fromJSON)
	}
	again, err := s.RenderJSON(fromJSON)
	if err != nil || !bytes.Equal(again, rendered) {
		t.Fatalf("%x renders as %s, and after encoding as %s (%v)", body, rendered, again, err)
	}
}

// Decoder bombs: each kills or stalls a decoder that trusts the counts in a body.
func TestCheck_RefusesBombsCheaply(t *testing.T) {
	array := func(items string) *Schema { return mustParse(t, of(`{"type":"array","items":`+items+`}`)) }
	blocks := func(n int, count int64, item []byte) []byte {
		var b []byte
		for range n {
			b = append(b, zigzag(count)...)
			b = append(b, bytes.Repeat(item, int(count))...)
		}
		return append(b, 0)
	}
	wide := `{"type":"record","name":"W","fields":[` + strings.TrimSuffix(strings.Repeat(`{"name":"x","type":"boolean"},`, 1), ",") + `]}`
	for name, c := range map[string]struct {
		s    *Schema
		body []byte
	}{
		"five bytes ask for 32 GiB":  {array(`"int"`), zigzag(2147483647)},
		"four bytes of 20 million":   {array(`"string"`), zigzag(20_000_000)},
		"count of 2^62":              {array(`"int"`), append(zigzag(1<<62), 0)},
		"negative count":             {array(`"int"`), cat(zigzag(-2147483648), zigzag(2147483647))},
		"nested counts":              {array(`{"type":"array","items":{"type":"array","items":"int"}}`), bytes.Repeat([]byte{0xfe, 0xff, 0xff, 0x0f}, 1000)},
		"100,001 items":              {array(`"boolean"`), blocks(1, MaxItems+1, []byte{1})},
		"100,001 items in blocks":    {array(`"boolean"`), blocks(MaxItems/1000+1, 1000, []byte{1})},
		"a million small records":    {array(wide), blocks(1000, 1000, []byte{1})},
		"a million empty arrays":     {array(`{"type":"array","items":"int"}`), blocks(1, 1_000_000, []byte{0})},
		"2 MiB and one byte":         {mustParse(t, of(`"bytes"`)), make([]byte, MaxBody+1)},
		"2 MiB of continuation bits": {mustParse(t, of(`"long"`)), bytes.Repeat([]byte{0x80}, MaxBody)},
		"2 MiB of twos":              {array(`["null","int"]`), bytes.Repeat([]byte{2}, MaxBody)},
	} {
		t.Run(name, func(t *testing.T) {
			cheap(t, 1, func() {
				if err := c.s.Check(c.body); err == nil {
					t.Error("accepted")
				}
				if _, err := c.s.Decode(c.body); err == nil {
					t.Error("decoded")
				}
				if _, err := c.s.RenderJSON(c.body); err == nil {
					t.Error("rendered")
				}
			})
		})
	}
}

func TestDecode_StaysCheapAtTheBounds(t *testing.T) {
	s := mustParse(t, of(`{"type":"array","items":{"type":"record","name":"W","fields":[{"name":"x","type":"boolean"}]}}`))
	body := cat(zigzag(MaxItems), bytes.Repeat([]byte{1}, MaxItems), []byte{0})
	cheap(t, 128, func() {
		if _, err := s.Decode(body); err != nil {
			t.Error(err)
		}
	})
}

func TestCheck_RefusesEveryCutAndEveryAddition(t *testing.T) {
	s := mustParse(t, everything)
	body, err := s.EncodeJSON([]byte(everythingJSON))
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		if err := s.Check(body[:i]); err == nil {
			t.Errorf("cut at %d of %d: accepted", i, len(body))
		}
	}
	for c := range 256 {
		if err := s.Check(append(body[:len(body):len(body)], byte(c))); err == nil {
			t.Errorf("with %x at the end: accepted", c)
		}
	}
}

func TestCheck_NamesOffsetAndField(t *testing.T) {
	s := mustParse(t, everything)
	body, err := s.EncodeJSON([]byte(everythingJSON))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(body, []byte("018f3c1e"))
	body[at] = 'x'
	e, ok := errors.AsType[*BodyError](s.Check(body))
	if !ok || e.Path != "id" || e.Offset < at {
		t.Errorf("got %v", e)
	}
}

func TestCheck_AllocatesNothing(t *testing.T) {
	s := mustParse(t, everything)
	body, err := s.EncodeJSON([]byte(everythingJSON))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = s.Check(body) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCleanText_AgreesWithTheSlowWay(t *testing.T) {
	for _, s := range []string{"", "a", "abcdefgh", "abcdefghi", "\x00", "abcdefg\x00", "abcdefgh\x00", "\x01\x01\x01\x01\x01\x01\x01\x01",
		"\x80", "abcdefg\x80", "äbcdefgh", "abcdefgä", "abcdefghäö", "abcdefg\xc3\xa4i", "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f", "\x01\x00\x01\x00\x01\x00\x01\x00"} {
		want := utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
		if got := cleanText([]byte(s)); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}
