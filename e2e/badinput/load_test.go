package badinput

import (
	"testing"
)

func TestLoad_EveryFamilyIsThere(t *testing.T) {
	inputs, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, in := range inputs {
		n[in.Family]++
	}
	for _, family := range Families() {
		if n[family] < 8 {
			t.Errorf("%d bad inputs of the family %s", n[family], family)
		}
	}
	if len(inputs) < 60 {
		t.Errorf("%d bad inputs", len(inputs))
	}
}

func TestBytes_WriteWhatTheySay(t *testing.T) {
	text, number, name := "ab", int64(-2), Type
	hex := "00 ff"
	got, err := Bytes{{Frame: &name}, {Long: &number}, {String: &text}, {Hex: &hex, Times: 2}, {Text: &text}}.Make(func(string) (int32, error) { return 7, nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := "\x00\x00\x00\x00\x07\x03\x04ab\x00\xff\x00\xffab"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, err = (Bytes{{Text: &text, Times: 100_000}}).Make(nil); err != nil || len(got) != 200_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := (Bytes{{}}).Make(nil); err == nil {
		t.Error("a part that says nothing was written")
	}
}
