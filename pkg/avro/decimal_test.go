package avro

import (
	"bytes"
	"fmt"
	"testing"
)

func TestParseSmall_AgreesWithParse(t *testing.T) {
	taken := 0
	for _, d := range []decimal{newDecimal(6, 2), newDecimal(18, 4), newDecimal(18, 0), newDecimal(3, 3), newDecimal(38, 10), newDecimal(19, 0)} {
		for _, s := range []string{
			"0", "-0", "0.0", "-0.000", "1", "-1", "127", "128", "-128", "-129", "32767", "-32768", "255.5", "9999.99", "10000", "-9999.99", "0.999", "0.9990", "1.000",
			"99999999999999.9999", "-99999999999999.9999", "999999999999999999", "1000000000000000000", "-999999999999999999", "0.5000000000000000000000",
			"", "-", ".", "1.", ".5", "-.5", "01", "+1", "1e2", "1.2.3", "--1", " 1", "1 ", "1.001", "\u0663", "1_0", "0.00000000010",
		} {
			want, message := d.parse(s)
			v, ok := d.parseSmall([]byte(s))
			if !ok {
				continue
			}
			taken++
			if got := appendInt(nil, v, 0); message != "" || !bytes.Equal(got, want) {
				t.Errorf("%q as decimal(%d,%d): %x, want %x (%s)", s, d.precision, d.scale, got, want, message)
			}
			if got := appendInt([]byte("x"), v, 12); message == "" && !bytes.Equal(got, append([]byte("x"), extend(want, 12)...)) {
				t.Errorf("%q as decimal(%d,%d) in 12 bytes: %x, want %x", s, d.precision, d.scale, got[1:], extend(want, 12))
			}
		}
	}
	if taken < 80 {
		t.Errorf("only %d were taken: the test has lost its teeth", taken)
	}
	d := newDecimal(18, 2)
	for _, v := range []int64{0, 1, -1, 127, 128, -128, -129, 255, 256, 65535, -65536, 1<<55 - 1, -1 << 55, 999999999999999999} {
		s := fmt.Sprintf("%s%d.%02d", map[bool]string{true: "-"}[v < 0], abs(v)/100, abs(v)%100)
		if got, ok := d.parseSmall([]byte(s)); !ok || got != v {
			t.Errorf("%s is %d (%v), want %d", s, got, ok, v)
		}
	}
}

func abs(v int64) int64 { return max(v, -v) }
