package crm

import "testing"

func TestModeFor_PrefersTheKindThenAllThenTheConnection(t *testing.T) {
	set := map[string]Mode{KindNote: ModeOff, "*": ModeRecord}
	if ModeFor(KindNote, set, ModeSend) != ModeOff || ModeFor(KindTag, set, ModeSend) != ModeRecord || ModeFor(KindTag, nil, ModeSend) != ModeSend {
		t.Fatal("wrong order")
	}
	if ParseMode("SEND") != ModeRecord {
		t.Fatal("an unknown mode must do no harm")
	}
}
